//! The roots that a client trusts, and comparing the root of a version with them.
//!
//! Not here: how the root follows from the claims.

use super::VerifyProofError;
use crate::hash::Digest;
use crate::proof::VersionProof;
use crate::record::{CommitRecord, Root};

/// The root that the client trusts, from a source outside of the proof.
///
/// A tree id belongs to every root: under another salt every key would be "absent".
///
/// ```
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::Expected;
/// let tree_id = TreeParams::default().tree_id();
/// let expected = Expected::StateDigest { tree_id, state_digest: [0; 32] };
/// assert_ne!(expected, Expected::Carried);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A whole root. Either top is checked against it.
    Root(Root),
    /// The id of a commit. The proof has a hash top and carries the record of that id.
    CommitId(Digest),
    /// A state digest. The proof has a hash top; nothing binds its version.
    StateDigest {
        /// The tree.
        tree_id: Digest,
        /// Its state digest.
        state_digest: Digest,
    },
    /// A KZG root. The proof has a KZG top; nothing binds its version.
    KzgRoot {
        /// The tree.
        tree_id: Digest,
        /// The commitment to its slots.
        kzg_root: [u8; 48],
    },
    /// Nothing: only that the proof agrees with the root and the record that it carries.
    Carried,
}

/// The trusted root that the claims of a verified proof rest on.
///
/// ```
/// use trunkline_core::proof::BoundTo;
/// assert_ne!(BoundTo::CommitId, BoundTo::Nothing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundTo {
    /// The trusted root: its tree, version and state.
    Root,
    /// The trusted commit id: tree, version and state.
    CommitId,
    /// The trusted state digest: tree and state, but no version.
    StateDigest,
    /// The trusted KZG root: tree and state, but no version.
    KzgRoot,
    /// Nothing that the client trusts: the prover chose everything in the proof.
    Nothing,
}

/// The root that the claims of a proof lead to.
///
/// ```
/// use trunkline_core::proof::TopRoot;
/// assert_ne!(TopRoot::StateDigest([0; 32]), TopRoot::Kzg([0; 48]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopRoot {
    /// The state digest that a hash top gives.
    StateDigest(Digest),
    /// The commitment of a KZG top.
    Kzg([u8; 48]),
}

pub(super) fn check_record(
    proof: &VersionProof,
    tree_id: &Digest,
    root: &TopRoot,
) -> Result<(), VerifyProofError> {
    let Some(record) = &proof.record else {
        return Ok(());
    };
    if record.tree_id != *tree_id {
        return Err(VerifyProofError::RecordTree);
    }
    if record.version != proof.version {
        return Err(VerifyProofError::RecordVersion);
    }
    match root {
        TopRoot::StateDigest(digest) if *digest != record.state_digest => {
            Err(VerifyProofError::RecordState)
        }
        _ => Ok(()),
    }
}

pub(super) fn check_expected(
    proof: &VersionProof,
    tree_id: &Digest,
    root: &TopRoot,
    expected: &Expected,
) -> Result<BoundTo, VerifyProofError> {
    match expected {
        Expected::Root(expected) => {
            check_tree(tree_id, &expected.tree_id)?;
            check_root(proof, root, expected)?;
            Ok(BoundTo::Root)
        }
        Expected::CommitId(commit_id) => {
            check_commit(proof, root, commit_id)?;
            Ok(BoundTo::CommitId)
        }
        Expected::StateDigest {
            tree_id: expected,
            state_digest,
        } => {
            check_tree(tree_id, expected)?;
            check_state(root, state_digest)?;
            Ok(BoundTo::StateDigest)
        }
        Expected::KzgRoot {
            tree_id: expected,
            kzg_root,
        } => {
            check_tree(tree_id, expected)?;
            check_kzg_root(root, kzg_root)?;
            Ok(BoundTo::KzgRoot)
        }
        Expected::Carried => Ok(BoundTo::Nothing),
    }
}

fn check_tree(tree_id: &Digest, expected: &Digest) -> Result<(), VerifyProofError> {
    if tree_id != expected {
        return Err(VerifyProofError::ExpectedTree);
    }
    Ok(())
}

fn check_root(
    proof: &VersionProof,
    root: &TopRoot,
    expected: &Root,
) -> Result<(), VerifyProofError> {
    if proof.version != expected.version {
        return Err(VerifyProofError::ExpectedVersion);
    }
    let commit_id = proof.record.as_ref().map(CommitRecord::commit_id);
    if commit_id.is_some_and(|commit_id| commit_id != expected.commit_id) {
        return Err(VerifyProofError::ExpectedCommit);
    }
    match (root, &expected.kzg_root) {
        (TopRoot::StateDigest(_), _) => check_state(root, &expected.state_digest),
        (TopRoot::Kzg(_), Some(kzg_root)) => check_kzg_root(root, kzg_root),
        (TopRoot::Kzg(_), None) => Err(VerifyProofError::NeedsHashTop),
    }
}

/// Compares the commit id. The record was already found to agree with tree id, version and state digest.
fn check_commit(
    proof: &VersionProof,
    root: &TopRoot,
    expected: &Digest,
) -> Result<(), VerifyProofError> {
    let Some(record) = &proof.record else {
        return Err(VerifyProofError::NeedsRecord);
    };
    if record.commit_id() != *expected {
        return Err(VerifyProofError::ExpectedCommit);
    }
    match root {
        TopRoot::StateDigest(_) => Ok(()),
        TopRoot::Kzg(_) => Err(VerifyProofError::NeedsHashTop),
    }
}

fn check_state(root: &TopRoot, expected: &Digest) -> Result<(), VerifyProofError> {
    match root {
        TopRoot::StateDigest(digest) if digest == expected => Ok(()),
        TopRoot::StateDigest(_) => Err(VerifyProofError::ExpectedState),
        TopRoot::Kzg(_) => Err(VerifyProofError::NeedsHashTop),
    }
}

fn check_kzg_root(root: &TopRoot, expected: &[u8; 48]) -> Result<(), VerifyProofError> {
    match root {
        TopRoot::Kzg(commitment) if commitment == expected => Ok(()),
        TopRoot::Kzg(_) => Err(VerifyProofError::ExpectedKzgRoot),
        TopRoot::StateDigest(_) => Err(VerifyProofError::NeedsKzgTop),
    }
}
