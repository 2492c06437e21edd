//! Forks: private states over a durable version. Roots, reads and proofs before anything is durable.
//!
//! The core has the tree of a fork (`core/src/tree/fork/`). This folder adds values, bounds, and the way into the
//! pipeline (decision 057).
//!
//! | file | holds |
//! | --- | --- |
//! | `prove` | proofs of keys of a fork |
//! | `commit` | making a fork the next version |

mod commit;
mod prove;

use std::sync::Arc;

use bytes::Bytes;
use trunkline_actors::failure::EngineFailure;
use trunkline_actors::forks::{ForkBytes, ForksFull};
use trunkline_actors::state::State;
use trunkline_actors::state::read::ReadError;
use trunkline_core::batch::{Batch, BatchError, PreparedBatch, Write};
use trunkline_core::hash::Digest;
use trunkline_core::kzg::slot_value;
use trunkline_core::outcome::Outcome;
use trunkline_core::tree::{Leaf, Roots, TreeFork};

pub use commit::{CommitOptions, ForkCommitError};

use crate::engine::Engine;
use crate::error::SnapshotError;
use crate::snapshot::multi_get::in_path_order;
use crate::snapshot::{Snapshot, checked_hash};

/// The bytes that a write of a batch is expected to take in addition to its batch: a cell of a few leaves, a record of
/// the former leaf, and the digests above.
const WRITE_BYTES: u64 = 1024;

/// A private state over a durable version: batches are applied to it, it is read and proven, and it has a state digest
/// and a KZG root, before anything is durable and visible to others. It is committed as one version
/// ([`Fork::commit`]), or dropped, which leaves nothing.
///
/// The version that it stands on stays readable while the fork lives, as for a [`Snapshot`]: for
/// `versions.snapshot_versions_behind_max` newer versions. After that, reads of the fork fail. All forks of an engine
/// together take `versions.fork_bytes_max` at most.
///
/// A root of a fork says what the state would be, and nobody has committed to it: no record signs it, and it may never
/// become a version. A fork is a handle to the engine, too: the engine does not shut down by itself before its forks are
/// dropped.
///
/// ```
/// use trunkline::core::proof::{Expected, verify};
/// use trunkline::{Batch, Config, Engine, TopKind};
/// # let directory = tempfile::tempdir()?;
/// let engine = Engine::open_blocking(Config::in_directory(directory.path()))?;
/// let mut fork = engine.fork()?;
/// let mut batch = Batch::new();
/// batch.put("alice", "10");
/// assert!(fork.apply(batch)?.is_applied());
///
/// let state_digest = fork.state_digest()?;
/// let proof = fork.prove(["alice"], TopKind::Hash)?;
/// let tree_id = engine.params().tree_id();
/// assert!(verify(&proof, &Expected::StateDigest { tree_id, state_digest }).is_ok());
/// assert_eq!(engine.get(b"alice")?, None); // nobody else sees it
///
/// let durable = fork.commit_blocking()?.durable_blocking()?;
/// assert_eq!((durable.version, durable.state_digest), (1, state_digest));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fork {
    engine: Engine,
    base: Snapshot,
    tree: TreeFork,
    /// The batches that took effect, in order: leaves refer to them by their index.
    batches: Vec<Arc<PreparedBatch>>,
    batch_bytes: u64,
    /// The top of the tree, if nothing was applied since.
    roots: Option<Roots>,
    kzg_root: Option<[u8; 48]>,
    memory: ForkBytes,
}

