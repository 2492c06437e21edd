//! Checkpoints: leaves move from memory into the leaf store, so that the log can be trimmed and memory freed.
//!
//! A thread of its own runs them. The order makes them safe; H is the version of the checkpoint:
//!
//! 1. The persist stage syncs the log up to H. If versions are archived, those up to H are stored, synced.
//! 2. The page digests of H are written into a file that has no name yet, synced. The commit ids up to H are stored in the
//!    history file, synced.
//! 3. The manifest says that H is intended.
//! 4. The idempotency keys that are remembered at H are stored, synced.
//! 5. The leaf store ingests the changes up to H in one sorted pass, then those of the index of keys if it keeps one, and
//!    is synced. Then the file of page digests gets its name.
//! 6. The manifest says H.
//! 7. The persist stage may trim the log.
//! 8. Readers get a view of the new leaves.
//!
//! A crash before step 6 leaves the old manifest and the whole log. Replaying the log over newer leaves gives the same
//! state. `stage::persist` decides when a checkpoint is due.

use std::hint::black_box;
use std::io;
use std::iter::Peekable;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel as jobs_channel};
use std::time::{Duration, Instant};

use trunkline_core::batch::{head, path_order};
use trunkline_core::hash::Digest;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::effect::Effect;
use trunkline_core::store::history_file::{HistoryFile, HistoryFileError, HistoryWriter};
use trunkline_core::store::idempotency_file::{self, IDEMPOTENCY_FILE, Remembered};
use trunkline_core::store::key_index::KeyChange;
use trunkline_core::store::leaves::{LeafChange, LeafRef, LeafStore, LeafStoreError};
use trunkline_core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};
use trunkline_core::store::pages_file::{self, PAGES_FILE, PagesOf};
use trunkline_core::tree::TreeReader;

use crate::actor::Mailbox;
use crate::adaptive::Backlog;
use crate::context::StageContext;
use crate::failure::{EngineFailure, panic_message};
use crate::message::PersistMessage;
use crate::runtime::clock::{self, micros};
use crate::runtime::priority;
use crate::runtime::wait::{Signal, receive, yield_point};
use crate::state::history::History;
use crate::state::layer::Layer;
use crate::state::past::{PastBounds, StoreOptions};
use crate::state::values::{FetchError, StoreView};
use crate::state::versions::Version;

/// The number of effects that are sorted at once: those of small writes fit the cache of a core, with their keys and
/// values.
const RANGE_EFFECTS: usize = 2048;

/// The version and the data that a checkpoint covers.
pub struct Covered {
    /// The version: durable, synced and published.
    pub version: Arc<Version>,
    /// The submissions with idempotency keys that are remembered at the version.
    pub remembered: Remembered,
}

/// The handle of the persist stage: starts checkpoints, one at a time, and waits for them.
pub struct Checkpoints {
    jobs: Sender<Covered>,
    progress: Arc<Signal<Progress>>,
    trims_log: bool,
}

/// The running checkpoint, and the rate of the last one.
#[derive(Debug, Default)]
struct Progress {
    running: Option<Job>,
    bytes_per_second: Option<u64>,
}

/// A running checkpoint.
#[derive(Clone, Copy, Debug)]
struct Job {
    since: Instant,
    bytes: u64,
    /// True if the rate can be computed from its duration. A checkpoint of few leaves only shows the fixed cost.
    shows_rate: bool,
}

impl Progress {
    fn begin(&mut self, bytes: u64, shows_rate: bool) {
        self.running = Some(Job {
            since: clock::now(),
            bytes,
            shows_rate,
        });
    }

    fn end(&mut self) {
        if let Some(job) = self.running.take().filter(|job| job.shows_rate) {
            let seconds = (clock::now() - job.since).as_secs_f64();
            self.bytes_per_second = Some((job.bytes as f64 / seconds.max(1e-6)) as u64);
        }
    }
}

impl Checkpoints {
    /// Returns whether a checkpoint runs.
    pub fn is_running(&self) -> bool {
        self.progress.lock().running.is_some()
    }

