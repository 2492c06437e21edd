use trunkline_core::audit::{AuditBinding, AuditProof, verify};
use trunkline_core::proof::Expected;
use trunkline_core::record::Root;

use crate::fixture::{self, audit, audit_of, by_kzg_root, by_state, salted, slots, state_digest};

#[test]
fn a_root_binds_both_roots_with_or_without_a_kzg_root() {
    let proof = audit();
    let root = fixture::root(&proof);
    for kzg_root in [root.kzg_root, None] {
        let trusted = Expected::Root(Root { kzg_root, ..root });
        let verified = verify(&proof, &trusted).unwrap();
        assert_eq!(verified.binding, AuditBinding::BothRoots);
        assert_eq!(verified.trusted_version, Some(5));
        assert_eq!(verified.trusted_record, proof.record.as_ref());
        assert_eq!(verified.state_digest, root.state_digest);
        assert_eq!(verified.kzg_root, root.kzg_root.unwrap());
        assert_eq!(verified.slots, &slots());
    }
}

#[test]
fn a_commit_id_binds_both_roots() {
    let proof = audit();
    let trusted = Expected::CommitId(fixture::root(&proof).commit_id);
    let verified = verify(&proof, &trusted).unwrap();
    assert_eq!(verified.binding, AuditBinding::BothRoots);
    assert_eq!(verified.trusted_version, Some(5));
}

#[test]
fn a_state_digest_binds_both_roots_and_no_version() {
    let proof = audit();
    let verified = verify(&proof, &by_state(&proof)).unwrap();
    assert_eq!(verified.binding, AuditBinding::BothRoots);
    assert_eq!(verified.trusted_version, None);
    assert_eq!(verified.trusted_record, None);
}

#[test]
fn a_kzg_root_binds_itself_alone() {
    let proof = audit_of(salted(), slots());
    let verified = verify(&proof, &by_kzg_root(&proof)).unwrap();
    assert_eq!(verified.binding, AuditBinding::KzgRoot);
    assert_eq!(verified.trusted_version, None);
}

#[test]
fn a_kzg_root_does_not_hold_the_top_two_bits_of_a_digest() {
    let honest = audit_of(salted(), slots());
    let mut slots = slots();
    slots[1][0] ^= 0xc0;
    let other = audit_of(salted(), slots);
    assert_eq!(other.kzg_root, honest.kzg_root);
    assert_ne!(
        state_digest(&other.slots[..]),
        state_digest(&honest.slots[..])
    );
    assert!(verify(&other, &by_kzg_root(&honest)).is_ok());
    assert!(verify(&other, &by_state(&honest)).is_err());
}

#[test]
fn nothing_binds_nothing() {
    let proof = audit();
    let verified = verify(&proof, &Expected::Carried).unwrap();
    assert_eq!(verified.binding, AuditBinding::Nothing);
    assert_eq!(
        (verified.trusted_version, verified.trusted_record),
        (None, None)
    );
}

#[test]
fn full_empty_and_single_slots_are_verified_alike() {
    let mut single = [[0; 32]; 128];
    single[127] = [0xff; 32];
    for slots in [[[0; 32]; 128], [[0xff; 32]; 128], single] {
        let proof = audit_of(salted(), slots);
        let read = AuditProof::decode(&proof.encode().unwrap()).unwrap();
        assert_eq!(read, proof);
        let verified = verify(&read, &by_state(&proof)).unwrap();
        assert_eq!(verified.state_digest, state_digest(&slots));
    }
}