/// The error of making or changing a fork. The fork is unchanged.
///
/// ```
/// use trunkline::{BatchError, ForkError};
/// # let directory = tempfile::tempdir()?;
/// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let error = engine.fork()?.apply(trunkline::Batch::new()).unwrap_err();
/// assert!(matches!(error, ForkError::Batch(BatchError::Empty)));
/// assert!(!error.retry_can_help());
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// The version is no longer in memory, or not durable yet.
    #[error(transparent)]
    Version(#[from] SnapshotError),
    /// Forks would take more memory than allowed.
    #[error(transparent)]
    Full(#[from] ForksFull),
    /// The batch breaks a limit. The same batch fails again.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The version that the fork stands on cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine has failed or was shut down.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
}

impl ForkError {
    /// Returns whether the same call may succeed later.
    pub fn retry_can_help(&self) -> bool {
        match self {
            Self::Version(error) => matches!(error, SnapshotError::NotYet { .. }),
            Self::Full(_) => true,
            Self::Batch(_) | Self::Engine(_) => false,
            Self::Read(error) => error.retry_can_help(),
        }
    }
}

impl Engine {
    /// Returns a fork of the last durable version. Never waits.
    ///
    /// Only a fork of the version that ends with the last accepted submission can be committed. So a caller that is not the
    /// only one to submit prepares for [`SubmitError::Overtaken`](crate::SubmitError::Overtaken), and begins again from
    /// there.
    ///
    /// # Errors
    ///
    /// Fails if forks take as much memory as they may (`versions.fork_bytes_max`), or if the engine has failed or was shut
    /// down.
    pub fn fork(&self) -> Result<Fork, ForkError> {
        Fork::of(self, self.snapshot())
    }

    /// Returns a fork of a durable version that memory still keeps (`versions.retain_versions`, or a snapshot or another
    /// fork holds it). Never waits. It can be committed if the version is the last accepted one, and tells what would
    /// have been otherwise.
    ///
    /// # Errors
    ///
    /// As [`Self::fork`], and if the version is not kept in memory, or not durable yet.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let fork = engine.fork_at(0)?;
    /// assert_eq!((fork.version(), fork.get(b"alice")?), (0, None));
    /// # drop(fork);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fork_at(&self, version: u64) -> Result<Fork, ForkError> {
        Fork::of(self, self.kept(version)?)
    }
}

impl Fork {
    fn of(engine: &Engine, base: Snapshot) -> Result<Self, ForkError> {
        engine.running().context.health.check()?;
        let (reader, policy) = (base.state.reader.clone(), base.state.params.collision);
        let tree = TreeFork::new(reader, &base.version.roots, policy);
        Ok(Self {
            memory: begin(engine, tree.bytes() as u64)?,
            engine: engine.clone(),
            roots: Some(base.version.roots.clone()),
            kzg_root: None,
            base,
            tree,
            batches: Vec::new(),
            batch_bytes: 0,
        })
    }

    /// Returns a fork of the fork: with the same state, and independent of it from then on. Nothing is copied but what one
    /// of the two changes later. It counts with all that it holds, shared or not.
    ///
    /// Both stand on the same version, so only one of the two can be committed.
    ///
    /// # Errors
    ///
    /// Fails if forks take as much memory as they may.
    pub fn fork(&self) -> Result<Self, ForkError> {
        Ok(Self {
            memory: begin(&self.engine, self.bytes())?,
            engine: self.engine.clone(),
            base: self.base.clone(),
            tree: self.tree.clone(),
            batches: self.batches.clone(),
            batch_bytes: self.batch_bytes,
            roots: self.roots.clone(),
            kzg_root: self.kzg_root,
        })
    }

    /// Applies a batch, atomically, on the caller's thread. Returns its outcome: that which it has if the batches of the fork
    /// are submitted to the version, one after the other. A batch that is refused changes nothing.
    ///
    /// The limits are those of [`Engine::submit`]. Metadata and idempotency key of the batch have no effect;
    /// [`Self::commit_with`] takes those of the version. Blocks while it reads the leaf store, if the keys are not in memory.
    ///
    /// # Errors
    ///
    /// Fails if the batch breaks a limit, if forks take as much memory as they may, if the fork was held too long, if the
    /// leaf store cannot be read, or if the engine has failed or was shut down. The fork is as it was then.
    pub fn apply(&mut self, batch: Batch) -> Result<Outcome, ForkError> {
        let context = &self.engine.running().context;
        context.health.check()?;
        let config = context.config();
        let batch = batch.check(&config.submit.batch_limits())?;
        let expected =
            (batch.bytes() as u64).saturating_add(batch.operations() as u64 * WRITE_BYTES);
        self.memory.take(expected, config.versions.fork_bytes_max)?;
        let preparing = context.in_flight.prepare();
        let batch = batch.prepare(&self.base.state.params, context.cut_batch());
        drop(preparing);
        let base = &self.base;
        let applied = self.tree.apply(&batch, |range| base.cold_leaves(range));
        let checked = base.check_readable();
        self.memory.set(self.bytes());
        checked?;
        match applied? {
            Err(refusal) => Ok(Outcome::Refused(refusal)),
            Ok(applied) => {
                self.keep(batch);
                Ok(Outcome::Applied {
                    displaced: applied.displaced.len() as u32,
                })
            }
        }
    }