    /// Returns whether checkpoints allow trimming the log. They do not if the leaf store does not outlive the engine.
    pub fn trims_log(&self) -> bool {
        self.trims_log
    }

    /// Returns the remaining work of the running checkpoint, and the bytes that have gathered since it was started.
    pub fn backlog(&self, unflushed_bytes: u64, waits_at_bytes: u64) -> Option<Backlog> {
        let progress = self.progress.lock();
        let job = progress.running?;
        Some(Backlog {
            checkpoint_bytes: job.bytes,
            gathered_bytes: unflushed_bytes.saturating_sub(job.bytes),
            elapsed_us: micros(clock::now() - job.since),
            bytes_per_second: progress.bytes_per_second,
            waits_at_bytes,
        })
    }

    /// Starts a checkpoint of a synced version with about this many bytes of leaves. With `shows_rate`, the rate of
    /// checkpoints is computed from its duration.
    pub fn start(&self, covered: Covered, bytes: u64, shows_rate: bool) {
        self.progress
            .update(|progress| progress.begin(bytes, shows_rate));
        if self.jobs.send(covered).is_err() {
            self.progress.update(Progress::end);
        }
    }

    /// Waits until no checkpoint runs.
    pub fn wait(&self) {
        let idle = |progress: &Progress| progress.running.is_none().then_some(());
        self.progress.wait_for(idle);
    }

    /// Waits until no checkpoint runs, for this long at most.
    pub fn wait_at_most(&self, limit: Duration) {
        let is_idle = |progress: &Progress| progress.running.is_none();
        self.progress.wait_at_most(limit, is_idle);
    }
}

/// The part of the checkpoint thread.
pub struct Checkpointer {
    context: Arc<StageContext>,
    leaves: Arc<dyn LeafStore>,
    /// The manifest; `None` if the leaf store does not outlive the engine, so that the log must stay complete.
    manifest: Option<ManifestFile>,
    jobs: Receiver<Covered>,
    progress: Arc<Signal<Progress>>,
}

/// The checkpoint manifest of a directory.
pub struct ManifestFile {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The engine's directory.
    pub directory: PathBuf,
    /// The content of the manifest.
    pub marker: CheckpointManifest,
}

impl ManifestFile {
    /// Stores the commit ids up to a version.
    fn store_history(&self, history: &History, version: u64) -> Result<(), HistoryFileError> {
        let (stored, nodes) = history.unstored(version);
        let tree_id = &self.marker.record.tree_id;
        HistoryWriter::open(&*self.disk, &self.directory, tree_id, stored)?.append(&nodes)
    }

    /// Writes the page digests of a version, without giving the file its name. Returns whether there is a file.
    fn prepare_pages(&self, version: &Version, reader: &TreeReader) -> io::Result<bool> {
        let of = PagesOf::of(&version.record);
        pages_file::prepare(&*self.disk, &self.directory, &of, |slot| {
            yield_point();
            reader.pages_at(of.version, slot).ok()
        })
    }

    /// Gives the page digests their name.
    fn put_pages(&self) -> Result<(), CheckpointError> {
        let put = pages_file::put_in_place(&*self.disk, &self.directory);
        put.map_err(|source| self.pages_failed(source))
    }

    fn pages_failed(&self, source: io::Error) -> CheckpointError {
        let path = self.directory.join(PAGES_FILE);
        CheckpointError::Pages { path, source }
    }

    /// Records that the leaf store may have changes up to a version from now on.
    fn intend(&mut self, version: u64) -> Result<(), CheckpointError> {
        self.marker.intent = Some(version);
        self.write()
    }

    /// Stores the submissions with idempotency keys that are remembered at the intended version.
    fn store_keys(&self, remembered: &Remembered) -> Result<(), CheckpointError> {
        let (directory, tree_id) = (&*self.directory, &self.marker.record.tree_id);
        let written = idempotency_file::write(&*self.disk, directory, tree_id, remembered);
        written.map_err(|source| CheckpointError::Keys {
            path: directory.join(IDEMPOTENCY_FILE),
            source,
        })
    }

