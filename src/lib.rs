//! trunkline: a commit engine for authenticated key-value state, to embed in a service.
//!
//! - **Open** an [`Engine`] with a [`Config`]. It owns its threads and needs no runtime; every call that waits has an
//!   async and a `_blocking` form.
//! - **Submit** a [`Batch`] of puts and deletes, which takes effect atomically. The [`Receipt`] has a provisional root
//!   at once. [`Receipt::durable`] waits until the batch is part of a durable version; [`Durability`] says which
//!   failures that survives.
//! - **Read** with [`Engine::get`] (the latest accepted value), [`Engine::get_durable`] (the last durable value) or a
//!   [`Snapshot`] (a whole version).
//! - **Prove** any keys, present or absent, with [`Snapshot::prove`]. A client that trusts the root verifies the proof
//!   with [`core::proof::verify`]; it needs neither the engine nor the state.
//! - **Shut down** with [`Engine::shutdown`]. [`ReadOnly`] reads a directory that no engine has open.
//!
//! ```
//! use trunkline::core::proof::{Claim, Expected, Proof, verify};
//! use trunkline::{Batch, Config, Engine, TopKind};
//!
//! # let directory = tempfile::tempdir()?;
//! let engine = Engine::open_blocking(Config::in_directory(directory.path()))?;
//!
//! let mut batch = Batch::new();
//! batch.put("alice", "10").put("bob", "7");
//! let receipt = engine.submit_blocking(batch)?;
//! println!("provisional root {:02x?}", receipt.provisional_root());
//! let durable = receipt.durable_blocking()?;
//!
//! let snapshot = engine.snapshot_at(durable.version)?;
//! let proof = snapshot.prove(["alice", "carol"], TopKind::Kzg)?.encode()?;
//!
//! // Elsewhere, with only the root and the proof:
//! let received = Proof::decode(&proof)?;
//! let verified = verify(&received, &Expected::Root(snapshot.root()))?;
//! assert_eq!(verified.claim(b"alice"), Some(&Claim::Present(b"10".to_vec())));
//! assert_eq!(verified.claim(b"carol"), Some(&Claim::Absent));
//! # drop(snapshot);
//! engine.shutdown_blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Errors are enums, and their messages say what to do. [`EngineFailure`] stops an engine for good: open the directory
//! again. [`SubmitError::retry_can_help`] and [`ReadError::retry_can_help`] distinguish temporary errors from others.
//!
//! The programs in `examples/` show each of these steps. The tree, proofs and stores are in [`core`]; SPEC.md defines
//! every byte that is hashed, proven or stored.

#![forbid(unsafe_code)]

mod bootstrap;
mod builder;
mod check;
mod engine;
mod error;
mod feed;
mod fork;
mod open;
mod reads;
mod replica;
mod revert;
mod rewind;
mod running;
mod snapshot;
pub mod temporary;

pub use trunkline_actors::config;
pub use trunkline_actors::decisions;
#[cfg(feature = "testing")]
pub use trunkline_actors::testing;
pub use trunkline_core as core;
pub use trunkline_core::batch::{Batch, BatchError, Requirement};
pub use trunkline_core::outcome::{IdempotencyKey, Outcome, Refusal};

pub use trunkline_actors::adaptive::decision_log::{
    DECISIONS_FILE, OpeningDecisions, ReadDecisionsError, read_decisions,
};
pub use trunkline_actors::adaptive::reload_error::ReloadError;
pub use trunkline_actors::config::{Config, ConfigError};
pub use trunkline_actors::decisions::Quantiles;
pub use trunkline_actors::failure::{Divergence, EngineFailure, Stage};
pub use trunkline_actors::feed::{CursorError, FeedCursor, Synced};
pub use trunkline_actors::forks::ForksFull;
pub use trunkline_actors::metrics::timeline::Span;
pub use trunkline_actors::metrics::{MetricsSnapshot, StageMetrics};
pub use trunkline_actors::receipt::{Durability, Durable, Hashed, Receipt, RootReady};
pub use trunkline_actors::state::evidence::EvidenceError;
pub use trunkline_actors::state::history::HistoryError;
pub use trunkline_actors::state::order::{KeyRange, RangePage};
pub use trunkline_actors::state::past::PastError;
pub use trunkline_actors::state::read::ReadError;

pub use bootstrap::{Base, Bootstrap, BootstrapError};
pub use builder::EngineBuilder;
pub use check::{
    CheckReport, Fault, Finding, Part, Repair, RepairError, RepairReport, Repaired, check, repair,
};
pub use engine::Engine;
pub use error::{FailedCopy, OpenError, ReplayError, SnapshotError, SubmitError};
pub use feed::{Feed, FeedError};
pub use fork::{CommitOptions, Fork, ForkCommitError, ForkError};
pub use open::read_only::{Inspection, ReadOnly};
pub use replica::{ApplyError, Replica, WaitError};
pub use revert::{RevertError, RevertOptions};
pub use rewind::{Rewind, RewindError};
pub use snapshot::prove::{ProveOptions, ShownValues, SnapshotProveError, TopKind, prove_versions};
pub use snapshot::{KeptVersion, RangeIter, RangeStream, Snapshot, SnapshotIter};

/// The table of all metrics of the engine.
pub mod metrics {
    pub use trunkline_actors::metrics::{Kind, Metric, TABLE, Unit};
}

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