    /// Keeps a batch that took effect.
    fn keep(&mut self, batch: PreparedBatch) {
        self.batch_bytes += batch.memory_bytes() as u64;
        self.batches.push(Arc::new(batch));
        (self.roots, self.kzg_root) = (None, None);
        self.memory.set(self.bytes());
    }

    /// Returns the version that the fork stands on.
    pub fn version(&self) -> u64 {
        self.base.version()
    }

    /// Returns the number of keys that have a value in the fork.
    pub fn key_count(&self) -> u64 {
        self.tree.key_count()
    }

    /// Returns approximately the bytes that the fork takes in memory, including those shared with others.
    pub fn bytes(&self) -> u64 {
        self.tree.bytes() as u64 + self.batch_bytes
    }

    /// Returns the value that a key has in the fork, or `None` if it has none. Blocks while it reads the leaf store, if the
    /// value is not in memory.
    ///
    /// # Errors
    ///
    /// Fails if the key is empty or too long, if the fork was held too long, or if the leaf store cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let key_hash = checked_hash(self.state(), 0, key)?;
        self.get_at(&key_hash)
    }

    /// Returns the values of several keys, in the order of the keys.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], for the first key that fails.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        in_path_order(self.state(), keys, |key_hash| self.get_at(key_hash))
    }

    fn get_at(&self, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        match self.tree.own(key_hash) {
            None => self.base.get_at(key_hash),
            Some(None) => Ok(None),
            Some(Some(leaf)) => self.value(&leaf).map(Some),
        }
    }

    /// Returns the value of a leaf of the fork.
    fn value(&self, leaf: &Leaf) -> Result<Bytes, ReadError> {
        let own = self.written(leaf);
        let own = own.and_then(|(batch, write)| batch.contents.held_value(write));
        own.map_or_else(|| self.base.value(leaf), Ok)
    }

    /// Returns the batch that wrote a leaf, and the index of the write in it, unless the leaf is that of the version.
    fn written(&self, leaf: &Leaf) -> Option<(&PreparedBatch, usize)> {
        let batch = self.batches.get(TreeFork::own_origin(leaf)? as usize)?;
        let is_it = |write: &Write| write.value_hash == leaf.value_hash;
        let place = batch.find(&leaf.key_hash)?;
        is_it(&batch.writes[place]).then_some((batch, place))
    }

    /// Returns the state digest, which the version will have if the fork is committed. The first call after a change
    /// computes the changed digests; it blocks while it reads the leaf store, if the digests around are not in memory.
    ///
    /// # Errors
    ///
    /// Fails if the fork was held too long, or if the leaf store cannot be read.
    pub fn state_digest(&mut self) -> Result<Digest, ReadError> {
        Ok(self.roots()?.state_digest)
    }

    /// Returns the KZG root, as [`Self::state_digest`] does. The first call after a change takes about 2 ms in addition.
    ///
    /// # Errors
    ///
    /// As [`Self::state_digest`].
    pub fn kzg_root(&mut self) -> Result<[u8; 48], ReadError> {
        if let Some(kzg_root) = self.kzg_root {
            return Ok(kzg_root);
        }
        let values = self.roots()?.slots.each_ref().map(slot_value);
        let kzg_root = self.state().committer.commit(&values).to_bytes().0;
        self.kzg_root = Some(kzg_root);
        Ok(kzg_root)
    }

    fn roots(&mut self) -> Result<&Roots, ReadError> {
        let roots = match self.roots.take() {
            Some(roots) => roots,
            None => {
                let base = &self.base;
                let roots = self.tree.roots(|range| base.cold_leaves(range));
                base.check_readable()?;
                roots?
            }
        };
        Ok(self.roots.insert(roots))
    }

    fn state(&self) -> &Arc<State> {
        &self.base.state
    }
}

/// Begins a fork of this many bytes.
fn begin(engine: &Engine, bytes: u64) -> Result<ForkBytes, ForksFull> {
    let context = &engine.running().context;
    let bytes_max = context.config().versions.fork_bytes_max;
    context.forks.begin(bytes, bytes_max)
}