    /// Records that the leaf store has a version, if the history file has the version's commit ids. Returns the history
    /// file.
    fn complete(&mut self, version: &Version) -> Result<Option<HistoryFile>, CheckpointError> {
        self.marker = CheckpointManifest {
            record: version.record.clone(),
            kzg_root: version.kzg_root.get().copied(),
            history: version.history.clone(),
            intent: None,
        };
        let file = HistoryFile::open(&*self.disk, &self.directory, &self.marker)?;
        self.write()?;
        Ok(file)
    }

    fn write(&self) -> Result<(), CheckpointError> {
        let written = self.marker.write(&*self.disk, &self.directory);
        written.map_err(|source| CheckpointError::Manifest {
            path: self.directory.join(CHECKPOINT_FILE),
            source,
        })
    }
}

/// The reason for which a checkpoint failed.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the checkpoint manifest {} could not be written; check the disk", path.display())]
    Manifest { path: PathBuf, source: io::Error },
    #[error("the idempotency keys {} could not be written; check the disk", path.display())]
    Keys { path: PathBuf, source: io::Error },
    #[error("the page digests {} could not be written; check the disk", path.display())]
    Pages { path: PathBuf, source: io::Error },
    #[error(transparent)]
    History(#[from] HistoryFileError),
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the checkpoint panicked ({0})")]
    Panic(String),
}

/// Creates the parts of the persist stage and of the checkpoint thread.
pub fn channel(
    context: Arc<StageContext>,
    leaves: Arc<dyn LeafStore>,
    manifest: Option<ManifestFile>,
) -> (Checkpoints, Checkpointer) {
    let (sender, jobs) = jobs_channel();
    let progress = Arc::new(Signal::default());
    let checkpoints = Checkpoints {
        jobs: sender,
        progress: progress.clone(),
        trims_log: manifest.is_some(),
    };
    let checkpointer = Checkpointer {
        context,
        leaves,
        manifest,
        jobs,
        progress,
    };
    (checkpoints, checkpointer)
}

impl Checkpointer {
    /// Runs checkpoints until the part of the persist stage is dropped, and tells the stage up to which version it may
    /// trim.
    pub fn run(mut self, persist: &Mailbox<PersistMessage>) {
        priority::lower(self.context.config().checkpoint.nice);
        let context = self.context.clone();
        while let Ok(covered) = receive(&self.jobs) {
            context.checkpoint_running.store(true, Ordering::Relaxed);
            let work = AssertUnwindSafe(|| self.checkpoint(&covered, persist));
            let done = catch_unwind(work)
                .unwrap_or_else(|payload| Err(CheckpointError::Panic(panic_message(&*payload))));
            if let Err(error) = done {
                context.health.fail(EngineFailure::checkpoint(error));
            }
            context.checkpoint_running.store(false, Ordering::Relaxed);
            self.progress.update(Progress::end);
        }
    }

    /// Stores the versions that the checkpoint covers where they stay readable, if they are archived.
    fn store_past(&self, version: u64) -> Result<(), CheckpointError> {
        let (state, config) = (&self.context.state, self.context.config());
        let Some(past) = &state.past else {
            return Ok(());
        };
        let (view, layers) = state.values.layers_up_to(version);
        let in_memory = |number| state.versions.get(number).map(|version| version.to_past());
        let options = StoreOptions {
            bounds: PastBounds::of(&config.versions),
            now_ms: u64::try_from(clock::since_1970().as_millis()).unwrap_or(0),
            has_key_order: config.store.key_order,
        };
        let leaves = view.leaves()?;
        past.store_versions(
            version,
            &state.reader,
            &layers,
            &*leaves,
            in_memory,
            &options,
        )?;
        yield_point();
        Ok(())
    }

