//! Adaptive control: turns windows of measurements into changes of settings, each with its reason.
//!
//! [`Governor`] asks all controllers. Each is a pure function of a state and a [`Window`](crate::decisions::Window),
//! without a clock, a thread or a lock:
//!
//! - [`BatchSize`]: operations of a group, by throughput, and operations in flight, by the 99th percentile of the
//!   latency;
//! - [`ProofShards`]: shards of proofs, by probing;
//! - [`ShardReport`]: shards of groups, which it only reports;
//! - [`Caches`]: bytes of the value cache and of the tree, by marginal hits;
//! - [`HotPrefixes`]: the most accessed parts of the key space.
//!
//! Three policies are used elsewhere: after each sync, persist asks [`Backlog`] for the pause while a checkpoint runs;
//! and ingest asks [`group_least`] and [`group_share`] for the least and the most operations of the next group.
//!
//! `controller` measures the windows and carries the changes out. The tests in `tests/control` run the controllers
//! against a pipeline in virtual time; their scenarios are files with bands, like those of Vector's adaptive
//! concurrency.

mod backoff;
mod batch_size;
mod caches;
pub mod controller;
pub mod controls;
pub mod decision_log;
mod governor;
mod hot_prefixes;
mod observation;
mod pacing;
mod proof_shards;
pub mod reload_error;
mod settings;
mod shards;
mod share;
mod span;
mod stall;
pub mod watch;

pub use batch_size::BatchSize;
pub use caches::Caches;
pub use governor::{Governor, Proposal};
pub use hot_prefixes::HotPrefixes;
pub use pacing::Backlog;
pub use proof_shards::ProofShards;
pub use settings::{ControlSettings, Limits};
pub use shards::ShardReport;
pub use share::{group_least, group_share};
