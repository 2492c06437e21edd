use trunkline_core::hash::hash;
use trunkline_verifier::*;

use crate::support::*;

fn bytes<'a>(at: *const u8, count: usize) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: what a claim of living claims points to.
    unsafe { std::slice::from_raw_parts(at, count) }
}

fn check(answer: &Answer, version: Option<u64>) {
    assert_eq!(answer.code, Code::TrunklineOk, "{}", answer.text);
    let map = &FIXTURE.state.map;
    // SAFETY: the handle is alive.
    let count = unsafe { trunkline_claims_count(answer.claims) };
    assert_eq!(count, keys().len());
    for index in 0..count {
        let mut claim = blank();
        // SAFETY: the handle is alive, the claim a claim.
        let code = unsafe { trunkline_claims_get(answer.claims, index, &mut claim) };
        assert_eq!(code, Code::TrunklineOk);
        let key = bytes(claim.key, claim.key_bytes);
        let (_, found) = find(answer.claims, key);
        assert_eq!((found.key, found.kind), (claim.key, claim.kind));
        match (map.get(key), claim.kind) {
            (None, ClaimKind::TrunklineAbsent) => assert_eq!(claim.value_hash, [0; 32]),
            (Some(value), ClaimKind::TrunklinePresent) => {
                assert_eq!(bytes(claim.value, claim.value_bytes), value);
                assert_eq!(claim.value_hash, hash(value));
            }
            (Some(value), ClaimKind::TrunklinePresentHash) => {
                assert!(claim.value.is_null());
                assert_eq!(claim.value_hash, hash(value));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut found = 0;
    // SAFETY: the handle is alive, the version a number.
    let code = unsafe { trunkline_claims_version(answer.claims, &mut found) };
    let expected = version.map_or(Code::TrunklineNotFound, |_| Code::TrunklineOk);
    assert_eq!((code, found), (expected, version.unwrap_or(0)));
}

#[test]
fn claims_are_those_of_the_proof_under_everything_that_can_be_trusted() {
    let root = FIXTURE.state.root;
    let (tree, state, kzg) = (root.tree_id, root.state_digest, root.kzg_root.unwrap());
    check(&verify_root(&hash_proof(), &trusted(&root)), Some(1));
    check(&verify_root(&kzg_proof(), &trusted(&root)), Some(1));
    check(&verify_commit_id(&hash_proof(), &root.commit_id), Some(1));
    check(&verify_state_digest(&hash_proof(), &tree, &state), None);
    check(&verify_kzg_root(&kzg_proof(), &tree, &kzg), None);
}

#[test]
fn there_are_no_claims_under_anything_else() {
    let root = FIXTURE.state.root;
    let (tree, state, kzg) = (root.tree_id, root.state_digest, root.kzg_root.unwrap());
    let other = [1; 32];
    let answers = [
        verify_commit_id(&hash_proof(), &other),
        verify_commit_id(&kzg_proof(), &root.commit_id),
        verify_state_digest(&hash_proof(), &other, &state),
        verify_state_digest(&hash_proof(), &tree, &other),
        verify_state_digest(&kzg_proof(), &tree, &state),
        verify_kzg_root(&kzg_proof(), &other, &kzg),
        verify_kzg_root(&kzg_proof(), &tree, &[0xc0; 48]),
        verify_kzg_root(&hash_proof(), &tree, &kzg),
    ];
    for answer in answers {
        assert_eq!(answer.code, Code::TrunklineNotProven, "{}", answer.text);
    }
    let mut older = trusted(&root);
    older.version = 0;
    assert_eq!(
        verify_root(&hash_proof(), &older).code,
        Code::TrunklineNotProven
    );
    let mut without_kzg = trusted(&root);
    without_kzg.has_kzg_root = 0;
    assert_eq!(
        verify_root(&kzg_proof(), &without_kzg).code,
        Code::TrunklineNotProven
    );
    assert_eq!(
        verify_root(&hash_proof(), &without_kzg).code,
        Code::TrunklineOk
    );
}

#[test]
fn a_key_outside_of_the_proof_is_not_found() {
    let answer = verify_commit_id(&hash_proof(), &FIXTURE.state.root.commit_id);
    let (code, claim) = find(answer.claims, b"somebody");
    assert_eq!(
        (code, claim.value_hash),
        (Code::TrunklineNotFound, [0xee; 32])
    );
    let mut claim = blank();
    // SAFETY: the handle is alive, the claim a claim.
    let code = unsafe { trunkline_claims_get(answer.claims, keys().len(), &mut claim) };
    assert_eq!(code, Code::TrunklineNotFound);
}