    /// Writes the page digests of a held version, and releases it. Returns whether there is a file.
    fn prepare_pages(&self, version: &Version) -> Result<bool, CheckpointError> {
        let state = &self.context.state;
        let prepared = self.manifest.as_ref().map_or(Ok(false), |manifest| {
            let prepared = manifest.prepare_pages(version, &state.reader);
            prepared.map_err(|source| manifest.pages_failed(source))
        });
        state.versions.release();
        prepared
    }

    /// Runs steps 1 (its second half) to 8 of a checkpoint.
    fn checkpoint(
        &mut self,
        covered: &Covered,
        persist: &Mailbox<PersistMessage>,
    ) -> Result<(), CheckpointError> {
        let (state, version) = (&self.context.state, &covered.version);
        let number = version.number();
        let has_pages = self.prepare_pages(version)?;
        self.store_past(number)?;
        if let Some(manifest) = &mut self.manifest {
            manifest.store_history(&state.history, number)?;
            manifest.intend(number)?;
            manifest.store_keys(&covered.remembered)?;
        }
        let layers = state.values.unflushed(number);
        let mut changes = changes(&layers, leaf_change).peekable();
        if changes.peek().is_some() {
            self.leaves.ingest(&mut changes)?;
            if self.context.config().store.key_order {
                self.leaves.ingest_keys(&mut key_changes(&layers))?;
            }
            self.leaves.sync()?;
        }
        if let Some(manifest) = &mut self.manifest {
            if has_pages {
                manifest.put_pages()?;
            }
            let file = manifest.complete(version)?;
            yield_point();
            state.history.stored(number, file);
            persist.send(PersistMessage::Checkpointed(number));
        }
        let view = Arc::new(StoreView::new(number, self.leaves.snapshot()?));
        state.values.checkpointed(view.clone());
        yield_point();
        state.forget(state.versions.checkpointed(&view));
        self.context.metrics.checkpoint_finished();
        Ok(())
    }
}

/// Returns the results of `change` for the newest effect on each key of several layers, in ascending order of key
/// hashes. The layers are oldest first.
///
/// The ranges of key hashes are processed one after the other. The effects of a range are adjacent in every layer, and
/// all of them fit the cache of a core.
fn changes<'a, T: Copy>(
    layers: &'a [Arc<Layer>],
    change: fn(Effect<'a>) -> T,
) -> impl Iterator<Item = T> {
    let mut rests: Vec<_> = layers
        .iter()
        .map(|layer| layer.effects().peekable())
        .collect();
    let count: usize = rests.iter().map(|rest| rest.len()).sum();
    let ranges = count.div_ceil(RANGE_EFFECTS) as u64;
    (0..ranges).flat_map(move |range| {
        let is_within = |key_hash: &_| range_of(key_hash, ranges) == range;
        newest_effects(&mut rests, is_within, change)
    })
}

/// Returns the index of the range, among several of equal width, that contains a key hash.
fn range_of(key_hash: &Digest, ranges: u64) -> u64 {
    ((u128::from(head(key_hash)) * u128::from(ranges)) >> u64::BITS) as u64
}

/// Takes the effects within a range from the front of each layer's rest. Returns the results of `change` for the newest
/// effect on each key, in ascending order of key hashes.
fn newest_effects<'a, T: Copy>(
    rests: &mut [Peekable<impl Iterator<Item = Effect<'a>>>],
    is_within: impl Fn(&Digest) -> bool,
    change: fn(Effect<'a>) -> T,
) -> Vec<T> {
    let mut key_hashes = Vec::with_capacity(2 * RANGE_EFFECTS);
    let mut changes = Vec::with_capacity(2 * RANGE_EFFECTS);
    let mut touched = 0;
    for rest in rests {
        while let Some(effect) = rest.next_if(|effect| is_within(&effect.key_hash)) {
            key_hashes.push(effect.key_hash);
            // The key comes before the value: both are read from memory in this order.
            let value = effect.change.and_then(<[u8]>::last);
            touched ^= effect.key[0] ^ value.copied().unwrap_or_default();
            changes.push(change(effect));
        }
    }
    black_box(touched);
    let order = path_order(&key_hashes);
    order.map(|place| changes[place as usize]).collect()
}

/// Returns the changes to the index of keys by the newest effect on each key of several layers, in ascending order of
/// keys.
fn key_changes(layers: &[Arc<Layer>]) -> impl Iterator<Item = KeyChange<'_>> {
    let mut changes: Vec<_> = changes(layers, key_change).collect();
    changes.sort_unstable_by_key(|change| change.key);
    changes.into_iter()
}

