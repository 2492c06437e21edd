use trunkline_core::kzg::G1Bytes;
use trunkline_core::proof::{
    Claim, Expected, Proof, Top, TopOpening, VerifyProofError, VersionProof, verify,
    verify_versions,
};
use trunkline_core::record::Root;
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{NaiveState, field_values};
use trunkline_testkit::naive_kzg::{CEREMONY, NaiveKzg};
use trunkline_testkit::states::{self, plain};

/// Returns states of growing size, each as a version, and one of them twice.
fn states() -> Vec<(u64, NaiveState)> {
    let sizes = [(2, 0), (3, 40), (7, 40), (9, 90)];
    let state = |(version, size)| (version, states::numbered(plain(), size));
    sizes.map(state).into()
}

fn commitments() -> Vec<(u64, NaiveState, NaiveKzg)> {
    let states = states().into_iter();
    let commit = |(version, state): (u64, NaiveState)| {
        let kzg = NaiveKzg::new(CEREMONY, &field_values(&state.leaves()));
        (version, state, kzg)
    };
    states.map(commit).collect()
}

/// Returns a proof with other keys at each version, and a KZG top at those that `kzg` picks.
fn proof(kzg: impl Fn(u64) -> bool) -> (Proof, Vec<Expected>) {
    let commitments = commitments();
    let (mut versions, mut roots, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    for (version, state, commitment) in &commitments {
        let keys = states::set((30 + version..35 + version).map(number_key));
        let mut part = state.prove(*version, &keys).versions.remove(0);
        let kzg_root = kzg(*version).then(|| commitment.commitment());
        if let Some(kzg_root) = kzg_root {
            part.top = Top::Kzg { kzg_root };
            opened.push((
                *version,
                commitment,
                state.slots(&keys).into_iter().collect(),
            ));
        }
        versions.push(part);
        let root = Root::of(&states::record(state, *version), kzg_root);
        roots.push(Expected::Root(root));
    }
    let proof = Proof {
        params: plain(),
        versions,
        opening: (!opened.is_empty()).then(|| states::open(&opened)),
    };
    (proof, roots)
}

fn check(kzg: impl Fn(u64) -> bool) -> Proof {
    let (proof, roots) = proof(kzg);
    let proof = Proof::decode(&proof.encode().unwrap()).unwrap();
    let verified = verify_versions(&proof, &roots).unwrap();
    for ((version, state), verified) in states().iter().zip(&verified) {
        assert_eq!(verified.trusted_version, Some(*version));
        for number in 30 + version..35 + version {
            let key = number_key(number);
            let claim = match state.map.get(&key) {
                Some(value) => Claim::Present(value.clone()),
                None => Claim::Absent,
            };
            assert_eq!(verified.claim(&key), Some(&claim));
        }
    }
    proof
}

#[test]
fn several_versions_are_proven_with_kzg_tops() {
    let proof = check(|_| true);
    assert!(matches!(proof.opening, Some(TopOpening::Aggregate(_))));
}

#[test]
fn several_versions_are_proven_with_hash_tops() {
    assert_eq!(check(|_| false).opening, None);
}

#[test]
fn several_versions_have_a_kzg_top_where_there_is_a_kzg_root() {
    check(|version| version != 7);
    check(|version| version == 9);
}

fn refused(change: impl Fn(&mut Proof, &mut Vec<Expected>)) -> VerifyProofError {
    let (mut proof, mut roots) = proof(|_| true);
    change(&mut proof, &mut roots);
    verify_versions(&proof, &roots).unwrap_err()
}

#[test]
fn several_versions_are_in_ascending_order() {
    let error = refused(|proof, roots| {
        proof.versions.swap(1, 2);
        roots.swap(1, 2);
    });
    assert_eq!(error, VerifyProofError::VersionOrder(2));
    let error = refused(|proof, roots| {
        proof.versions[2] = VersionProof {
            version: proof.versions[1].version,
            ..proof.versions[2].clone()
        };
        roots[2] = roots[1];
    });
    assert_eq!(error, VerifyProofError::VersionOrder(2));
}

#[test]
fn several_versions_are_verified_against_as_many_roots() {
    let error = refused(|_, roots| roots.truncate(3));
    let (versions, expected) = (4, 3);
    assert_eq!(
        error,
        VerifyProofError::ExpectedCount { versions, expected }
    );
    let (proof, roots) = proof(|_| true);
    let error = verify(&proof, &roots[0]).unwrap_err();
    let expected = 1;
    assert_eq!(
        error,
        VerifyProofError::ExpectedCount { versions, expected }
    );
}

#[test]
fn each_version_is_verified_against_its_own_root() {
    let error = refused(|_, roots| roots.swap(0, 3));
    assert_eq!(error, VerifyProofError::ExpectedVersion);
    // Two versions of one state: the roots differ in nothing that the openings could show.
    let error = refused(|proof, _| {
        proof.versions[1].version = 4;
    });
    assert_eq!(error, VerifyProofError::ExpectedVersion);
}

#[test]
fn the_claims_of_several_versions_stand_and_fall_together() {
    let error = refused(|proof, _| {
        proof.versions[3].entries[2].claim = Claim::Present(b"other".to_vec());
    });
    assert_eq!(error, VerifyProofError::Opening);
    let error = refused(|proof, _| match &mut proof.opening {
        Some(TopOpening::Aggregate(aggregate)) => aggregate.opening = G1Bytes::IDENTITY,
        _ => panic!("an aggregate was made"),
    });
    assert_eq!(error, VerifyProofError::Opening);
}
