//! trunkline's proofs, verified from C.
//!
//! One call decodes and verifies a proof, and returns a handle to the claims only if they are proven: there is no way
//! to read a claim of an invalid proof. `include/trunkline_verifier.h` is generated from this crate; `README.md` has
//! examples. In Rust, use `trunkline-core` itself.
//!
//! Guarantees of each call, whatever its input:
//!
//! * inputs are read first and outputs written last, byte by byte where necessary, so buffers may overlap and need no
//!   alignment;
//! * a null pointer is an empty buffer if its length is zero, and otherwise [`Code::TrunklineBadArgument`];
//! * a panic does not cross into C: it is [`Code::TrunklineInternal`].
//!
//! C gives no way to check that a pointer points to the stated number of bytes, or that a handle came from this library
//! and has not been freed. The library makes no proofs.
//!
//! The comments of types and functions are those of the header, so the only example in Rust is here:
//!
//! ```
//! use std::ptr::{null, null_mut};
//! use trunkline_verifier::{Code, trunkline_claims_count, trunkline_verify_commit_id};
//!
//! let (commit_id, mut claims) = ([0; 32], null_mut());
//! // SAFETY: a proof of no bytes may be null, and so may a text of no bytes.
//! let code = unsafe {
//!     trunkline_verify_commit_id(null(), 0, commit_id.as_ptr(), &mut claims, null_mut(), 0)
//! };
//! assert_eq!(code, Code::TrunklineUndecodable);
//! assert!(claims.is_null());
//! // SAFETY: null is allowed.
//! assert_eq!(unsafe { trunkline_claims_count(claims) }, 0);
//! ```

mod buffer;
mod claims;

pub use claims::{Claim, ClaimKind, Claims};

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use trunkline_core::proof::{Expected, Proof, verify};
use trunkline_core::record::Root;

/// The result of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The call succeeded. For a verification: every claim is proven.
    TrunklineOk = 0,
    /// The bytes are a proof, but it does not hold against the trusted values. It disproves nothing either.
    TrunklineNotProven = 1,
    /// The bytes are not a proof that this library can read.
    TrunklineUndecodable = 2,
    /// A pointer must not be null but is, a length is impossible, or a flag is neither 0 nor 1.
    TrunklineBadArgument = 3,
    /// There is no such claim, or no trusted value binds the proof to a version.
    TrunklineNotFound = 4,
    /// A bug in this library; please report it. Nothing is proven.
    TrunklineInternal = 5,
}

/// A whole root, as published by the operator of the tree.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrustedRoot {
    /// The id of the tree.
    pub tree_id: [u8; 32],
    /// The version.
    pub version: u64,
    /// The hash of the version's commit record.
    pub commit_id: [u8; 32],
    /// The digest of the version's state.
    pub state_digest: [u8; 32],
    /// 1 if there is a KZG root, otherwise 0.
    pub has_kzg_root: u8,
    /// The KZG root, if there is one.
    pub kzg_root: [u8; 48],
}

/// Verifies a proof against a whole root, which binds its tree, version and state.
///
/// `claims` receives a handle if and only if the result is `TRUNKLINE_OK`, and null otherwise; free it with
/// `trunkline_claims_free`. `error` receives a text that says what to do, cut to `error_bytes` including its
/// terminating zero; it may be null if `error_bytes` is 0.
///
/// # Safety
///
/// Each pointer points to the bytes named here: `root` to a `trunkline_root`, `claims` to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_verify_root(
    proof: *const u8,
    proof_bytes: usize,
    root: *const TrustedRoot,
    claims: *mut *mut Claims,
    error: *mut c_char,
    error_bytes: usize,
) -> Code {
    let expected = || {
        // SAFETY: the caller's promise.
        let root = unsafe { buffer::read_struct(root) }?;
        let kzg_root = match root.has_kzg_root {
            0 => None,
            1 => Some(root.kzg_root),
            _ => return None,
        };
        Some(Expected::Root(Root {
            tree_id: root.tree_id,
            version: root.version,
            commit_id: root.commit_id,
            state_digest: root.state_digest,
            kzg_root,
        }))
    };
    // SAFETY: the caller's promise.
    unsafe { run(proof, proof_bytes, expected, claims, error, error_bytes) }
}

