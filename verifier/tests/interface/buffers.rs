use std::ffi::c_char;

use trunkline_verifier::*;

use crate::support::*;

#[test]
fn the_text_may_be_written_over_the_proof() {
    let mut proof = hash_proof();
    let (at, length) = (proof.as_mut_ptr(), proof.len());
    let (id, mut claims) = ([1; 32], std::ptr::null_mut());
    // SAFETY: the buffer is as long as is said; that it is both read and written is allowed.
    let code = unsafe {
        let text = at.cast::<c_char>();
        trunkline_verify_commit_id(at, length, id.as_ptr(), &mut claims, text, length)
    };
    assert_eq!(code, Code::TrunklineNotProven);
    assert!(proof.starts_with(b"the carried record has another commit id"));
}

#[test]
fn the_handle_may_be_written_over_the_id_and_the_proof_kept() {
    let proof = hash_proof();
    let mut room = FIXTURE.state.root.commit_id;
    let at = room.as_mut_ptr();
    // SAFETY: the buffers are as long as is said. The handle goes to an odd address.
    let claims = unsafe {
        let target = at.add(1).cast::<*mut Claims>();
        let (null, length) = (std::ptr::null_mut(), proof.len());
        let code = trunkline_verify_commit_id(proof.as_ptr(), length, at, target, null, 0);
        assert_eq!(code, Code::TrunklineOk);
        target.read_unaligned()
    };
    // SAFETY: the handle is alive, and freed once.
    unsafe {
        assert_eq!(trunkline_claims_count(claims), keys().len());
        trunkline_claims_free(claims);
    }
}

#[test]
fn structs_may_lie_at_odd_addresses() {
    let proof = hash_proof();
    let root = trusted(&FIXTURE.state.root);
    let mut bytes = [0_u8; size_of::<TrustedRoot>() + 1];
    let at = bytes[1..].as_mut_ptr().cast::<TrustedRoot>();
    // SAFETY: there is room for a root from there on.
    unsafe { at.write_unaligned(root) };
    let answer = answer(|claims, text, room| {
        // SAFETY: as before; a root need not be aligned.
        unsafe { trunkline_verify_root(proof.as_ptr(), proof.len(), at, claims, text, room) }
    });
    assert_eq!(answer.code, Code::TrunklineOk);
    let mut room = [0_u8; size_of::<Claim>() + 8];
    for shift in 0..8 {
        let target = room[shift..].as_mut_ptr().cast::<Claim>();
        // SAFETY: the handle is alive, and there is room for a claim.
        let claim = unsafe {
            let code = trunkline_claims_get(answer.claims, 0, target);
            assert_eq!(code, Code::TrunklineOk);
            target.read_unaligned()
        };
        assert!(claim.key_bytes > 0);
    }
}
