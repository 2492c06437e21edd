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

mod away;
mod cache;
mod checkpoint;
pub mod config;
pub mod control;
mod credit;
mod decisions;
mod engine;
mod evidence;
mod failure;
mod history;
mod hot;
mod in_flight;
mod interval;
mod keeper;
mod layer;
#[cfg(feature = "fjall")]
mod leaf_copy;
mod live;
#[cfg(feature = "load")]
pub mod load;
mod many;
mod message;
mod metrics;
mod opening;
mod overlay;
mod pipeline;
mod priority;
mod proving;
mod read_only;
mod receipt;
mod recovery;
mod reload;
mod shared;
mod snapshot;
mod stage;
mod tables;
pub mod testing;
mod timeline;
mod tuner;
mod values;
mod versions;

pub use trunkline_core as core;
pub use trunkline_core::batch::{Batch, BatchError, Requirement};
pub use trunkline_core::outcome::{Outcome, Refusal};

pub use config::{Config, ConfigError};
pub use decisions::{DECISIONS_FILE, OpeningDecisions, ReadDecisionsError, read_decisions};
pub use engine::{Engine, SubmitError};
pub use evidence::EvidenceError;
pub use failure::{EngineFailure, Stage};
pub use history::HistoryError;
pub use metrics::{MetricsSnapshot, Quantiles, StageMetrics};
pub use opening::EngineBuilder;
pub use proving::{ProveOptions, ShownValues, SnapshotProveError, TopKind, prove_versions};
pub use read_only::{Inspection, ReadOnly};
pub use receipt::{Committed, Durability, Durable, Hashed, Receipt};
pub use recovery::{OpenError, ReplayError};
pub use reload::ReloadError;
pub use snapshot::{ReadError, Snapshot, SnapshotError, SnapshotIter};
pub use timeline::Span;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
