//! Promotion after a carrier lost acknowledged data: the replicas are asked, and the one with the highest version is
//! promoted.
//!
//! A version that is `followed(k)` is on k replicas and on its primary, k + 1 of all members. Among any n − k of n
//! members is one that has it. So n − k members first refuse all lower epochs, durably: from then on no older primary
//! finds k replicas. Then the highest version among them covers everything that was ever `followed(k)`.
//!
//! The highest version is the last one of those written in the highest epoch. The version number alone is not enough: a
//! fenced primary may have written many versions that no replica followed. In each epoch only one primary writes, and
//! only after its beginning is in the stream, so after everything that was followed before.
//!
//! It does not matter which member was the primary, as long as the members are the same. A member that lost its files
//! must not answer under its old name.

use std::collections::BTreeMap;

use trunkline_core::store::log::LogPosition;

use crate::wire::Report;

/// A version with the epoch in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Height {
    /// The epoch in the record of the version.
    pub written_in: u64,
    /// The version.
    pub position: LogPosition,
}

impl Height {
    fn order(&self) -> (u64, u64) {
        (self.written_in, self.position.version)
    }
}

/// The answers to one request to refuse lower epochs.
#[derive(Clone, Debug)]
pub struct Round {
    epoch: u64,
    needed: usize,
    names: Vec<String>,
    answers: BTreeMap<String, Height>,
}

/// The reason why no member is promoted after a loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// Too few replicas answered.
    #[error(
        "{answered} of {needed} members that are needed answered; start {missing:?} as replicas, or force the promotion: versions that only these have are then lost, although they may be acknowledged as followed"
    )]
    TooFew {
        /// Number of members that answered.
        answered: usize,
        /// Number of answers that are needed.
        needed: usize,
        /// Names of the other members.
        missing: Vec<String>,
    },
    /// Another replica has a higher version.
    #[error(
        "{name} has version {version} of epoch {written_in}, which is higher than version {own} of this tree: promote {name}"
    )]
    NotHighest {
        /// The member to promote.
        name: String,
        /// Its version.
        version: u64,
        /// The epoch in which it was written.
        written_in: u64,
        /// The version of this tree.
        own: u64,
    },
    /// Another replica has a different version.
    #[error(
        "version {version} of {name} and that of this tree were written in the same epoch and differ: two copies of a directory were opened for writing; compare both before you promote one"
    )]
    Diverged {
        /// The member.
        name: String,
        /// The version.
        version: u64,
    },
    /// `followed(k)` is not possible with these members.
    #[error("followed({k}) is not possible with {members} members, of which one is the primary")]
    Impossible {
        /// The number of replicas that must follow.
        k: usize,
        /// The number of members.
        members: usize,
    },
}

impl Round {
    /// Begins to count answers of the members, by name: all directories that may be the primary's or a replica's. `k`
    /// replicas must follow.
    pub fn new(epoch: u64, names: Vec<String>, k: usize) -> Result<Self, LossError> {
        let members = names.len();
        if k == 0 || k >= members {
            return Err(LossError::Impossible { k, members });
        }
        Ok(Self {
            epoch,
            needed: members - k,
            names,
            answers: BTreeMap::new(),
        })
    }

    /// Takes a report. It counts as an answer if it comes from a member and refuses every lower epoch.
    pub fn take(&mut self, name: &str, report: &Report) {
        let is_named = self.names.iter().any(|known| known == name);
        if is_named && report.refuses_below >= self.epoch {
            let height = Height {
                written_in: report.written_in,
                position: report.synced,
            };
            self.answers.insert(name.into(), height);
        }
    }

    /// Returns whether enough replicas have answered.
    pub fn is_enough(&self) -> bool {
        self.answers.len() >= self.needed
    }

    /// Returns an error unless a tree of this height may be promoted. If `forced`, fewer answers are enough.
    pub fn check(&self, own: &Height, forced: bool) -> Result<(), LossError> {
        if !self.is_enough() && !forced {
            return Err(self.too_few());
        }
        for (name, height) in &self.answers {
            let (name, version) = (name.clone(), height.position.version);
            if height.order() > own.order() {
                return Err(LossError::NotHighest {
                    name,
                    version,
                    written_in: height.written_in,
                    own: own.position.version,
                });
            }
            if height.order() == own.order() && height != own {
                return Err(LossError::Diverged { name, version });
            }
        }
        Ok(())
    }

    fn too_few(&self) -> LossError {
        let is_missing = |name: &&String| !self.answers.contains_key(*name);
        LossError::TooFew {
            answered: self.answers.len(),
            needed: self.needed,
            missing: self.names.iter().filter(is_missing).cloned().collect(),
        }
    }
}
