//! Checkpoints: on a thread of their own, leaves go from memory into the leaf store, so that the log
//! can be trimmed and memory given back.
//!
//! The order is what makes it safe: the log is synced up to H (persist sees to that) → the marker
//! says that H is intended → one sorted ingestion → the store is synced → the marker says H. A crash
//! in between leaves the old marker and the whole log; replaying it over newer leaves gives the
//! same state. Not here: when a checkpoint is due.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use actix::Recipient;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::effect::Effect;
use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore, LeafStoreError};
use trunkline_core::store::marker::Marker;

use crate::failure::{EngineFailure, panic_message};
use crate::message::Checkpointed;
use crate::priority;
use crate::shared::Shared;
use crate::values::{Layer, StoreView};
use crate::versions::Version;

/// Persist's end: starts checkpoints, one at a time, and waits for them.
pub(crate) struct Checkpoints {
    jobs: Sender<Arc<Version>>,
    running: Arc<Running>,
}

/// Whether a checkpoint runs.
#[derive(Debug, Default)]
struct Running {
    running: Mutex<bool>,
    ended: Condvar,
}

impl Running {
    fn set(&self, running: bool) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
        self.ended.notify_all();
    }
}

impl Checkpoints {
    pub(crate) fn running(&self) -> bool {
        *self
            .running
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a checkpoint of a version that is synced.
    pub(crate) fn start(&self, version: Arc<Version>) {
        self.running.set(true);
        if self.jobs.send(version).is_err() {
            self.running.set(false);
        }
    }

    /// Waits until no checkpoint runs.
    pub(crate) fn wait(&self) {
        let running = &self.running.running;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running {
            running = self
                .running
                .ended
                .wait(running)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread's end.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    leaves: Arc<dyn LeafStore>,
    /// Where the marker is written; `None` if the leaf store does not outlive the engine, so that
    /// the log must stay whole.
    place: Option<MarkerPlace>,
    jobs: Receiver<Arc<Version>>,
    running: Arc<Running>,
}

/// A directory with a marker, and what the marker says.
pub(crate) struct MarkerPlace {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) marker: Marker,
}

/// Why a checkpoint was not done.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the checkpoint marker could not be written")]
    Marker(#[from] std::io::Error),
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
}

/// Makes the two ends.
pub(crate) fn channel(
    shared: Arc<Shared>,
    leaves: Arc<dyn LeafStore>,
    place: Option<MarkerPlace>,
) -> (Checkpoints, Checkpointer) {
    let (sender, jobs) = std::sync::mpsc::channel();
    let running = Arc::new(Running::default());
    let checkpoints = Checkpoints {
        jobs: sender,
        running: running.clone(),
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
    pub(crate) fn run(mut self, persist: &Recipient<Checkpointed>) {
        priority::lower(self.shared.config.checkpoint.nice);
        while let Ok(version) = self.jobs.recv() {
            let running = self.running.clone();
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
            running.set(false);
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
            place.marker.intent = Some(number);
            place.marker.write(&*place.disk, &place.directory)?;
        }
        let layers = state.values.unflushed(number);
        self.leaves.ingest(&mut merge(&layers).map(leaf_change))?;
        self.leaves.sync()?;
        if let Some(place) = &mut self.place {
            place.marker = Marker {
                record: version.record.clone(),
                kzg_root: version.kzg_root.get().copied(),
                history: version.history.clone(),
                intent: None,
            };
            place.marker.write(&*place.disk, &place.directory)?;
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
fn merge(layers: &[Arc<Layer>]) -> impl Iterator<Item = &Effect> {
    let mut effects: Vec<&Effect> = layers
        .iter()
        .rev()
        .flat_map(|layer| &layer.effects)
        .collect();
    // Stable, so that of one key the newest stays first.
    effects.sort_by_key(|effect| effect.key_hash);
    effects.dedup_by_key(|effect| effect.key_hash);
    effects.into_iter()
}

fn leaf_change(effect: &Effect) -> LeafChange {
    LeafChange {
        key_hash: effect.key_hash,
        leaf: effect.change.as_ref().map(|value| Leaf {
            key: effect.key.clone(),
            value: value.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(key_hash: u8, value: Option<&'static str>) -> Effect {
        Effect {
            key_hash: [key_hash; 32],
            key: "k".into(),
            change: value.map(Into::into),
        }
    }

    #[test]
    fn the_newest_effect_of_each_key_is_ingested_in_path_order() {
        let layers = [
            Arc::new(Layer::new(
                1,
                vec![effect(1, Some("a")), effect(3, Some("b"))],
            )),
            Arc::new(Layer::new(2, vec![effect(2, Some("c")), effect(3, None)])),
        ];
        let merged: Vec<Effect> = merge(&layers).cloned().collect();
        assert_eq!(
            merged,
            [effect(1, Some("a")), effect(2, Some("c")), effect(3, None)]
        );
    }
}
