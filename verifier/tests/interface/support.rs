//! A state with proofs, and calls with valid arguments.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;
use std::sync::LazyLock;

use trunkline_core::kzg::Committer;
use trunkline_core::params::TreeParams;
use trunkline_core::record::Root;
use trunkline_testkit::keys::{number_key, numbered};
use trunkline_testkit::proven::{self, State};
use trunkline_verifier::*;

pub(crate) struct Fixture {
    pub(crate) committer: Committer,
    pub(crate) state: State,
}

pub(crate) static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let committer = proven::committer();
    let empty_value = (b"empty".to_vec(), Vec::new());
    let pairs = numbered(100).chain([empty_value]);
    let state = State::new(TreeParams::default(), pairs, &committer);
    Fixture { committer, state }
});

/// Returns two present numbers, and an absent name.
pub(crate) fn keys() -> [Vec<u8>; 4] {
    let [one, other] = [3, 77].map(number_key);
    [one, other, b"nobody".to_vec(), b"empty".to_vec()]
}

pub(crate) fn hash_proof() -> Vec<u8> {
    FIXTURE
        .state
        .hash_proof(&keys().each_ref().map(Vec::as_slice), true)
}

pub(crate) fn kzg_proof() -> Vec<u8> {
    let keys = keys();
    FIXTURE
        .state
        .kzg_proof(&keys.each_ref().map(Vec::as_slice), &FIXTURE.committer)
}

pub(crate) fn trusted(root: &Root) -> TrustedRoot {
    TrustedRoot {
        tree_id: root.tree_id,
        version: root.version,
        commit_id: root.commit_id,
        state_digest: root.state_digest,
        has_kzg_root: u8::from(root.kzg_root.is_some()),
        kzg_root: root.kzg_root.unwrap_or([0; 48]),
    }
}

/// The result of a verification: its code, its claims and its text.
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) claims: *mut Claims,
    pub(crate) text: String,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: null, or given by a verification and freed here alone.
        unsafe { trunkline_claims_free(self.claims) };
    }
}

/// Calls with a pointer for the claims and a buffer for the error.
pub(crate) fn answer(call: impl FnOnce(*mut *mut Claims, *mut c_char, usize) -> Code) -> Answer {
    let mut claims: *mut Claims = null_mut();
    let mut text = [1 as c_char; 256];
    let code = call(&mut claims, text.as_mut_ptr(), text.len());
    // SAFETY: the call ended the text with a zero within the buffer.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    let text = text.to_str().expect("UTF-8").to_owned();
    assert_eq!(claims.is_null(), code != Code::TrunklineOk);
    assert_eq!(text.is_empty(), code == Code::TrunklineOk);
    Answer { code, claims, text }
}

pub(crate) fn verify_root(proof: &[u8], root: &TrustedRoot) -> Answer {
    answer(|claims, text, room| {
        // SAFETY: every pointer is to what it is said to be.
        unsafe { trunkline_verify_root(proof.as_ptr(), proof.len(), root, claims, text, room) }
    })
}

pub(crate) fn verify_commit_id(proof: &[u8], commit_id: &[u8; 32]) -> Answer {
    let id = commit_id.as_ptr();
    answer(|claims, text, room| {
        // SAFETY: every pointer is to what it is said to be.
        unsafe { trunkline_verify_commit_id(proof.as_ptr(), proof.len(), id, claims, text, room) }
    })
}

pub(crate) fn verify_state_digest(proof: &[u8], tree: &[u8; 32], state: &[u8; 32]) -> Answer {
    let (at, length) = (proof.as_ptr(), proof.len());
    let (tree, state) = (tree.as_ptr(), state.as_ptr());
    answer(|claims, text, room| {
        // SAFETY: every pointer is to what it is said to be.
        unsafe { trunkline_verify_state_digest(at, length, tree, state, claims, text, room) }
    })
}

pub(crate) fn verify_kzg_root(proof: &[u8], tree: &[u8; 32], root: &[u8; 48]) -> Answer {
    let (at, length) = (proof.as_ptr(), proof.len());
    let (tree, root) = (tree.as_ptr(), root.as_ptr());
    answer(|claims, text, room| {
        // SAFETY: every pointer is to what it is said to be.
        unsafe { trunkline_verify_kzg_root(at, length, tree, root, claims, text, room) }
    })
}

/// Returns a meaningless claim, to be overwritten.
pub(crate) fn blank() -> Claim {
    Claim {
        key: std::ptr::null(),
        key_bytes: 0,
        kind: ClaimKind::TrunklineAbsent,
        value: std::ptr::null(),
        value_bytes: 0,
        value_hash: [0xee; 32],
    }
}

pub(crate) fn find(claims: *const Claims, key: &[u8]) -> (Code, Claim) {
    let mut claim = blank();
    // SAFETY: the handle is alive, the key a slice, the claim a claim.
    let code = unsafe { trunkline_claims_find(claims, key.as_ptr(), key.len(), &mut claim) };
    (code, claim)
}
