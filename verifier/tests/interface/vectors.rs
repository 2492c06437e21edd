//! The vectors of `core/tests/vectors` through the C interface: each must return the code of its answer.

use serde::Deserialize;
use trunkline_core::proof::Expected;
use trunkline_testkit::vectors::{self, Hex, MALFORMED_RULE, Trusted};
use trunkline_verifier::Code;

use crate::support::{
    Answer, trusted, verify_commit_id, verify_kzg_root, verify_root, verify_state_digest,
};

#[derive(Deserialize)]
struct Vector {
    name: String,
    rule: Option<String>,
    proof: Hex,
    trusted: Vec<Trusted>,
}

/// Verifies a vector. `None` if the interface has no call for it: for several versions, or without trusted values.
fn verify(vector: &Vector) -> Option<Answer> {
    let [one] = &vector.trusted[..] else {
        return None;
    };
    let proof = &vector.proof.0;
    match &Expected::from(one) {
        Expected::Root(root) => Some(verify_root(proof, &trusted(root))),
        Expected::CommitId(commit_id) => Some(verify_commit_id(proof, commit_id)),
        Expected::StateDigest {
            tree_id,
            state_digest,
        } => Some(verify_state_digest(proof, tree_id, state_digest)),
        Expected::KzgRoot { tree_id, kzg_root } => Some(verify_kzg_root(proof, tree_id, kzg_root)),
        Expected::Carried => None,
    }
}

#[test]
fn each_vector_gets_its_code() {
    for (file, at_least) in [("proofs.json", 20), ("refused.json", 30)] {
        let vectors: Vec<Vector> = vectors::read(file);
        let answers = vectors
            .iter()
            .filter_map(|vector| Some((vector, verify(vector)?.code)));
        let answers: Vec<(&Vector, Code)> = answers.collect();
        assert!(answers.len() > at_least, "{file}: {}", answers.len());
        for (vector, code) in answers {
            let expected = match vector.rule.as_deref() {
                None => Code::TrunklineOk,
                Some(MALFORMED_RULE) => Code::TrunklineUndecodable,
                Some(_) => Code::TrunklineNotProven,
            };
            assert_eq!(code, expected, "{file}: {}", vector.name);
        }
    }
}
