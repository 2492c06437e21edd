//! The receipt of a submission. Its holder can wait until the submission has digests, a KZG root, and is durable, from
//! any async runtime or none.
//!
//! The pipeline holds the other end: a [`Completion`] of each submission, and from the tree on one [`GroupCompletion`]
//! of all submissions of a version. All facts are facts about the whole version. So a stage reports each once, and
//! handles single receipts only if someone waits for them. If the pipeline's end is dropped before the submission is
//! durable, the waiters fail with the engine's failure, so that nobody waits for lost work.
//!
//! | file | holds |
//! | --- | --- |
//! | `facts` | the states that a submission reaches |
//! | `progress` | the pipeline's end |

mod facts;
mod progress;

use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::store::idempotency_file::KeyedSubmission;

pub use facts::{Durability, Durable, Hashed, RootReady};
use facts::{DurableFacts, Facts, VersionFacts};
pub use progress::{Completion, GroupCompletion, Issuer, RootCompletion, RootSource};
use progress::{Place, Progress};

use crate::failure::EngineFailure;
use crate::metrics::State as Reached;
use crate::runtime::clock;
use crate::runtime::wait::block_on;
use crate::state::evidence::{self, EvidenceError};

/// The receipt of an accepted submission. Dropping it does not affect the submission.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let receipt = engine.put_blocking("alice", "10")?;
/// let durable = receipt.durable_blocking()?;
/// assert_eq!(durable.durability, trunkline::Durability::Sync);
/// assert_eq!(durable.commit_id, receipt.hashed_blocking()?.commit_id);
/// assert_eq!(receipt.root_ready_blocking()?.version, durable.version);
/// engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Receipt {
    sequence: u64,
    provisional_root: Digest,
    progress: Arc<Progress>,
    is_repeat: bool,
}

/// A receipt that does not keep its submission's progress in memory.
#[derive(Debug)]
pub struct WeakReceipt {
    sequence: u64,
    provisional_root: Digest,
    progress: Weak<Progress>,
}

impl WeakReceipt {
    /// Returns the sequence number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns a receipt for a repeat of the submission, if the pipeline or a holder of a receipt still has it.
    pub fn upgrade(&self) -> Option<Receipt> {
        Some(Receipt {
            sequence: self.sequence,
            provisional_root: self.provisional_root,
            progress: self.progress.upgrade()?,
            is_repeat: true,
        })
    }
}

impl Receipt {
    /// Returns the sequence number: the position of the submission among all submissions to the tree.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the provisional root, which commits to this submission and all earlier ones in their order. After a
    /// crash it is valid only if the submission was durable.
    pub fn provisional_root(&self) -> Digest {
        self.provisional_root
    }

    /// Returns whether the batch repeats a submission that was accepted before, with the same idempotency key and the
    /// same content. The receipt is then that of the first submission, and the repeat has no effect and no position of
    /// its own.
    ///
    /// ```
    /// use trunkline::{Batch, IdempotencyKey};
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let mut batch = Batch::new();
    /// batch.put("alice", "10");
    /// batch.idempotency_key(IdempotencyKey::new(b"payment 17").ok_or("longer than 64 bytes")?);
    /// let first = engine.submit_blocking(batch.clone())?;
    /// let second = engine.submit_blocking(batch)?; // perhaps after a restart
    /// assert!(!first.is_repeat() && second.is_repeat());
    /// assert_eq!(second.sequence(), first.sequence());
    /// assert_eq!(second.durable_blocking()?.commit_id, first.durable_blocking()?.commit_id);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// Returns a receipt that does not keep the submission's progress in memory.
    pub fn downgrade(&self) -> WeakReceipt {
        WeakReceipt {
            sequence: self.sequence,
            provisional_root: self.provisional_root,
            progress: Arc::downgrade(&self.progress),
        }
    }

    /// Waits until the submission is part of a version with digests.
    ///
    /// # Errors
    ///
    /// Fails if the engine failed or was shut down first; so do all waiting functions.
    pub async fn hashed(&self) -> Result<Hashed, EngineFailure> {
        self.progress.reached(Reached::Hashed, Facts::hashed).await
    }

