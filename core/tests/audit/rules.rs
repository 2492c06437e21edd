use std::sync::LazyLock;

use trunkline_core::audit::{AuditProof, VerifyAuditError, verify};
use trunkline_core::proof::Expected;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::wire::FormError;

use crate::fixture::{self, by_kzg_root, by_state};

/// A valid audit proof, made once: each test changes a copy.
static AUDIT: LazyLock<AuditProof> = LazyLock::new(fixture::audit);

fn forged(change: impl FnOnce(&mut AuditProof)) -> AuditProof {
    let mut proof = AUDIT.clone();
    change(&mut proof);
    proof
}

/// Returns the proof with another record, so that it can be of another commit.
fn with_record(change: impl FnOnce(&mut CommitRecord)) -> AuditProof {
    forged(|proof| change(proof.record.as_mut().unwrap()))
}

#[track_caller]
fn assert_refused(proof: &AuditProof, trusted: &Expected, error: VerifyAuditError) {
    assert_eq!(verify(proof, trusted), Err(error));
}

/// Changes a byte of a digest that matters for the compared root.
fn other<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[N - 1] ^= 1;
    bytes
}

#[test]
fn metadata_is_within_its_bound() {
    let proof = with_record(|record| record.metadata = vec![0; 257]);
    let error = VerifyAuditError::Form(FormError::MetadataBytes(257));
    assert_refused(&proof, &Expected::Carried, error);
}

#[test]
fn the_record_is_of_the_tree() {
    let proof = with_record(|record| record.tree_id = other(record.tree_id));
    assert_refused(&proof, &Expected::Carried, VerifyAuditError::RecordTree);
}

#[test]
fn the_record_is_of_the_version() {
    let proof = with_record(|record| record.version += 1);
    assert_refused(&proof, &Expected::Carried, VerifyAuditError::RecordVersion);
    let proof = forged(|proof| proof.version += 1);
    assert_refused(&proof, &Expected::Carried, VerifyAuditError::RecordVersion);
}

#[test]
fn the_record_has_the_state_digest_that_the_slots_fold_to() {
    let proof = with_record(|record| record.state_digest = other(record.state_digest));
    assert_refused(&proof, &Expected::Carried, VerifyAuditError::RecordState);
    let proof = forged(|proof| proof.slots[1] = other(proof.slots[1]));
    assert_refused(&proof, &Expected::Carried, VerifyAuditError::RecordState);
}

#[test]
fn the_tree_is_the_trusted_one() {
    // There is no record, which would be checked first.
    let proof = forged(|proof| {
        proof.record = None;
        proof.params.salt = None;
    });
    for trusted in [
        Expected::Root(fixture::root(&AUDIT)),
        by_state(&AUDIT),
        by_kzg_root(&AUDIT),
    ] {
        assert_refused(&proof, &trusted, VerifyAuditError::TrustedTree);
    }
}

#[test]
fn the_version_is_the_trusted_one() {
    let root = Root {
        version: 6,
        ..fixture::root(&AUDIT)
    };
    let error = VerifyAuditError::TrustedVersion;
    assert_refused(&AUDIT, &Expected::Root(root), error);
}

#[test]
fn the_commit_is_the_trusted_one() {
    let root = fixture::root(&AUDIT);
    let commit_id = other(root.commit_id);
    let error = VerifyAuditError::TrustedCommit;
    assert_refused(&AUDIT, &Expected::CommitId(commit_id), error);
    let root = Root { commit_id, ..root };
    assert_refused(&AUDIT, &Expected::Root(root), error);
}

#[test]
fn a_trusted_commit_needs_its_record() {
    let proof = forged(|proof| proof.record = None);
    let trusted = Expected::CommitId(fixture::root(&AUDIT).commit_id);
    assert_refused(&proof, &trusted, VerifyAuditError::NeedsRecord);
}

#[test]
fn the_state_digest_is_the_trusted_one() {
    let proof = forged(|proof| {
        proof.record = None;
        proof.slots[1] = other(proof.slots[1]);
    });
    let error = VerifyAuditError::TrustedState;
    assert_refused(&proof, &by_state(&AUDIT), error);
    assert_refused(&proof, &Expected::Root(fixture::root(&AUDIT)), error);
}

#[test]
fn the_kzg_root_is_the_trusted_one() {
    let proof = forged(|proof| proof.kzg_root = other(proof.kzg_root));
    let error = VerifyAuditError::TrustedKzgRoot;
    assert_refused(&proof, &by_kzg_root(&AUDIT), error);
    assert_refused(&proof, &Expected::Root(fixture::root(&AUDIT)), error);
}

#[test]
fn the_kzg_root_is_a_point() {
    let error = VerifyAuditError::KzgRootPoint;
    for bytes in [[0; 48], [0xff; 48], [0xc0; 48]] {
        let proof = forged(|proof| proof.kzg_root = bytes);
        assert_refused(&proof, &by_state(&AUDIT), error);
    }
}

#[test]
fn the_opening_is_a_point() {
    let proof = forged(|proof| proof.opening = [0; 48]);
    assert_refused(&proof, &by_state(&AUDIT), VerifyAuditError::OpeningPoint);
}

#[test]
fn the_opening_is_that_of_this_root_and_these_slots() {
    let error = VerifyAuditError::Opening;
    let neighbour = fixture::audit_of(fixture::salted(), [[9; 32]; 128]);
    let proof = forged(|proof| proof.kzg_root = neighbour.kzg_root);
    assert_refused(&proof, &by_state(&AUDIT), error);
    let proof = forged(|proof| proof.opening = neighbour.opening);
    assert_refused(&proof, &by_state(&AUDIT), error);
    let proof = forged(|proof| {
        proof.record = None;
        proof.slots[1] = other(proof.slots[1]);
    });
    assert_refused(&proof, &by_kzg_root(&AUDIT), error);
    // A slot that is empty is taken for one that is not.
    let proof = forged(|proof| {
        proof.record = None;
        proof.slots[0] = [1; 32];
    });
    assert_refused(&proof, &by_kzg_root(&AUDIT), error);
}

#[test]
fn the_point_of_evaluation_follows_from_tree_root_and_all_digests() {
    // Each of these keeps the polynomial and its values, and moves only the point.
    let error = VerifyAuditError::Opening;
    let proof = forged(|proof| {
        proof.record = None;
        proof.params.salt = None;
    });
    assert_refused(&proof, &Expected::Carried, error);
    for slot in [1, 64, 127] {
        let proof = forged(|proof| {
            proof.record = None;
            proof.slots[slot][0] ^= 0x80;
        });
        assert_refused(&proof, &by_kzg_root(&AUDIT), error);
    }
}
