//! The tree, checked after every step against a naive model that shares no code with the crate.

#![cfg(feature = "state")]

mod support;

mod applied;
mod collision_policy;
mod digests;
mod drafts;
mod eviction;
mod glance;
mod hashing;
mod history_independence;
mod old_versions;
mod pieces;
mod readers;
mod refusals;
