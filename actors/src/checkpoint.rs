//! Checkpoints: on a thread of their own, leaves go from memory into the leaf store, so that the log
//! can be trimmed and memory given back.
//!
//! The order is what makes it safe: the log is synced up to H (persist sees to that) → the commit ids up
//! to H are in the history file, synced → the marker says that H is intended → one sorted ingestion → the
//! store is synced → the marker says H. A crash
//! in between leaves the old marker and the whole log; replaying it over newer leaves gives the
//! same state. Not here: when a checkpoint is due.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use trunkline_core::batch::head;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::history_file::{HistoryFile, HistoryFileError, HistoryWriter};
use trunkline_core::store::leaves::{LeafChange, LeafStore, LeafStoreError};
use trunkline_core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};

use crate::actor::Mailbox;
use crate::adaptive::Backlog;
use crate::context::StageContext;
use crate::failure::{EngineFailure, panic_message};
use crate::message::PersistMessage;
use crate::runtime::clock::{self, micros};
use crate::runtime::priority;
use crate::runtime::wait::Signal;
use crate::state::history::History;
use crate::state::layer::Layer;
use crate::state::values::StoreView;
use crate::state::versions::Version;

/// Effects that are looked up at a time.
const READ_AHEAD_EFFECTS: usize = 16;

/// Persist's end: starts checkpoints, one at a time, and waits for them.
pub struct Checkpoints {
    jobs: Sender<Arc<Version>>,
    progress: Arc<Signal<Progress>>,
    trims_log: bool,
}

/// The checkpoint that runs, and the rate of the last one.
#[derive(Debug, Default)]
struct Progress {
    running: Option<Job>,
    bytes_per_second: Option<u64>,
}

/// A checkpoint that runs.
#[derive(Clone, Copy, Debug)]
struct Job {
    since: Instant,
    bytes: u64,
    /// Whether its time shows the rate. A checkpoint of few leaves only shows what every checkpoint takes.
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

    /// Returns whether checkpoints let the log be trimmed: not if the leaf store does not outlive the engine.
    pub fn trims_log(&self) -> bool {
        self.trims_log
    }

    /// Returns the work that the running checkpoint has left, and what has gathered since it was started.
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