/// Verifies a proof against the id of a commit (32 bytes), which binds its tree, version and state. The
/// proof carries the commit's record and has a hash top.
///
/// # Safety
///
/// As for `trunkline_verify_root`; `commit_id` points to 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_verify_commit_id(
    proof: *const u8,
    proof_bytes: usize,
    commit_id: *const u8,
    claims: *mut *mut Claims,
    error: *mut c_char,
    error_bytes: usize,
) -> Code {
    let expected = || {
        // SAFETY: the caller's promise.
        unsafe { buffer::read_array(commit_id) }.map(Expected::CommitId)
    };
    // SAFETY: the caller's promise.
    unsafe { run(proof, proof_bytes, expected, claims, error, error_bytes) }
}

/// Verifies a proof with a hash top against a state digest of a tree (32 bytes each). Nothing binds its
/// version.
///
/// # Safety
///
/// As for `trunkline_verify_root`; `tree_id` and `state_digest` point to 32 bytes each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_verify_state_digest(
    proof: *const u8,
    proof_bytes: usize,
    tree_id: *const u8,
    state_digest: *const u8,
    claims: *mut *mut Claims,
    error: *mut c_char,
    error_bytes: usize,
) -> Code {
    let expected = || {
        // SAFETY: the caller's promise.
        let (tree_id, state_digest) = unsafe {
            (
                buffer::read_array(tree_id)?,
                buffer::read_array(state_digest)?,
            )
        };
        Some(Expected::StateDigest {
            tree_id,
            state_digest,
        })
    };
    // SAFETY: the caller's promise.
    unsafe { run(proof, proof_bytes, expected, claims, error, error_bytes) }
}

/// Verifies a proof with a KZG top against a KZG root (48 bytes) of a tree (32 bytes). Nothing binds its
/// version.
///
/// # Safety
///
/// As for `trunkline_verify_root`; `tree_id` points to 32 bytes, `kzg_root` to 48.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_verify_kzg_root(
    proof: *const u8,
    proof_bytes: usize,
    tree_id: *const u8,
    kzg_root: *const u8,
    claims: *mut *mut Claims,
    error: *mut c_char,
    error_bytes: usize,
) -> Code {
    let expected = || {
        // SAFETY: the caller's promise.
        let (tree_id, kzg_root) =
            unsafe { (buffer::read_array(tree_id)?, buffer::read_array(kzg_root)?) };
        Some(Expected::KzgRoot { tree_id, kzg_root })
    };
    // SAFETY: the caller's promise.
    unsafe { run(proof, proof_bytes, expected, claims, error, error_bytes) }
}

/// Returns the number of claims: at least one, or 0 for a null pointer. Claims are numbered from 0, ascending by
/// the hash of their key.
///
/// # Safety
///
/// `claims` is null or a handle that has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_claims_count(claims: *const Claims) -> usize {
    // SAFETY: the caller's promise.
    unsafe { claims.as_ref() }.map_or(0, Claims::count)
}

/// Gets a claim by its number. Returns `TRUNKLINE_NOT_FOUND` if there is no claim with that number.
///
/// # Safety
///
/// `claims` is null or a handle that has not been freed; `claim` is null or points to a `trunkline_claim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_claims_get(
    claims: *const Claims,
    index: usize,
    claim: *mut Claim,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { look(claims, claim, |claims| claims.get(index)) }
}

/// Finds a claim by its key. Returns `TRUNKLINE_NOT_FOUND` if the proof is not about the key: then nothing is known
/// about the key, and it may well be present.
///
/// # Safety
///
/// As for `trunkline_claims_get`; `key` points to `key_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_claims_find(
    claims: *const Claims,
    key: *const u8,
    key_bytes: usize,
    claim: *mut Claim,
) -> Code {
    // SAFETY: the caller's promise; the bytes are no longer borrowed when anything is written.
    let Some(key) = (unsafe { buffer::read_bytes(key, key_bytes) }) else {
        return Code::TrunklineBadArgument;
    };
    // SAFETY: the caller's promise.
    unsafe { look(claims, claim, |claims| claims.find(&key)) }
}

