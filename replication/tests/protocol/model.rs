//! The truth of a round: what was committed and acknowledged, and what must not be lost.

use std::collections::{BTreeMap, HashSet};

use trunkline_core::hash::Digest;
use trunkline_core::store::log::LogPosition;

use crate::chain::{Versions, genesis};

/// What all primaries of a round did.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Commit ids that a primary made durable.
    committed: HashSet<Digest>,
    /// Acknowledged as replicated, by version.
    replicated: BTreeMap<u64, Digest>,
    /// Acknowledged as followed, by version.
    followed: BTreeMap<u64, Digest>,
    pub(crate) counts: Counts,
}

/// How often the things happened that a round is about.
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

    /// Checks that a chain has everything that was acknowledged as replicated.
    pub(crate) fn check_replicated(&self, chain: &Versions, who: &str) {
        check_all(&self.replicated, chain, who, "replicated");
    }

    /// Checks that a chain has everything that was acknowledged as followed.
    pub(crate) fn check_followed(&self, chain: &Versions, who: &str) {
        check_all(&self.followed, chain, who, "followed");
    }

    /// Forgets what a carrier has lost lawfully: what was only replicated.
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
