//! Promotion after a carrier lost what it had acknowledged: the replicas are asked, and the highest wins.
//!
//! A version that is `followed(k)` is on k of n replicas. Among any n − k + 1 of them is one that has it. So as many
//! first refuse all lower epochs, durably: from then on no older primary finds k replicas. Then the highest version
//! among them covers everything that was ever `followed(k)`.

use std::collections::BTreeMap;

use trunkline_core::store::log::LogPosition;

use super::takeover::Chain;
use crate::wire::Report;

/// The answers to one request to refuse lower epochs.
#[derive(Clone, Debug)]
pub struct Round {
    epoch: u64,
    needed: usize,
    names: Vec<String>,
    answers: BTreeMap<String, LogPosition>,
}

/// The reason why nobody is promoted after a loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// Too few replicas answered.
    #[error(
        "{answered} of {needed} replicas that are needed answered; start {missing:?}, or force the promotion: versions that only these have synced will be lost, although they were acknowledged as followed"
    )]
    TooFew {
        /// How many answered.
        answered: usize,
        /// How many are needed.
        needed: usize,
        /// Names of the others.
        missing: Vec<String>,
    },
    /// Another replica has more.
    #[error(
        "replica {name} has version {version}, and this tree has version {own}: promote {name}"
    )]
    NotHighest {
        /// The replica to promote.
        name: String,
        /// Its version.
        version: u64,
        /// The version here.
        own: u64,
    },
    /// Another replica has something else.
    #[error(
        "version {version} of replica {name} is not that of this tree: compare both before you promote one"
    )]
    Diverged {
        /// The replica.
        name: String,
        /// The version.
        version: u64,
    },
    /// `k` is not possible with these replicas.
    #[error("followed({k}) is not possible with {replicas} replicas")]
    Impossible {
        /// Replicas that have to follow.
        k: usize,
        /// Replicas that there are.
        replicas: usize,
    },
}

impl Round {
    /// Begins to count answers of the named replicas, of which `k` have to follow.
    pub fn new(epoch: u64, names: Vec<String>, k: usize) -> Result<Self, LossError> {
        let replicas = names.len();
        if !(1..=replicas).contains(&k) {
            return Err(LossError::Impossible { k, replicas });
        }
        Ok(Self {
            epoch,
            needed: replicas - k + 1,
            names,
            answers: BTreeMap::new(),
        })
    }

    /// Takes a report. It is an answer if the replica is named and refuses every lower epoch.
    pub fn take(&mut self, name: &str, report: &Report) {
        let is_named = self.names.iter().any(|known| known == name);
        if is_named && report.refuses_below >= self.epoch {
            self.answers.insert(name.into(), report.synced);
        }
    }

    /// Returns whether enough replicas have answered.
    pub fn is_enough(&self) -> bool {
        self.answers.len() >= self.needed
    }

    /// Returns an error unless this tree may be promoted. If `forced`, fewer answers are enough.
    pub fn check(
        &self,
        own: &LogPosition,
        chain: &impl Chain,
        forced: bool,
    ) -> Result<(), LossError> {
        if !self.is_enough() && !forced {
            let missing = self
                .names
                .iter()
                .filter(|name| !self.answers.contains_key(*name));
            return Err(LossError::TooFew {
                answered: self.answers.len(),
                needed: self.needed,
                missing: missing.cloned().collect(),
            });
        }
        let highest = self.answers.iter().max_by_key(|(_, synced)| synced.version);
        if let Some((name, synced)) = highest
            && synced.version > own.version
        {
            return Err(LossError::NotHighest {
                name: name.clone(),
                version: synced.version,
                own: own.version,
            });
        }
        let differing = self.answers.iter().find(|(_, synced)| {
            let commit_id = match synced.version == own.version {
                true => Some(own.commit_id),
                false => chain.commit_id(synced.version),
            };
            commit_id != Some(synced.commit_id)
        });
        match differing {
            None => Ok(()),
            Some((name, synced)) => Err(LossError::Diverged {
                name: name.clone(),
                version: synced.version,
            }),
        }
    }
}
