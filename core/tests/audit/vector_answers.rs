//! The file as any reader parses it, and this crate's answers to it.

use trunkline_core::audit::{AuditBinding, AuditProof, VerifiedAudit, verify};
use trunkline_core::proof::Expected;
use trunkline_testkit::vectors::{self, ACCEPTED, Decimal, MALFORMED_RULE, malformed_of};

use crate::vector_coverage::rule_of;
use crate::vectors::{AuditVector, Binding, ShownAudit};

fn shown(verified: &VerifiedAudit<'_>) -> ShownAudit {
    ShownAudit {
        binds: match verified.binding {
            AuditBinding::BothRoots => Binding::BothRoots,
            AuditBinding::KzgRoot => Binding::KzgRoot,
            AuditBinding::Nothing => Binding::Nothing,
        },
        tree_id: verified.tree_id.into(),
        version: verified.trusted_version.map(Decimal),
        state_digest: verified.state_digest.into(),
        kzg_root: verified.kzg_root.into(),
    }
}

/// Returns the shown facts, or the broken rule with the reason why bytes are malformed.
fn answer(vector: &AuditVector) -> Result<ShownAudit, (&'static str, Option<&'static str>)> {
    let proof = AuditProof::decode(&vector.proof.0)
        .map_err(|error| (MALFORMED_RULE, Some(malformed_of(&error))))?;
    let verified = verify(&proof, &Expected::from(&vector.trusted));
    let verified = verified.map_err(|error| (rule_of(&error), None))?;
    Ok(shown(&verified))
}

#[test]
fn every_audit_proof_gets_its_answer() {
    let vectors: Vec<AuditVector> = vectors::read("audits.json");
    for vector in &vectors {
        let name = format!("{}: {}", vector.of, vector.mutation);
        match answer(vector) {
            Ok(shown) => {
                assert_eq!(vector.rule, ACCEPTED, "{name}");
                assert_eq!(Some(shown), vector.shown, "{name}");
            }
            Err((rule, malformed)) => {
                assert_eq!(rule, vector.rule, "{name}");
                assert_eq!(malformed, vector.malformed.as_deref(), "{name}");
            }
        }
    }
}
