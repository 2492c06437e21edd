//! The tree, compared after every step with a naive model that shares no code with the crate.

#![cfg(feature = "state")]

mod pair;
mod support;

mod applied;
mod collision_policy;
mod digests;
mod drafts;
mod eviction;
mod forks;
mod hashing;
mod history_independence;
mod old_versions;
mod probe;
mod readers;
mod refusals;
mod shards;
mod stored;
