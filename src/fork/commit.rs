//! Committing a fork: its changes become one submission, right after the version that it stands on, and one version.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use trunkline_actors::admission::{Closed, Permit};
use trunkline_actors::message::{Forked, Resolved};
use trunkline_actors::receipt::Receipt;
use trunkline_actors::runtime::clock;
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::{BatchError, PreparedBatch};
use trunkline_core::hash::{Digest, ZERO};
use trunkline_core::outcome::{IdempotencyKey, Outcome};
use trunkline_core::params::METADATA_BYTES_MAX;
use trunkline_core::store::effect::Effect;
use trunkline_core::tree::Change;

use super::Fork;
use crate::engine::Behind;
use crate::error::SubmitError;

/// The options of a commit of a fork.
///
/// ```
/// let options = trunkline::CommitOptions { metadata: "block 17".into(), ..Default::default() };
/// assert!(options.idempotency_key.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The caller's own bytes for the commit record: at most 256.
    pub metadata: Bytes,
    /// The caller's name of the commit, so that it can be repeated without taking effect twice.
    pub idempotency_key: IdempotencyKey,
}

/// The error of committing a fork. The commit then has no effect and no position in the order of submissions.
///
/// ```
/// use trunkline::{ForkCommitError, SubmitError};
/// # let directory = tempfile::tempdir()?;
/// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let fork = engine.fork()?;
/// engine.put_blocking("alice", "10")?;
/// let error = fork.commit_blocking().unwrap_err();
/// assert!(matches!(error, ForkCommitError::Submit(SubmitError::Overtaken { sequence: 0, last: 1 })));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ForkCommitError {
    /// The fork changes more than one submission may change.
    #[error(
        "the fork changes more than {operations_max} keys or {bytes_max} bytes of keys and values; raise \
         submit.in_flight_operations_max and submit.in_flight_bytes_max, or commit it in parts"
    )]
    TooLarge {
        /// The maximum number of keys that a fork may change.
        operations_max: usize,
        /// The maximum bytes of the keys and values that a fork may change.
        bytes_max: usize,
    },
    /// The version that the fork stands on cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The commit was not accepted: the fork was overtaken, or the engine has failed or was shut down.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl Fork {
    /// Commits the fork: makes its state the next version, atomically, if the version that it stands on ends with the last
    /// accepted submission. The version is one submission, whose writes are the keys that the fork changed. When the call
    /// returns, it is accepted, as a batch is after [`Engine::submit`](crate::Engine::submit).
    ///
    /// Nothing is computed twice: the digests of the version are those of the fork.
    ///
    /// If the future is dropped before it is ready, the fork may be committed or not.
    ///
    /// # Errors
    ///
    /// Fails with [`SubmitError::Overtaken`] if another submission was accepted since the version, even if it was refused
    /// later: make a fork of the newest version and apply the batches again. Fails also if the fork changes more than
    /// `submit.in_flight_*` allows, if the keys that it removes cannot be read, or if the engine has failed or was shut
    /// down. There is no version then, and the fork is dropped.
    pub async fn commit(self) -> Result<Receipt, ForkCommitError> {
        self.commit_with(CommitOptions::default()).await
    }

    /// Works like [`Self::commit`], and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub fn commit_blocking(self) -> Result<Receipt, ForkCommitError> {
        self.commit_with_blocking(CommitOptions::default())
    }

    /// Works like [`Self::commit`], with metadata or an idempotency key.
    ///
    /// A repeat, with the same key, changes and metadata, gets the receipt of the first commit. Changes are those
    /// against the version that the fork stands on: a fork of a later version that contains them already has none, and
    /// is refused with [`SubmitError::IdempotencyKeyReused`], which names the first commit.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`], and if the metadata is too long, or if a submission with other content had the key.
    pub async fn commit_with(self, options: CommitOptions) -> Result<Receipt, ForkCommitError> {
        let called_at = clock::now();
        let pools = self.state().pools.clone();
        let prepared = pools.read_async(move || self.prepare(options)).await?;
        let prepared = match prepared {
            Prepared::Repeat(receipt) => return Ok(receipt),
            Prepared::Commit(prepared) => prepared,
        };
        let admission = &prepared.fork.engine.running().controls.admission;
        let (operations, bytes) = prepared.weight();
        let permit = admission.acquire(operations, bytes).await;
        prepared.place(permit, called_at)
    }

    /// Works like [`Self::commit_with`], and blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Self::commit_with`].
    pub fn commit_with_blocking(self, options: CommitOptions) -> Result<Receipt, ForkCommitError> {
        let called_at = clock::now();
        let prepared = match self.prepare(options)? {
            Prepared::Repeat(receipt) => return Ok(receipt),
            Prepared::Commit(prepared) => prepared,
        };
        let admission = &prepared.fork.engine.running().controls.admission;
        let (operations, bytes) = prepared.weight();
        let permit = admission.acquire_blocking(operations, bytes);
        prepared.place(permit, called_at)
    }

    /// Does everything that does not wait for admission.
    fn prepare(mut self, options: CommitOptions) -> Result<Prepared, ForkCommitError> {
        let health = &self.engine.running().context.health;
        health.check().map_err(SubmitError::from)?;
        let bytes = options.metadata.len();
        if bytes > METADATA_BYTES_MAX {
            return Err(SubmitError::from(BatchError::MetadataTooLong { bytes }).into());
        }
        let state_digest = self.state_digest()?;
        let batch = self.changes(options)?;
        if let Some(receipt) = self
            .engine
            .repeated(&batch.idempotency_key, &batch.digest)?
        {
            return Ok(Prepared::Repeat(receipt));
        }
        // No caller waits for admission to get a result that is already known.
        let sequence = self.base.record().last_sequence;
        self.engine.check_last(sequence)?;
        let forked = Forked {
            digests: self.tree.digests(),
            kzg_root: self.kzg_root,
        };
        let behind = Behind {
            sequence,
            resolved: Resolved {
                outcome: Outcome::Applied { displaced: 0 },
                state_digest,
                forked: Some(forked),
            },
        };
        Ok(Prepared::Commit(Box::new(PreparedCommit {
            fork: self,
            batch,
            behind,
        })))
    }

    /// Returns the submission that makes the changes of the fork.
    fn changes(&self, options: CommitOptions) -> Result<PreparedBatch, ForkCommitError> {
        let limits = self.engine.config().submit.resolved_limits();
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for change in self.tree.changes() {
            let change = self.changed(&change)?;
            bytes += change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
            changes.push(change);
            if changes.len() > limits.operations_max || bytes > limits.bytes_max {
                return Err(ForkCommitError::TooLarge {
                    operations_max: limits.operations_max,
                    bytes_max: limits.bytes_max,
                });
            }
        }
        let effects = changes.iter().map(|change| {
            let effect = Effect {
                key_hash: change.key_hash,
                key: &change.key,
                change: change.value.as_deref(),
            };
            (effect, change.value_hash)
        });
        let (metadata, key) = (options.metadata, options.idempotency_key);
        Ok(PreparedBatch::of_hashed(effects, bytes, metadata, key))
    }

    fn changed(&self, change: &Change) -> Result<Changed<'_>, ReadError> {
        let key_hash = change.key_hash;
        let (key, value, value_hash) = match (&change.now, &change.then) {
            (Some(now), _) => {
                let (key, value) = match self.written(now) {
                    Some((batch, write)) => (
                        Cow::from(batch.key(write)),
                        batch.value(write).map(Cow::from),
                    ),
                    None => read(self.base.key_and_value(now)?),
                };
                (key, value, now.value_hash)
            }
            (None, Some(then)) => (read(self.base.key_and_value(then)?).0, None, ZERO),
            (None, None) => (Cow::default(), None, ZERO),
        };
        Ok(Changed {
            key_hash,
            key,
            value,
            value_hash,
        })
    }
}

