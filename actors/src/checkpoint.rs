//! Checkpoints: on a thread of their own, leaves go from memory into the leaf store, so that the log
//! can be trimmed and memory given back.
//!
//! The order is what makes it safe: the log is synced up to H (persist sees to that) → the commit ids up
//! to H are in the history file, synced → the marker says that H is intended → one sorted ingestion → the
//! store is synced → the marker says H. A crash
//! in between leaves the old marker and the whole log; replaying it over newer leaves gives the
//! same state. Not here: when a checkpoint is due.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::Recipient;
use trunkline_core::batch::head;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::history_file::{HistoryFile, HistoryFileError, HistoryWriter};
use trunkline_core::store::leaves::{LeafChange, LeafStore, LeafStoreError};
use trunkline_core::store::marker::{CHECKPOINT_FILE, Marker};

use crate::adaptive::Backlog;
use crate::failure::{EngineFailure, panic_message};
use crate::message::Checkpointed;
use crate::metrics::interval::micros;
use crate::priority;
use crate::shared::Shared;
use crate::state::history::History;
use crate::state::layer::Layer;
use crate::state::values::StoreView;
use crate::state::versions::Version;

/// Effects that are looked up at a time.
const READ_AHEAD_EFFECTS: usize = 16;

/// Persist's end: starts checkpoints, one at a time, and waits for them.
pub struct Checkpoints {
    jobs: Sender<Arc<Version>>,
    running: Arc<Running>,
    trim_the_log: bool,
}

/// Whether a checkpoint runs.
#[derive(Debug, Default)]
struct Running {
    at_work: Mutex<AtWork>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct AtWork {
    now: Option<Job>,
    /// What the last one took that had its share of leaves.
    bytes_per_second: Option<u64>,
}

/// A checkpoint that runs.
#[derive(Clone, Copy, Debug)]
struct Job {
    since: Instant,
    bytes: u64,
    /// Whether its time says what bytes take: that of few is what every checkpoint takes.
    is_telling: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, AtWork> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, bytes: u64, is_telling: bool) {
        self.lock().now = Some(Job {
            since: Instant::now(),
            bytes,
            is_telling,
        });
    }

    fn end(&self) {
        let mut at_work = self.lock();
        if let Some(job) = at_work.now.take().filter(|job| job.is_telling) {
            let seconds = job.since.elapsed().as_secs_f64();
            at_work.bytes_per_second = Some((job.bytes as f64 / seconds.max(1e-6)) as u64);
        }
        drop(at_work);
        self.ended.notify_all();
    }
}

impl Checkpoints {
    pub fn running(&self) -> bool {
        self.running.lock().now.is_some()
    }

    /// Whether the log gets shorter by them: not if the leaf store does not outlive the engine.
    pub fn trim_the_log(&self) -> bool {
        self.trim_the_log
    }

    /// What the checkpoint that runs and what has gathered beside it amount to.
    pub fn backlog(&self, unflushed_bytes: u64, waits_at_bytes: u64) -> Option<Backlog> {
        let at_work = self.running.lock();
        let job = at_work.now?;
        Some(Backlog {
            checkpoint_bytes: job.bytes,
            gathered_bytes: unflushed_bytes.saturating_sub(job.bytes),
            elapsed_us: micros(job.since.elapsed()),
            bytes_per_second: at_work.bytes_per_second,
            waits_at_bytes,
        })
    }

    /// Starts a checkpoint of a version that is synced, with about so many bytes of leaves; `is_telling` if these are
    /// why it is started, so that the next ones are expected to take their time in proportion.
    pub fn start(&self, version: Arc<Version>, bytes: u64, is_telling: bool) {
        self.running.begin(bytes, is_telling);
        if self.jobs.send(version).is_err() {
            self.running.end();
        }
    }