/// Writes the version of the claims to `version`. Returns `TRUNKLINE_NOT_FOUND` if no trusted value binds the version:
/// only a whole root and a commit id do.
///
/// # Safety
///
/// `claims` is null or a handle that has not been freed; `version` is null or points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_claims_version(
    claims: *const Claims,
    version: *mut u64,
) -> Code {
    // SAFETY: the caller's promise.
    unsafe { look(claims, version, Claims::version) }
}

/// Frees the claims, and with them every key and value that `trunkline_claim`s point to. Null is ignored.
///
/// # Safety
///
/// `claims` is null or a handle that has not been freed, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_claims_free(claims: *mut Claims) {
    if !claims.is_null() {
        // SAFETY: every handle is from `Box::into_raw`, and the caller promises to free it once.
        drop(unsafe { Box::from_raw(claims) });
    }
}

/// Reads all inputs, verifies, and only then writes the outputs.
///
/// # Safety
///
/// As for [`trunkline_verify_root`]; `expected` reads only its own pointers.
unsafe fn run(
    proof: *const u8,
    proof_bytes: usize,
    expected: impl FnOnce() -> Option<Expected>,
    claims: *mut *mut Claims,
    error: *mut c_char,
    error_bytes: usize,
) -> Code {
    let verified = catch_unwind(AssertUnwindSafe(|| {
        if claims.is_null() || (error.is_null() && error_bytes > 0) {
            return Err((Code::TrunklineBadArgument, BAD_ARGUMENT.to_owned()));
        }
        let bad_argument = || (Code::TrunklineBadArgument, BAD_ARGUMENT.to_owned());
        let expected = expected().ok_or_else(bad_argument)?;
        // SAFETY: the caller's promise; the bytes are no longer borrowed when anything is written.
        let bytes = unsafe { buffer::borrow_bytes(proof, proof_bytes) };
        verified_claims(bytes.ok_or_else(bad_argument)?, &expected)
    }));
    let (code, handle, text) = match verified {
        Ok(Ok(claims)) => (
            Code::TrunklineOk,
            Box::into_raw(Box::new(claims)),
            String::new(),
        ),
        Ok(Err((code, text))) => (code, std::ptr::null_mut(), text),
        Err(_) => (
            Code::TrunklineInternal,
            std::ptr::null_mut(),
            INTERNAL.to_owned(),
        ),
    };
    // SAFETY: the caller's promise.
    unsafe {
        buffer::write_text(&text, error, error_bytes);
        buffer::write_struct(handle, claims);
    }
    code
}

const BAD_ARGUMENT: &str =
    "an argument is null, impossibly long or neither 0 nor 1; see trunkline_verifier.h";
const INTERNAL: &str =
    "the verifier failed by a bug of its own; nothing is proven, please report it";

fn verified_claims(bytes: &[u8], expected: &Expected) -> Result<Claims, (Code, String)> {
    let proof =
        Proof::decode(bytes).map_err(|error| (Code::TrunklineUndecodable, error.to_string()))?;
    let verified =
        verify(&proof, expected).map_err(|error| (Code::TrunklineNotProven, error.to_string()))?;
    Ok(Claims::of(&verified))
}

/// Looks something up in the claims, and writes it if it is found.
///
/// # Safety
///
/// `claims` is null or a handle that has not been freed; `out` is null or points to a `T`.
unsafe fn look<T>(
    claims: *const Claims,
    out: *mut T,
    find: impl FnOnce(&Claims) -> Option<T>,
) -> Code {
    // SAFETY: the caller's promise. Claims never change, so any number of threads may read them.
    let Some(claims) = (unsafe { claims.as_ref() }).filter(|_| !out.is_null()) else {
        return Code::TrunklineBadArgument;
    };
    match catch_unwind(AssertUnwindSafe(|| find(claims))) {
        Ok(Some(found)) => {
            // SAFETY: not null, and the caller's promise.
            unsafe { buffer::write_struct(found, out) };
            Code::TrunklineOk
        }
        Ok(None) => Code::TrunklineNotFound,
        Err(_) => Code::TrunklineInternal,
    }
}