/// A key that a fork changed.
struct Changed<'a> {
    key_hash: Digest,
    key: Cow<'a, [u8]>,
    value: Option<Cow<'a, [u8]>>,
    value_hash: Digest,
}

fn read<'a>((key, value): (Bytes, Bytes)) -> (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>) {
    (Cow::from(key.to_vec()), Some(Cow::from(value.to_vec())))
}

/// A commit that waits for admission, or the receipt for a repeat.
enum Prepared {
    Repeat(Receipt),
    Commit(Box<PreparedCommit>),
}

struct PreparedCommit {
    fork: Fork,
    batch: PreparedBatch,
    behind: Behind,
}

impl PreparedCommit {
    /// Returns the operations and bytes that it needs permits for.
    fn weight(&self) -> (usize, usize) {
        (self.batch.operations.max(1), self.batch.bytes)
    }

    fn place(
        self,
        permit: Result<Permit, Closed>,
        called_at: Instant,
    ) -> Result<Receipt, ForkCommitError> {
        let engine = &self.fork.engine;
        let context = &engine.running().context;
        let permit = permit.map_err(|_| SubmitError::from(context.health.cause()))?;
        let batch = Arc::new(self.batch);
        let receipt = engine.place(batch, Some(self.behind), permit, called_at)?;
        if !receipt.is_repeat() {
            context.metrics.fork_committed();
        }
        Ok(receipt)
    }
}