    /// Does what [`Self::hashed`] does, and blocks the thread.
    pub fn hashed_blocking(&self) -> Result<Hashed, EngineFailure> {
        block_on(self.hashed())
    }

    /// Waits for a KZG root that covers the submission. In commit mode `on_demand` this requests the root.
    pub async fn root_ready(&self) -> Result<RootReady, EngineFailure> {
        let hashed = self.hashed().await?;
        match self.progress.is_settled {
            true => self.progress.use_newest_root(),
            false => self.progress.request_root(hashed.version),
        }
        let root_ready = |facts: &Facts, _| facts.root_ready;
        self.progress.reached(Reached::RootReady, root_ready).await
    }

    /// Does what [`Self::root_ready`] does, and blocks the thread.
    pub fn root_ready_blocking(&self) -> Result<RootReady, EngineFailure> {
        block_on(self.root_ready())
    }

    /// Waits until the submission is as durable as the configuration requires; see [`Durability`].
    pub async fn durable(&self) -> Result<Durable, EngineFailure> {
        self.progress
            .reached(Reached::Durable, Facts::durable)
            .await
    }

    /// Does what [`Self::durable`] does, and blocks the thread.
    pub fn durable_blocking(&self) -> Result<Durable, EngineFailure> {
        block_on(self.durable())
    }

    /// Waits until the submission is durable and returns its evidence, which shows the submission's position and
    /// outcome to anyone who trusts the commit id of its version.
    ///
    /// # Errors
    ///
    /// Fails if the version is no longer kept, or if the engine failed or was dropped.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let receipt = engine.put_blocking("alice", "10")?;
    /// let promised = receipt.provisional_root();
    /// let bytes = receipt.evidence_blocking()?.encode()?;
    /// let trusted = receipt.durable_blocking()?.commit_id;
    ///
    /// // A verifier needs the provisional root from the receipt and a trusted commit id:
    /// use trunkline::core::evidence::Evidence;
    /// let verified = Evidence::decode(&bytes)?.verify(&promised, &trusted)?;
    /// assert_eq!(verified.sequence, receipt.sequence());
    /// assert!(verified.outcome.is_applied());
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn evidence(&self) -> Result<Evidence, EvidenceError> {
        self.durable().await?;
        self.evidence_of_durable()
    }

    /// Does what [`Self::evidence`] does, and blocks the thread.
    pub fn evidence_blocking(&self) -> Result<Evidence, EvidenceError> {
        self.durable_blocking()?;
        self.evidence_of_durable()
    }

    fn evidence_of_durable(&self) -> Result<Evidence, EvidenceError> {
        let state = self
            .progress
            .issuer
            .state
            .upgrade()
            .ok_or(EvidenceError::Gone)?;
        evidence::of_kept(&state, self.sequence)
    }
}

impl Issuer {
    /// Creates a receipt and the pipeline's end of it.
    pub fn issue(
        self: &Arc<Self>,
        sequence: u64,
        provisional_root: Digest,
        accepted_at: Instant,
    ) -> (Completion, Receipt) {
        let progress = Arc::new(Progress {
            place: Mutex::default(),
            accepted_at,
            issuer: self.clone(),
            is_settled: false,
        });
        let receipt = Receipt {
            sequence,
            provisional_root,
            progress: progress.clone(),
            is_repeat: false,
        };
        (Completion(Some(progress)), receipt)
    }

    /// Creates a receipt for a repeat of a submission that is already durable.
    pub fn repeat(self: &Arc<Self>, first: &KeyedSubmission, durable: &Durable) -> Receipt {
        let facts = Facts {
            version: Some(VersionFacts {
                number: durable.version,
                commit_id: durable.commit_id,
                state_digest: durable.state_digest,
            }),
            durable: Some(DurableFacts {
                kzg_root: durable.kzg_root,
                durability: durable.durability,
            }),
            ..Facts::default()
        };
        let place = Place::settled(facts, durable.outcome);
        Receipt {
            sequence: first.sequence,
            provisional_root: first.provisional_root,
            progress: Arc::new(Progress {
                place: Mutex::new(place),
                accepted_at: clock::now(),
                issuer: self.clone(),
                is_settled: true,
            }),
            is_repeat: true,
        }
    }
}