    /// Starts a checkpoint of a synced version with about this many bytes of leaves. With `shows_rate` its time tells
    /// what later checkpoints take.
    pub fn start(&self, version: Arc<Version>, bytes: u64, shows_rate: bool) {
        self.progress
            .update(|progress| progress.begin(bytes, shows_rate));
        if self.jobs.send(version).is_err() {
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

/// The thread's end.
pub struct Checkpointer {
    context: Arc<StageContext>,
    leaves: Arc<dyn LeafStore>,
    /// Where the marker is written; `None` if the leaf store does not outlive the engine, so that
    /// the log must stay whole.
    manifest: Option<ManifestFile>,
    jobs: Receiver<Arc<Version>>,
    progress: Arc<Signal<Progress>>,
}

/// A directory with a marker, and what the marker says.
pub struct ManifestFile {
    pub disk: Arc<dyn Disk>,
    pub directory: PathBuf,
    pub marker: CheckpointManifest,
    /// Open since the first checkpoint of this engine.
    pub history: Option<HistoryWriter>,
}

impl ManifestFile {
    /// Stores the commit ids up to a version.
    fn store_history(&mut self, history: &History, version: u64) -> Result<(), HistoryFileError> {
        let (stored, nodes) = history.unstored(version);
        if self.history.is_none() {
            let tree_id = &self.marker.record.tree_id;
            let writer = HistoryWriter::open(&*self.disk, &self.directory, tree_id, stored)?;
            self.history = Some(writer);
        }
        match &mut self.history {
            Some(writer) => writer.append(&nodes),
            None => Ok(()),
        }
    }

    /// Writes the marker of a version, if the history file has what it speaks of.
    fn mark(&mut self, version: &Version) -> Result<Option<HistoryFile>, CheckpointError> {
        self.marker = CheckpointManifest {
            record: version.record.clone(),
            kzg_root: version.kzg_root.get().copied(),
            history: version.history.clone(),
            intent: None,
        };
        let file = HistoryFile::open(&*self.disk, &self.directory, &self.marker)?;
        self.write_marker()?;
        Ok(file)
    }

    fn write_marker(&self) -> Result<(), CheckpointError> {
        let written = self.marker.write(&*self.disk, &self.directory);
        written.map_err(|source| CheckpointError::Manifest {
            path: self.directory.join(CHECKPOINT_FILE),
            source,
        })
    }
}

/// Why a checkpoint was not done.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the checkpoint manifest {} could not be written", path.display())]
    Manifest {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    History(#[from] HistoryFileError),
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
}

/// Creates the two ends.
pub fn channel(
    context: Arc<StageContext>,
    leaves: Arc<dyn LeafStore>,
    manifest: Option<ManifestFile>,
) -> (Checkpoints, Checkpointer) {
    let (sender, jobs) = std::sync::mpsc::channel();
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
    /// Works until persist's end is gone, and tells persist what it may trim.
    pub fn run(mut self, persist: &Mailbox<PersistMessage>) {
        priority::lower(self.context.config().checkpoint.nice);
        while let Ok(version) = self.jobs.recv() {
            let running = self.context.checkpoint_running.clone();
            running.store(true, Ordering::Relaxed);
            let work = AssertUnwindSafe(|| self.checkpoint(&version, persist));
            let source: Option<Arc<dyn Error + Send + Sync>> = match catch_unwind(work) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Arc::new(error)),
                Err(payload) => Some(Arc::from(Box::from(panic_message(&*payload)))),
            };
            if let Some(source) = source {
                self.context
                    .health
                    .fail(EngineFailure::Checkpoint { source });
            }
            running.store(false, Ordering::Relaxed);
            self.progress.update(Progress::end);
        }
    }

    fn checkpoint(
        &mut self,
        version: &Arc<Version>,
        persist: &Mailbox<PersistMessage>,
    ) -> Result<(), CheckpointError> {
        let state = &self.context.state;
        let number = version.number();
        if let Some(manifest) = &mut self.manifest {
            manifest.store_history(&state.history, number)?;
            manifest.marker.intent = Some(number);
            manifest.write_marker()?;
        }
        let layers = state.values.unflushed(number);
        let merged = merge(&layers);
        if !merged.is_empty() {
            self.leaves.ingest(&mut changes(&layers, &merged))?;
            self.leaves.sync()?;
        }
        if let Some(manifest) = &mut self.manifest {
            let file = manifest.mark(version)?;
            state.history.stored(number, file);
            persist.send(PersistMessage::Checkpointed(number));
        }
        let view = Arc::new(StoreView::new(number, self.leaves.snapshot()?));
        state.values.checkpointed(view.clone());
        state.forget(state.versions.checkpointed(&view));
        self.context.metrics.checkpoint_finished();
        Ok(())
    }
}

/// The effects of several layers, oldest first, as one: ascending by key hash, the newest of each.
fn merge(layers: &[Arc<Layer>]) -> Vec<Reference> {
    let count = layers.iter().map(|layer| layer.len()).sum();
    let mut effects: Vec<Reference> = Vec::with_capacity(count);
    for (place, layer) in layers.iter().enumerate().rev() {
        effects.extend((0..layer.len()).map(|index| Reference {
            head: head(layer.key_hash(index)),
            layer: place as u32,
            index: index as u32,
        }));
    }
    let key_hash = |reference: &Reference| {
        let layer = &layers[reference.layer as usize];
        layer.key_hash(reference.index as usize)
    };
    // Stable, so that of one key the newest stays first; layers are runs that are sorted already.
    effects.sort_by(|a, b| {
        a.head
            .cmp(&b.head)
            .then_with(|| key_hash(a).cmp(key_hash(b)))
    });
    effects.dedup_by(|a, b| a.head == b.head && key_hash(a) == key_hash(b));
    effects
}

/// What effects do to the leaf store. They lie scattered over memory: some are looked up before the
/// first of them is used, so that their cache misses overlap.
fn changes<'a>(
    layers: &'a [Arc<Layer>],
    effects: &'a [Reference],
) -> impl Iterator<Item = LeafChange<'a>> {
    effects.chunks(READ_AHEAD_EFFECTS).flat_map(|some| {
        let last = some.len() - 1;
        let changes: [LeafChange<'a>; READ_AHEAD_EFFECTS] = std::array::from_fn(|place| {
            let effect = &some[place.min(last)];
            layers[effect.layer as usize].leaf_change(effect.index as usize)
        });
        let leaves = changes.iter().filter_map(|change| change.leaf);
        let touched = leaves.map(|leaf| leaf.key.first().zip(leaf.value.last()));
        std::hint::black_box(touched.fold(0, |sum, ends| {
            sum ^ ends.map_or(0, |(key, value)| key ^ value)
        }));
        changes.into_iter().take(some.len())
    })
}

/// An effect of one of several layers.
struct Reference {
    /// Of its key hash: comparing two rarely takes more.
    head: u64,
    layer: u32,
    index: u32,
}

#[cfg(test)]
mod tests {
    use trunkline_core::batch::{Batch, BatchLimits};
    use trunkline_core::params::TreeParams;

    use super::*;
    use crate::state::layer::Part;

    fn layer(version: u64, changes: &[(u8, Option<&str>)]) -> Arc<Layer> {
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put([*key], value),
                None => batch.delete([*key]),
            };
        }
        let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
        let part = Part::whole(Arc::new(prepared.unwrap()));
        Arc::new(Layer::new(version, vec![part]))
    }

    #[test]
    fn the_newest_effect_of_each_key_is_ingested_in_path_order() {
        let layers = [
            layer(1, &[(1, Some("a")), (3, Some("b"))]),
            layer(2, &[(2, Some("c")), (3, None)]),
        ];
        let merged = merge(&layers);
        let changes: Vec<_> = changes(&layers, &merged).collect();
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
    fn a_checkpoint_of_few_leaves_says_nothing_of_the_rate() {
        let mut progress = Progress::default();
        progress.begin(1, false);
        progress.end();
        assert_eq!(progress.bytes_per_second, None);
        progress.begin(1 << 20, true);
        progress.end();
        assert!(progress.bytes_per_second.is_some());
    }

    #[test]
    fn however_many_effects_there_are_each_is_ingested_once() {
        assert_eq!(changes(&[], &[]).count(), 0);
        for count in [2, 15, 16, 17, 100] {
            let puts: Vec<_> = (0..count).map(|key| (key, Some("v"))).collect();
            let layers = [layer(1, &puts[..puts.len() / 2]), layer(2, &puts)];
            let merged = merge(&layers);
            let changes: Vec<_> = changes(&layers, &merged).collect();
            assert_eq!(changes.len(), usize::from(count));
            assert!(changes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        }
    }
}