    /// Waits until no checkpoint runs.
    pub fn wait(&self) {
        let ended = &self.running.ended;
        let at_work = ended.wait_while(self.running.lock(), |at_work| at_work.now.is_some());
        drop(at_work.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until no checkpoint runs, or so long.
    pub fn wait_at_most(&self, pause: Duration) {
        let ended = &self.running.ended;
        let at_work = self.running.lock();
        let waited = ended.wait_timeout_while(at_work, pause, |at_work| at_work.now.is_some());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread's end.
pub struct Checkpointer {
    shared: Arc<Shared>,
    leaves: Arc<dyn LeafStore>,
    /// Where the marker is written; `None` if the leaf store does not outlive the engine, so that
    /// the log must stay whole.
    place: Option<MarkerPlace>,
    jobs: Receiver<Arc<Version>>,
    running: Arc<Running>,
}

/// A directory with a marker, and what the marker says.
pub struct MarkerPlace {
    pub disk: Arc<dyn Disk>,
    pub directory: PathBuf,
    pub marker: Marker,
    /// Open since the first checkpoint of this engine.
    pub history: Option<HistoryWriter>,
}

impl MarkerPlace {
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
        self.marker = Marker {
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
        written.map_err(|source| CheckpointError::Marker {
            path: self.directory.join(CHECKPOINT_FILE),
            source,
        })
    }
}

/// Why a checkpoint was not done.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the checkpoint marker {} could not be written", path.display())]
    Marker {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    History(#[from] HistoryFileError),
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
}

/// Makes the two ends.
pub fn channel(
    shared: Arc<Shared>,
    leaves: Arc<dyn LeafStore>,
    place: Option<MarkerPlace>,
) -> (Checkpoints, Checkpointer) {
    let (sender, jobs) = std::sync::mpsc::channel();
    let running = Arc::new(Running::default());
    let checkpoints = Checkpoints {
        jobs: sender,
        running: running.clone(),
        trim_the_log: place.is_some(),
    };
    let checkpointer = Checkpointer {
        shared,
        leaves,
        place,
        jobs,
        running,
    };
    (checkpoints, checkpointer)
}

impl Checkpointer {
    /// Works until persist's end is gone; tells persist what it may trim.
    pub fn run(mut self, persist: &Recipient<Checkpointed>) {
        priority::lower(self.shared.config().checkpoint.nice);
        while let Ok(version) = self.jobs.recv() {
            let running = self.running.clone();
            let at_work = &self.shared.checkpoints_running;
            at_work.fetch_add(1, Ordering::Relaxed);
            let work = std::panic::AssertUnwindSafe(|| self.checkpoint(&version, persist));
            let failure = match std::panic::catch_unwind(work) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Arc::new(error) as Arc<_>),
                Err(payload) => {
                    let message = panic_message(&*payload);
                    Some(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(
                        message,
                    )))
                }
            };
            if let Some(source) = failure {
                self.shared.fail(EngineFailure::Checkpoint { source });
            }
            let at_work = &self.shared.checkpoints_running;
            at_work.fetch_sub(1, Ordering::Relaxed);
            running.end();
        }
    }

    fn checkpoint(
        &mut self,
        version: &Arc<Version>,
        persist: &Recipient<Checkpointed>,
    ) -> Result<(), CheckpointError> {
        let state = &self.shared.state;
        let number = version.number();
        if let Some(place) = &mut self.place {
            place.store_history(&state.history, number)?;
            place.marker.intent = Some(number);
            place.write_marker()?;
        }
        let layers = state.values.unflushed(number);
        let merged = merge(&layers);
        if !merged.is_empty() {
            self.leaves.ingest(&mut changes(&layers, &merged))?;
            self.leaves.sync()?;
        }
        if let Some(place) = &mut self.place {
            let file = place.mark(version)?;
            state.history.stored(number, file);
            persist.do_send(Checkpointed(number));
        }
        let view = Arc::new(StoreView::new(number, self.leaves.snapshot()?));
        state.values.checkpointed(view.clone());
        state.forget(state.versions.checkpointed(&view));
        self.shared.metrics.checkpoint_finished();
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
        let running = Running::default();
        running.begin(1, false);
        running.end();
        assert_eq!(running.lock().bytes_per_second, None);
        running.begin(1 << 20, true);
        running.end();
        assert!(running.lock().bytes_per_second.is_some());
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
