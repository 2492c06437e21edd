//! What the engine finds out by itself: from a window of measurements to decisions, each with its reason.
//!
//! Everything here is a pure function of a state and a [`Window`]: no clock, no thread, no lock, no
//! histogram of the running engine. Who measures windows and carries decisions out is `tuner`.
//!
//! [`Governor`] is all of it; a controller for each concern stands alone too:
//!
//! - [`BatchSize`]: operations of a group, by throughput, and in flight, by the latency's 99th percentile;
//! - [`Workers`]: shards that work is cut into, by probing;
//! - [`Caches`]: bytes of the cache of values against those of the tree, by marginal hits;
//! - [`HotPrefixes`]: which parts of the key space are touched most;
//! - [`Phases`]: whether it is reads or writes.
//!
//! Two are none of them: persist asks [`Backlog`] after each sync how far to hold back while a checkpoint runs, and
//! ingest asks [`group_share`] how much of what is inside the next group may have.
//!
//! `tests/control` of the crate has a pipeline in virtual time and scenarios as data with bands, as those of the
//! adaptive concurrency of vector.

mod batch_size;
mod caches;
pub mod controller;
pub mod controls;
pub mod decision_log;
mod governor;
mod hot_prefixes;
mod observation;
mod pacing;
mod phase;
pub mod reload_error;
mod settings;
mod share;
pub mod watch;
mod workers;

pub use batch_size::BatchSize;
pub use caches::Caches;
pub use governor::{Governor, Proposal};
pub use hot_prefixes::HotPrefixes;
pub use pacing::Backlog;
pub use phase::Phases;
pub use settings::{ControlSettings, Limits};
pub use share::group_share;
pub use workers::Workers;
