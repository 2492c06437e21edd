use trunkline_core::kzg::G1Bytes;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{
    BoundTo, Expected, Proof, Top, TopOpening, TopRoot, VerifyProofError, verify,
};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{NaiveState, prove_leaves};
use trunkline_testkit::states::{self, plain};

const IDENTITY: [u8; 48] = {
    let mut bytes = [0; 48];
    bytes[0] = 0xc0;
    bytes
};

fn state() -> NaiveState {
    states::numbered(plain(), 20)
}

fn proof() -> Proof {
    states::prove(&state(), [number_key(3)])
}

fn bare_proof() -> Proof {
    state().prove(5, &states::set([number_key(3)]))
}

fn record() -> CommitRecord {
    states::record(&state(), 5)
}

/// Returns a proof of absence from the empty state, with a valid KZG top.
fn kzg_proof() -> Proof {
    let state = states::numbered(plain(), 0);
    let mut proof = states::prove(&state, [number_key(3)]);
    proof.versions[0].top = Top::Kzg { kzg_root: IDENTITY };
    proof.opening = Some(TopOpening::Single(G1Bytes(IDENTITY)));
    proof
}

fn assert_refused(proof: &Proof, expected: Expected, error: VerifyProofError) {
    assert_eq!(verify(proof, &expected), Err(error));
}

#[test]
fn a_root_binds_version_and_record() {
    let proof = proof();
    let expected = Expected::Root(states::root(&state(), 5));
    let verified = verify(&proof, &expected).unwrap();
    assert_eq!(verified.bound_to, BoundTo::Root);
    assert_eq!(verified.trusted_version, Some(5));
    assert_eq!(verified.trusted_record, Some(&record()));
    assert_eq!(verified.root, TopRoot::StateDigest(state().state_digest()));
}

#[test]
fn a_commit_id_binds_version_and_record() {
    let proof = proof();
    let verified = verify(&proof, &Expected::CommitId(record().commit_id())).unwrap();
    assert_eq!(verified.bound_to, BoundTo::CommitId);
    assert_eq!(verified.trusted_version, Some(5));
    assert_eq!(verified.trusted_record, Some(&record()));
}

#[test]
fn a_state_digest_binds_neither() {
    let proof = proof();
    let verified = verify(&proof, &states::by_state(&state())).unwrap();
    assert_eq!(verified.bound_to, BoundTo::StateDigest);
    assert_eq!(verified.trusted_version, None);
    assert_eq!(verified.trusted_record, None);
}

#[test]
fn a_kzg_root_binds_neither() {
    let proof = kzg_proof();
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root: IDENTITY,
    };
    let verified = verify(&proof, &expected).unwrap();
    assert_eq!(verified.bound_to, BoundTo::KzgRoot);
    assert_eq!(verified.trusted_version, None);
    assert_eq!(verified.trusted_record, None);
}

#[test]
fn nothing_binds_nothing() {
    let proof = proof();
    let verified = verify(&proof, &Expected::Carried).unwrap();
    assert_eq!(verified.bound_to, BoundTo::Nothing);
    assert_eq!(verified.trusted_version, None);
    assert_eq!(verified.trusted_record, None);
}

#[test]
fn a_root_that_differs_is_refused() {
    let root = states::root(&state(), 5);
    let refused = |root, error| assert_refused(&proof(), Expected::Root(root), error);
    refused(
        Root {
            tree_id: [0; 32],
            ..root
        },
        VerifyProofError::ExpectedTree,
    );
    refused(
        Root { version: 6, ..root },
        VerifyProofError::ExpectedVersion,
    );
    refused(
        Root {
            commit_id: [0; 32],
            ..root
        },
        VerifyProofError::ExpectedCommit,
    );
    refused(
        Root {
            state_digest: [0; 32],
            ..root
        },
        VerifyProofError::ExpectedState,
    );
}

#[test]
fn a_root_needs_no_record() {
    let proof = bare_proof();
    let expected = Expected::Root(states::root(&state(), 5));
    let verified = verify(&proof, &expected).unwrap();
    assert_eq!(verified.trusted_version, Some(5));
    assert_eq!(verified.trusted_record, None);
}

#[test]
fn a_root_without_kzg_root_needs_a_hash_top() {
    let root = states::root(&states::numbered(plain(), 0), 5);
    assert_refused(
        &kzg_proof(),
        Expected::Root(root),
        VerifyProofError::NeedsHashTop,
    );
    let other = Root {
        kzg_root: Some([0xc1; 48]),
        ..root
    };
    assert_refused(
        &kzg_proof(),
        Expected::Root(other),
        VerifyProofError::ExpectedKzgRoot,
    );
}

#[test]
fn a_commit_id_needs_its_record_and_a_hash_top() {
    let expected = Expected::CommitId(record().commit_id());
    assert_refused(&bare_proof(), expected, VerifyProofError::NeedsRecord);
    let other = Expected::CommitId([0; 32]);
    assert_refused(&proof(), other, VerifyProofError::ExpectedCommit);
    let empty = states::record(&states::numbered(plain(), 0), 5);
    let expected = Expected::CommitId(empty.commit_id());
    assert_refused(&kzg_proof(), expected, VerifyProofError::NeedsHashTop);
}

#[test]
fn a_state_digest_needs_its_tree_and_a_hash_top() {
    let tree_id = plain().tree_id();
    let expected = |tree_id, state_digest| Expected::StateDigest {
        tree_id,
        state_digest,
    };
    assert_refused(
        &proof(),
        expected(tree_id, [0; 32]),
        VerifyProofError::ExpectedState,
    );
    let other_tree = expected([0; 32], state().state_digest());
    assert_refused(&proof(), other_tree, VerifyProofError::ExpectedTree);
    assert_refused(
        &kzg_proof(),
        expected(tree_id, [0; 32]),
        VerifyProofError::NeedsHashTop,
    );
}

#[test]
fn a_kzg_root_needs_its_tree_and_a_kzg_top() {
    let expected = |tree_id, kzg_root| Expected::KzgRoot { tree_id, kzg_root };
    let other_tree = expected([0; 32], IDENTITY);
    assert_refused(&kzg_proof(), other_tree, VerifyProofError::ExpectedTree);
    let expected = expected(plain().tree_id(), IDENTITY);
    assert_refused(&proof(), expected, VerifyProofError::NeedsKzgTop);
}

#[test]
fn a_salt_of_the_provers_choice_hides_no_key() {
    // Under another salt, key 3 is "absent" from the very same leaves.
    let salted = states::params(CollisionPolicy::Bucket, Some([8; 32]));
    let entries = states::numbered(salted, 0).entries(&states::set([number_key(3)]));
    let leaves = state().leaves();
    let proof = prove_leaves(&salted, &leaves, 5, &entries);
    assert!(verify(&proof, &Expected::Carried).is_ok());
    assert_refused(
        &proof,
        states::by_state(&state()),
        VerifyProofError::ExpectedTree,
    );
}

#[test]
fn a_carried_record_always_agrees_with_the_proof() {
    let with = |record| {
        let mut proof = proof();
        proof.versions[0].record = Some(record);
        proof
    };
    let tree = with(CommitRecord {
        tree_id: [0; 32],
        ..record()
    });
    assert_refused(&tree, Expected::Carried, VerifyProofError::RecordTree);
    let version = with(CommitRecord {
        version: 6,
        ..record()
    });
    assert_refused(&version, Expected::Carried, VerifyProofError::RecordVersion);
    let state = with(CommitRecord {
        state_digest: [0; 32],
        ..record()
    });
    assert_refused(&state, Expected::Carried, VerifyProofError::RecordState);
}