fn key_change(effect: Effect<'_>) -> KeyChange<'_> {
    KeyChange {
        key: effect.key,
        is_present: effect.change.is_some(),
    }
}

fn leaf_change(effect: Effect<'_>) -> LeafChange<'_> {
    let key = effect.key;
    LeafChange {
        key_hash: effect.key_hash,
        leaf: effect.change.map(|value| LeafRef { key, value }),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use trunkline_core::batch::{Batch, BatchLimits};
    use trunkline_core::params::TreeParams;

    use super::*;
    use crate::state::layer::Part;

    fn layer<K: AsRef<[u8]>>(version: u64, changes: &[(K, Option<&str>)]) -> Arc<Layer> {
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key.as_ref(), value),
                None => batch.delete(key.as_ref()),
            };
        }
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        let part = Part::whole(Arc::new(prepared.unwrap()));
        Arc::new(Layer::new(version, vec![part]))
    }

    #[test]
    fn the_newest_effect_of_each_key_is_ingested_in_path_order() {
        let layers = [
            layer(1, &[([1], Some("a")), ([3], Some("b"))]),
            layer(2, &[([2], Some("c")), ([3], None)]),
        ];
        let changes: Vec<_> = changes(&layers, leaf_change).collect();
        assert!(changes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        let value_of = |key: u8| {
            let key_hash = TreeParams::default().key_hash(&[key]);
            let change = changes.iter().find(|change| change.key_hash == key_hash);
            change.unwrap().leaf.map(|leaf| leaf.value)
        };
        assert_eq!(changes.len(), 3);
        assert_eq!(value_of(1), Some(&b"a"[..]));
        assert_eq!(value_of(2), Some(&b"c"[..]));
        assert_eq!(value_of(3), None);
    }

    #[test]
    fn a_checkpoint_of_few_leaves_does_not_change_the_rate() {
        let mut progress = Progress::default();
        progress.begin(1, false);
        progress.end();
        assert_eq!(progress.bytes_per_second, None);
        progress.begin(1 << 20, true);
        progress.end();
        assert!(progress.bytes_per_second.is_some());
    }

    #[test]
    fn each_effect_is_ingested_once_for_any_number_of_effects() {
        assert_eq!(changes(&[], leaf_change).count(), 0);
        for count in [2, 15, 16, 17, 100] {
            let puts: Vec<_> = (0..count).map(|key| ([key], Some("v"))).collect();
            let layers = [layer(1, &puts[..puts.len() / 2]), layer(2, &puts)];
            let changes: Vec<_> = changes(&layers, leaf_change).collect();
            assert_eq!(changes.len(), usize::from(count));
            assert!(changes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        }
    }

    #[test]
    fn effects_of_several_ranges_are_ingested_in_path_order() {
        let count = 3 * RANGE_EFFECTS as u32;
        let puts = |keys: Range<u32>, value| -> Vec<_> {
            keys.map(|key| (key.to_be_bytes(), Some(value))).collect()
        };
        let layers = [
            layer(1, &puts(0..count, "old")),
            layer(2, &puts(count / 2..count, "new")),
        ];
        let changes: Vec<_> = changes(&layers, leaf_change).collect();
        assert_eq!(changes.len(), count as usize);
        assert!(changes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        for change in changes {
            let leaf = change.leaf.unwrap();
            let key = u32::from_be_bytes(leaf.key.try_into().unwrap());
            let value = if key < count / 2 { "old" } else { "new" };
            assert_eq!(change.key_hash, TreeParams::default().key_hash(leaf.key));
            assert_eq!(leaf.value, value.as_bytes());
        }
    }
}
