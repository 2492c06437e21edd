//! trunkline: a commit engine for authenticated key-value state, to embed in a service.
//!
//! A service submits batches of puts and deletes to an [`Engine`]. It learns at once their place and
//! a provisional root; soon, by the [`Receipt`], a durable version whose root commits to the whole
//! state. A [`Snapshot`] of a version reads, walks and proves it. Five actors on threads that the
//! engine owns pass the batches along, so that one version is built while the one before commits.
//!
//! ```
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
//! // Elsewhere, with nothing but the root:
//! use trunkline::core::proof::{Claim, Expected, Proof, verify};
//! let received = Proof::decode(&proof)?;
//! let verified = verify(&received, &Expected::Root(snapshot.root()))?;
//! assert_eq!(verified.claim(b"alice"), Some(&Claim::Present(b"10".to_vec())));
//! assert_eq!(verified.claim(b"carol"), Some(&Claim::Absent));
//! # drop(snapshot);
//! engine.shutdown_blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here: the tree, the proofs and the stores themselves (`trunkline-core`, as [`core`]), and the
//! command line.

#![forbid(unsafe_code)]

mod builder;
mod engine;
mod error;
mod open;
mod snapshot;

pub use trunkline_actors::config;
pub use trunkline_actors::decisions;
#[cfg(feature = "testing")]
pub use trunkline_actors::testing;
pub use trunkline_core as core;
pub use trunkline_core::batch::{Batch, BatchError, Requirement};
pub use trunkline_core::outcome::{Outcome, Refusal};

pub use trunkline_actors::adaptive::decision_log::{
    DECISIONS_FILE, OpeningDecisions, ReadDecisionsError, read_decisions,
};
pub use trunkline_actors::adaptive::reload_error::ReloadError;
pub use trunkline_actors::config::{Config, ConfigError};
pub use trunkline_actors::decisions::Quantiles;
pub use trunkline_actors::failure::{EngineFailure, Stage};
pub use trunkline_actors::metrics::timeline::Span;
pub use trunkline_actors::metrics::{MetricsSnapshot, StageMetrics};
pub use trunkline_actors::receipt::{Durability, Durable, Hashed, Receipt, RootReady};
pub use trunkline_actors::state::evidence::EvidenceError;
pub use trunkline_actors::state::history::HistoryError;
pub use trunkline_actors::state::read::ReadError;

pub use builder::EngineBuilder;
pub use engine::Engine;
pub use error::{OpenError, ReplayError, SnapshotError, SubmitError};
pub use open::read_only::{Inspection, ReadOnly};
pub use snapshot::prove::{ProveOptions, ShownValues, SnapshotProveError, TopKind, prove_versions};
pub use snapshot::{Snapshot, SnapshotIter};

/// The table of everything that an engine measures.
pub mod metrics {
    pub use trunkline_actors::metrics::{Kind, Metric, TABLE, Unit};
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
