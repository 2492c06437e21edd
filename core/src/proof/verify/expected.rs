//! The roots that a client trusts, and the comparison of a version's root with them.
//!
//! `fold` computes the root from the claims.

use super::VerifyProofError;
use crate::hash::Digest;
use crate::proof::VersionProof;
use crate::record::Root;

/// The root that the client trusts, from a source outside the proof.
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
    /// The id of a commit. The proof must have a hash top and carry the record of that commit.
    CommitId(Digest),
    /// A state digest. The proof must have a hash top; nothing binds its version.
    StateDigest {
        /// The id of the tree.
        tree_id: Digest,
        /// The state digest.
        state_digest: Digest,
    },
    /// A KZG root. The proof must have a KZG top; nothing binds its version.
    KzgRoot {
        /// The id of the tree.
        tree_id: Digest,
        /// The commitment to the slots.
        kzg_root: [u8; 48],
    },
    /// Nothing: the proof is only compared with the root and the record that it carries.
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
    /// No trusted root: the prover chose everything in the proof.
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
    /// The state digest of a hash top.
    StateDigest(Digest),
    /// The commitment of a KZG top.
    Kzg([u8; 48]),
}

/// The parts of a trusted root.
#[derive(Default)]
pub(crate) struct Trusted<'a> {
    pub(crate) tree_id: Option<&'a Digest>,
    pub(crate) version: Option<u64>,
    pub(crate) commit_id: Option<&'a Digest>,
    pub(crate) state_digest: Option<&'a Digest>,
    pub(crate) kzg_root: Option<&'a [u8; 48]>,
    /// True if a record must be carried, because only its commit id is trusted.
    pub(crate) needs_record: bool,
}

impl Expected {
    pub(crate) fn trusted(&self) -> Trusted<'_> {
        match self {
            Self::Root(root) => Trusted {
                tree_id: Some(&root.tree_id),
                version: Some(root.version),
                commit_id: Some(&root.commit_id),
                state_digest: Some(&root.state_digest),
                kzg_root: root.kzg_root.as_ref(),
                needs_record: false,
            },
            Self::CommitId(commit_id) => Trusted {
                commit_id: Some(commit_id),
                needs_record: true,
                ..Trusted::default()
            },
            Self::StateDigest {
                tree_id,
                state_digest,
            } => Trusted {
                tree_id: Some(tree_id),
                state_digest: Some(state_digest),
                ..Trusted::default()
            },
            Self::KzgRoot { tree_id, kzg_root } => Trusted {
                tree_id: Some(tree_id),
                kzg_root: Some(kzg_root),
                ..Trusted::default()
            },
            Self::Carried => Trusted::default(),
        }
    }
}

/// Returns an error unless the found value is the trusted one, or none is trusted.
pub(crate) fn same<T: PartialEq, E>(trusted: Option<T>, found: T, error: E) -> Result<(), E> {
    match trusted {
        Some(trusted) if trusted != found => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn check_record(
    proof: &VersionProof,
    tree_id: &Digest,
    root: &TopRoot,
) -> Result<(), VerifyProofError> {
    let Some(record) = &proof.record else {
        return Ok(());
    };
    let version = Some(proof.version);
    same(Some(tree_id), &record.tree_id, VerifyProofError::RecordTree)?;
    same(version, record.version, VerifyProofError::RecordVersion)?;
    let state_digest = match root {
        TopRoot::StateDigest(digest) => Some(digest),
        TopRoot::Kzg(_) => None,
    };
    same(
        state_digest,
        &record.state_digest,
        VerifyProofError::RecordState,
    )
}

/// Compares a version's root with the client's. The record was already found to match tree id, version and state
/// digest.
pub(super) fn check_expected(
    proof: &VersionProof,
    tree_id: &Digest,
    root: &TopRoot,
    expected: &Expected,
) -> Result<BoundTo, VerifyProofError> {
    use VerifyProofError as Broken;
    let trusted = expected.trusted();
    same(trusted.tree_id, tree_id, Broken::ExpectedTree)?;
    same(trusted.version, proof.version, Broken::ExpectedVersion)?;
    match &proof.record {
        Some(record) if trusted.commit_id.is_some() => {
            let commit_id = &record.commit_id();
            same(trusted.commit_id, commit_id, Broken::ExpectedCommit)?;
        }
        None if trusted.needs_record => return Err(Broken::NeedsRecord),
        _ => {}
    }
    let bound_to = match expected {
        Expected::Root(_) => BoundTo::Root,
        Expected::CommitId(_) => BoundTo::CommitId,
        Expected::StateDigest { .. } => BoundTo::StateDigest,
        Expected::KzgRoot { .. } => BoundTo::KzgRoot,
        Expected::Carried => return Ok(BoundTo::Nothing),
    };
    match root {
        TopRoot::StateDigest(_) if bound_to == BoundTo::KzgRoot => Err(Broken::NeedsKzgTop),
        TopRoot::StateDigest(digest) => same(trusted.state_digest, digest, Broken::ExpectedState),
        TopRoot::Kzg(_) if trusted.kzg_root.is_none() => Err(Broken::NeedsHashTop),
        TopRoot::Kzg(found) => same(trusted.kzg_root, found, Broken::ExpectedKzgRoot),
    }?;
    Ok(bound_to)
}
