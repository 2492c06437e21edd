use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_core::evidence::Evidence;
use trunkline_core::history::{AncestorProof, ConsistencyProof, Inclusion};
use trunkline_core::outcome::{IdempotencyKey, Outcome, SubmissionOutcome};
use trunkline_core::record::CommitRecord;
use trunkline_testkit::protobuf;

use crate::model::Hash;

fn digests(max: usize) -> impl Strategy<Value = Vec<Hash>> {
    vec(any::<Hash>(), 0..=max)
}

/// Returns numbers near powers of two, where the shape of a range changes.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..20,
        (0_u32..64, 0_u64..3).prop_map(|(bit, more)| (1_u64 << bit).saturating_add(more) - 1),
    ]
}

prop_compose! {
    fn record()(
        version in number(),
        first_sequence in number(),
        last_sequence in number(),
        provisional_root in any::<Hash>(),
        metadata in vec(any::<u8>(), 0..=256),
    ) -> CommitRecord {
        CommitRecord {
            version,
            first_sequence,
            last_sequence,
            provisional_root,
            metadata,
            ..CommitRecord::genesis([1; 32])
        }
    }
}

prop_compose! {
    fn inclusion()(siblings in digests(63), peaks in digests(64)) -> Inclusion {
        Inclusion { siblings, peaks }
    }
}

prop_compose! {
    fn ancestor()(
        head in record(),
        version in number(),
        commit_id in any::<Hash>(),
        inclusion in inclusion(),
    ) -> AncestorProof {
        AncestorProof { head, version, commit_id, inclusion }
    }
}

prop_compose! {
    fn consistency()(
        older in prop::option::of(record()),
        head in record(),
        peaks in digests(64),
        nodes in digests(128),
    ) -> ConsistencyProof {
        ConsistencyProof { older, head, peaks, nodes }
    }
}

prop_compose! {
    fn evidence()(
        record in record(),
        sequence in number(),
        submission in any::<Hash>(),
        displaced in any::<u32>(),
        key in vec(any::<u8>(), 0..=64),
        inclusion in inclusion(),
        provisional_before in any::<Hash>(),
        later in digests(5),
    ) -> Evidence {
        let outcome = Outcome::Applied { displaced };
        let idempotency_key = IdempotencyKey::new(&key).expect("64 bytes are allowed");
        let outcome = SubmissionOutcome { sequence, submission, outcome, idempotency_key };
        Evidence { record, outcome, inclusion, provisional_before, later }
    }
}

/// Returns fields with valid numbers and arbitrary content.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let number = (1_u64..9, any::<u64>()).prop_map(|(field, value)| protobuf::number(field, value));
    let bytes = (1_u64..9, vec(any::<u8>(), 0..80))
        .prop_map(|(field, content)| protobuf::bytes(field, &content));
    vec(prop_oneof![number, bytes], 0..9).prop_map(|fields| fields.concat())
}

/// Checks that any decoded message encodes to the same bytes.
fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(proof) = AncestorProof::decode(bytes) {
        prop_assert_eq!(proof.encode().unwrap(), bytes);
    }
    if let Ok(proof) = ConsistencyProof::decode(bytes) {
        prop_assert_eq!(proof.encode().unwrap(), bytes);
    }
    if let Ok(proof) = Evidence::decode(bytes) {
        prop_assert_eq!(proof.encode().unwrap(), bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_a_proof_or_an_error(bytes in vec(any::<u8>(), 0..600)) {
        read_all(&bytes)?;
    }

    #[test]
    fn any_fields_are_a_proof_or_an_error(bytes in fields()) {
        read_all(&bytes)?;
    }

    #[test]
    fn any_proof_with_changed_bytes_is_canonical_or_an_error(
        bytes in prop_oneof![
            ancestor().prop_map(|proof| proof.encode().unwrap()),
            consistency().prop_map(|proof| proof.encode().unwrap()),
            evidence().prop_map(|proof| proof.encode().unwrap()),
        ],
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        read_all(&bytes)?;
    }

    #[test]
    fn any_ancestor_proof_survives_the_wire_and_is_refused(proof in ancestor()) {
        let bytes = proof.encode().unwrap();
        prop_assert!(proof.verify(&proof.head.commit_id()).is_err());
        prop_assert_eq!(AncestorProof::decode(&bytes).unwrap(), proof);
    }

    #[test]
    fn any_consistency_proof_survives_the_wire_and_is_refused(proof in consistency()) {
        let bytes = proof.encode().unwrap();
        let older = proof.older.as_ref().map_or([0; 32], CommitRecord::commit_id);
        prop_assert!(proof.verify(&older, &proof.head.commit_id()).is_err());
        let older_version = proof.older.as_ref().map_or(u64::MAX, |older| older.version);
        prop_assert!(proof.check_head(older_version, &older).is_err());
        prop_assert_eq!(ConsistencyProof::decode(&bytes).unwrap(), proof);
    }

    #[test]
    fn any_evidence_survives_the_wire_and_is_refused(evidence in evidence()) {
        let bytes = evidence.encode().unwrap();
        let commit_id = evidence.record.commit_id();
        let promised = evidence.record.provisional_root;
        prop_assert!(evidence.verify(&promised, &commit_id).is_err());
        prop_assert_eq!(Evidence::decode(&bytes).unwrap(), evidence);
    }
}
