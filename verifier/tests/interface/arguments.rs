use std::ffi::c_char;
use std::ptr::{null, null_mut};

use trunkline_verifier::*;

use crate::support::*;

#[test]
fn an_empty_proof_is_undecodable_even_at_null() {
    let id = [0; 32];
    assert_eq!(verify_commit_id(&[], &id).code, Code::TrunklineUndecodable);
    let answer = answer(|claims, text, room| {
        // SAFETY: a null pointer with length zero is allowed.
        unsafe { trunkline_verify_commit_id(null(), 0, id.as_ptr(), claims, text, room) }
    });
    assert_eq!(answer.code, Code::TrunklineUndecodable);
}

#[test]
fn cut_proofs_are_undecodable() {
    let proof = hash_proof();
    for length in (0..proof.len()).step_by(7) {
        let answer = verify_commit_id(&proof[..length], &FIXTURE.state.root.commit_id);
        assert_eq!(answer.code, Code::TrunklineUndecodable, "{length}");
    }
}

#[test]
fn null_where_bytes_should_be_is_refused() {
    let (proof, id) = (hash_proof(), [0_u8; 32]);
    let (at, length, id) = (proof.as_ptr(), proof.len(), id.as_ptr());
    let calls: [&dyn Fn(*mut *mut Claims, *mut c_char, usize) -> Code; 8] = [
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_commit_id(null(), 1, id, c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_commit_id(at, length, null(), c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_commit_id(at, usize::MAX, id, c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_state_digest(at, length, null(), id, c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_state_digest(at, length, id, null(), c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_kzg_root(at, length, null(), id, c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_kzg_root(at, length, id, null(), c, e, n) },
        // SAFETY: what is null or too long is refused.
        &|c, e, n| unsafe { trunkline_verify_root(at, length, null(), c, e, n) },
    ];
    for call in calls {
        assert_eq!(answer(call).code, Code::TrunklineBadArgument);
    }
}

#[test]
fn a_flag_of_neither_value_is_refused() {
    let mut root = trusted(&FIXTURE.state.root);
    root.has_kzg_root = 2;
    assert_eq!(
        verify_root(&hash_proof(), &root).code,
        Code::TrunklineBadArgument
    );
}

#[test]
fn nowhere_to_put_the_claims_is_refused() {
    let (proof, id) = (hash_proof(), FIXTURE.state.root.commit_id);
    let (at, length, id) = (proof.as_ptr(), proof.len(), id.as_ptr());
    // SAFETY: null is refused.
    let code = unsafe { trunkline_verify_commit_id(at, length, id, null_mut(), null_mut(), 0) };
    assert_eq!(code, Code::TrunklineBadArgument);
}

#[test]
fn the_text_may_have_no_buffer_and_one_of_any_size() {
    let id = [0; 32];
    let mut claims = null_mut();
    let call = |text: *mut c_char, room| {
        // SAFETY: null with room is refused; else there is that much room.
        unsafe { trunkline_verify_commit_id(null(), 0, id.as_ptr(), &mut claims, text, room) }
    };
    let mut call = call;
    assert_eq!(call(null_mut(), 0), Code::TrunklineUndecodable);
    assert_eq!(call(null_mut(), 9), Code::TrunklineBadArgument);
    for room in 0..90 {
        let mut text = [7 as c_char; 90];
        assert_eq!(call(text.as_mut_ptr(), room), Code::TrunklineUndecodable);
        let end = text.iter().position(|&byte| byte == 0);
        assert_eq!(end.is_some(), room > 0);
        assert!(end.unwrap_or(0) < room.max(1));
        assert!(text[room..].iter().all(|&byte| byte == 7));
    }
}

#[test]
fn null_claims_have_nothing() {
    let (mut claim, mut version) = (blank(), 0);
    // SAFETY: null is allowed or refused everywhere.
    unsafe {
        assert_eq!(trunkline_claims_count(null()), 0);
        assert_eq!(
            trunkline_claims_get(null(), 0, &mut claim),
            Code::TrunklineBadArgument
        );
        let found = trunkline_claims_find(null(), null(), 0, &mut claim);
        assert_eq!(found, Code::TrunklineBadArgument);
        let found = trunkline_claims_version(null(), &mut version);
        assert_eq!(found, Code::TrunklineBadArgument);
        trunkline_claims_free(null_mut());
    }
    let answer = verify_commit_id(&hash_proof(), &FIXTURE.state.root.commit_id);
    // SAFETY: the handle is alive; null is refused.
    unsafe {
        let code = trunkline_claims_get(answer.claims, 0, null_mut());
        assert_eq!(code, Code::TrunklineBadArgument);
        let code = trunkline_claims_find(answer.claims, null(), 3, &mut claim);
        assert_eq!(code, Code::TrunklineBadArgument);
        let code = trunkline_claims_version(answer.claims, null_mut());
        assert_eq!(code, Code::TrunklineBadArgument);
    }
}
