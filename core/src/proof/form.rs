//! The bounds of a proof's form: counts, lengths, depths.
//!
//! These checks do not verify the proof.

use super::{
    BUCKET_MEMBERS_MIN, Claim, ENTRIES_MAX, Entry, PROOF_BYTES_MAX, Place, Proof, Terminal, Top,
    VERSIONS_MAX, VersionProof,
};
use crate::params::{
    BUCKET_MEMBERS_MAX, KEY_BYTES_MAX, METADATA_BYTES_MAX, PATH_BITS, ROOT_BITS, VALUE_BYTES_MAX,
    WIDTH,
};

/// The bound that a proof exceeds.
///
/// ```
/// use trunkline_core::proof::*;
/// # use trunkline_core::{hash::ZERO, params::TreeParams};
/// # let proof = Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version: 0,
/// #         record: None,
/// #         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// // `proof` says that "alice" is absent.
/// let mut too_high = proof.clone();
/// too_high.versions[0].terminals[0].depth = 6;
/// assert_eq!(too_high.encode(), Err(ProofFormError::Depth(6)));
/// let mut no_terminal = proof;
/// no_terminal.versions[0].terminals.clear();
/// assert_eq!(no_terminal.encode(), Err(ProofFormError::Terminals(0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFormError {
    /// The number of versions is out of bounds.
    #[error("a proof has 1 to {VERSIONS_MAX} versions, not {0}; split it")]
    Versions(usize),
    /// A version has no entry, or there are too many in total.
    #[error(
        "a proof has at least one entry at each version and up to {ENTRIES_MAX} in all, not {0}; split it"
    )]
    Entries(usize),
    /// A version has no terminal, or more terminals than entries.
    #[error("a version has at least one terminal, and at most one for each entry, not {0}")]
    Terminals(usize),
    /// A key is too long.
    #[error("a key of {0} bytes is longer than {KEY_BYTES_MAX}")]
    KeyBytes(usize),
    /// A value is too long.
    #[error("a value of {0} bytes is longer than {VALUE_BYTES_MAX}; claim its hash instead")]
    ValueBytes(usize),
    /// The metadata of the carried record is too long.
    #[error("commit metadata of {0} bytes is longer than {METADATA_BYTES_MAX}")]
    MetadataBytes(usize),
    /// A terminal is above the slots of the root node or below the last bit of the path.
    #[error("a terminal has a depth of {ROOT_BITS} to {PATH_BITS}, not {0}")]
    Depth(u32),
    /// The number of members is out of bounds.
    #[error("a bucket has {BUCKET_MEMBERS_MIN} to {BUCKET_MEMBERS_MAX} members, not {0}")]
    BucketMembers(usize),
    /// There are more siblings below the slots than levels on the paths of the terminals.
    #[error(
        "a version has at most {SIBLINGS_OF_TERMINAL_MAX} siblings below the slots for each terminal, {max} here, not {found}"
    )]
    Siblings {
        /// The number of siblings in the proof.
        found: usize,
        /// The highest number of siblings.
        max: usize,
    },
    /// There are more siblings above the slots than levels above the slots of the terminals.
    #[error(
        "a hash top has at most {SIBLINGS_OF_SLOT_MAX} siblings for each slot, {max} here, not {found}"
    )]
    TopSiblings {
        /// The number of siblings in the proof.
        found: usize,
        /// The highest number of siblings.
        max: usize,
    },
    /// The encoded proof is too long.
    #[error("a proof of {0} bytes is longer than {PROOF_BYTES_MAX}; split it")]
    Bytes(usize),
}

impl Proof {
    /// Makes the checks that the types do not make: counts, lengths and depths.
    pub(super) fn check_form(&self) -> Result<(), ProofFormError> {
        let mut counts = Counts::default();
        for version in &self.versions {
            counts.add(version.entries.len(), version.terminals.len())?;
        }
        counts.check()?;
        self.versions.iter().try_for_each(VersionProof::check_form)
    }
}

/// Most siblings below the slot on the path to a terminal.
const SIBLINGS_OF_TERMINAL_MAX: usize = (PATH_BITS - ROOT_BITS) as usize;
/// Most siblings on the path from a slot to the root.
const SIBLINGS_OF_SLOT_MAX: usize = ROOT_BITS as usize;

/// Checks the number of siblings below the slots.
pub(super) fn check_siblings(found: usize, terminals: usize) -> Result<(), ProofFormError> {
    let max = SIBLINGS_OF_TERMINAL_MAX * terminals;
    match found {
        _ if found <= max => Ok(()),
        _ => Err(ProofFormError::Siblings { found, max }),
    }
}

/// Checks the number of siblings above the slots. Each slot has a terminal.
pub(super) fn check_top_siblings(found: usize, terminals: usize) -> Result<(), ProofFormError> {
    let max = SIBLINGS_OF_SLOT_MAX * terminals.min(WIDTH);
    match found {
        _ if found <= max => Ok(()),
        _ => Err(ProofFormError::TopSiblings { found, max }),
    }
}

/// Counts over all versions of a proof.
#[derive(Default)]
pub(super) struct Counts {
    versions: usize,
    entries: usize,
}

impl Counts {
    /// Adds the counts of one more version.
    pub(super) fn add(&mut self, entries: usize, terminals: usize) -> Result<(), ProofFormError> {
        self.versions += 1;
        self.entries += entries;
        if self.versions > VERSIONS_MAX {
            return Err(ProofFormError::Versions(self.versions));
        }
        if entries == 0 || self.entries > ENTRIES_MAX {
            return Err(ProofFormError::Entries(match entries {
                0 => 0,
                _ => self.entries,
            }));
        }
        if !(1..=entries).contains(&terminals) {
            return Err(ProofFormError::Terminals(terminals));
        }
        Ok(())
    }

    /// Checks the counts of all versions.
    pub(super) fn check(&self) -> Result<(), ProofFormError> {
        match self.versions {
            0 => Err(ProofFormError::Versions(0)),
            _ => Ok(()),
        }
    }
}

impl VersionProof {
    fn check_form(&self) -> Result<(), ProofFormError> {
        let metadata_bytes = self
            .record
            .as_ref()
            .map_or(0, |record| record.metadata.len());
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(ProofFormError::MetadataBytes(metadata_bytes));
        }
        let terminals = self.terminals.len();
        check_siblings(self.siblings.len(), terminals)?;
        if let Top::Hash { siblings } = &self.top {
            check_top_siblings(siblings.len(), terminals)?;
        }
        self.entries.iter().try_for_each(Entry::check_form)?;
        self.terminals.iter().try_for_each(Terminal::check_form)
    }
}

impl Entry {
    fn check_form(&self) -> Result<(), ProofFormError> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(ProofFormError::KeyBytes(self.key.len()));
        }
        match &self.claim {
            Claim::Present(value) if value.len() > VALUE_BYTES_MAX => {
                Err(ProofFormError::ValueBytes(value.len()))
            }
            _ => Ok(()),
        }
    }
}

impl Terminal {
    fn check_form(&self) -> Result<(), ProofFormError> {
        let depth = u32::from(self.depth);
        if !(ROOT_BITS..=PATH_BITS).contains(&depth) {
            return Err(ProofFormError::Depth(depth));
        }
        match &self.place {
            Place::Bucket(members) => check_members(members.len()),
            _ => Ok(()),
        }
    }
}

pub(super) fn check_members(count: usize) -> Result<(), ProofFormError> {
    if !(BUCKET_MEMBERS_MIN..=BUCKET_MEMBERS_MAX).contains(&count) {
        return Err(ProofFormError::BucketMembers(count));
    }
    Ok(())
}
