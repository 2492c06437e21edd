//! The facts of a round: the versions that were committed and acknowledged, and so must not be lost.

use std::collections::{BTreeMap, HashSet};

use trunkline_core::hash::Digest;
use trunkline_core::store::log::LogPosition;

use crate::chain::{Versions, genesis};

/// The actions of all primaries of a round.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Commit ids that a primary made durable.
    committed: HashSet<Digest>,
    /// Commit ids acknowledged as replicated, by version.
    replicated: BTreeMap<u64, Digest>,
    /// Commit ids acknowledged as followed, by version.
    followed: BTreeMap<u64, Digest>,
    pub(crate) counts: Counts,
}

/// The number of times that the events of a round happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) replicated: u64,
    pub(crate) followed: u64,
    pub(crate) promotions: u64,
    pub(crate) fenced: u64,
    pub(crate) losses: u64,
    pub(crate) diverged: u64,
    pub(crate) strays: u64,
    pub(crate) refused_takeovers: u64,
    pub(crate) refused_losses: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.replicated += other.replicated;
        self.followed += other.followed;
        self.promotions += other.promotions;
        self.fenced += other.fenced;
        self.losses += other.losses;
        self.diverged += other.diverged;
        self.strays += other.strays;
        self.refused_takeovers += other.refused_takeovers;
        self.refused_losses += other.refused_losses;
    }
}

impl Model {
    pub(crate) fn commit(&mut self, position: LogPosition) {
        self.committed.insert(position.commit_id);
    }

    pub(crate) fn check_committed(&self, position: LogPosition) {
        let is_committed = position == genesis() || self.committed.contains(&position.commit_id);
        assert!(
            is_committed,
            "a replica shows version {} that no primary committed",
            position.version
        );
    }

    pub(crate) fn acknowledge_replicated(&mut self, position: LogPosition) {
        self.counts.replicated += 1;
        acknowledge(&mut self.replicated, position);
    }

    pub(crate) fn acknowledge_followed(&mut self, position: LogPosition) {
        self.counts.followed += 1;
        acknowledge(&mut self.followed, position);
    }

    /// Checks that a chain has all versions that were acknowledged as replicated.
    pub(crate) fn check_replicated(&self, chain: &Versions, who: &str) {
        check_all(&self.replicated, chain, who, "replicated");
    }

    /// Checks that a chain has all versions that were acknowledged as followed.
    pub(crate) fn check_followed(&self, chain: &Versions, who: &str) {
        check_all(&self.followed, chain, who, "followed");
    }

    /// Forgets the versions that a carrier may lose: those that were only replicated.
    pub(crate) fn lose_replicated(&mut self) {
        self.replicated.clear();
    }
}

fn acknowledge(acknowledged: &mut BTreeMap<u64, Digest>, position: LogPosition) {
    let before = acknowledged.insert(position.version, position.commit_id);
    let is_same = before.is_none_or(|before| before == position.commit_id);
    assert!(
        is_same,
        "two versions {} were acknowledged",
        position.version
    );
}

fn check_all(acknowledged: &BTreeMap<u64, Digest>, chain: &Versions, who: &str, level: &str) {
    for (version, commit_id) in acknowledged {
        let found = chain.at(*version).map(|position| position.commit_id);
        assert_eq!(
            found,
            Some(*commit_id),
            "{who} lost version {version}, which was acknowledged as {level}"
        );
    }
}
