//! Step 2 of opening: the leaves of the last checkpoint become a tree, and the log after it is replayed.
//!
//! Every version that is replayed is hashed and compared with its record. Nothing is repaired silently: a difference
//! is an error that names it.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::ScopedJoinHandle;

use bytes::Bytes;
use rayon::ThreadPool;
use trunkline_actors::config::Config;
use trunkline_actors::config::runtime::RuntimeSettings;
use trunkline_actors::metrics::Metrics;
use trunkline_actors::runtime::pool::Pools;
use trunkline_actors::runtime::thread;
use trunkline_actors::state::State;
use trunkline_actors::state::access_sampler::AccessSampler;
use trunkline_actors::state::cold_leaves;
use trunkline_actors::state::history::History;
use trunkline_actors::state::layer::{Layer, Part};
use trunkline_actors::state::overlay::Overlay;
use trunkline_actors::state::values::{StoreView, Values};
use trunkline_actors::state::versions::{Submissions, Version, Versions, provisional_before};
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{ZERO, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::kzg::{SetupError, slot_value};
use trunkline_core::outcome::decode_outcomes;
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::effect::decode_effects;
use trunkline_core::store::leaves::LeafSnapshot;
use trunkline_core::store::log::{LogEntry, LogPosition, OpenLogError};
use trunkline_core::store::marker::Marker;
use trunkline_core::tree::{self, BuildError, Roots, SealedChanges, TreeHasher, TreeWriter};

use super::kzg_tables::committer;
use crate::error::{OpenError, ReplayError};

/// A tree with everything up to its last commit, before threads are started on it.
pub(crate) struct Loaded {
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: TreeHasher,
    pub(crate) last: Arc<Version>,
    pub(crate) values: Values,
    pub(crate) history: History,
}

/// Loading: first the leaves, then the log.
pub(crate) struct Loading {
    params: TreeParams,
    writer: TreeWriter,
    hasher: TreeHasher,
    hash_parallelism: usize,
    leaves: Arc<dyn LeafSnapshot>,
    replayed: Replayed,
}

/// What has been replayed and found to be as recorded.
struct Replayed {
    values: Values,
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    roots: Roots,
    history: MountainRange,
    commit_ids: History,
    submissions: Option<Submissions>,
    intent: Option<u64>,
}

/// A version of the log with its effects read and hashed.
struct Decoded {
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    outcomes: Bytes,
    batch: PreparedBatch,
}

/// Why an entry of the log was the last one to be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Entry(#[from] ReplayError),
    /// A later step refused an earlier version, and says so itself.
    #[error("an earlier version was refused")]
    Earlier,
}

/// Versions between one step of a replay and the next: enough to keep all of them busy.
const REPLAYS_WAITING_MAX: usize = 2;

impl Loading {
    /// Begins with the leaves and the history that the checkpoint marker speaks of: as many of the leaves
    /// as a budget has room for.
    pub(crate) fn begin(
        params: TreeParams,
        (marker, leaves): (&Marker, Arc<dyn LeafSnapshot>),
        commit_ids: History,
        config: &Config,
        pools: &Pools,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let version = marker.record.version;
        let scan = |range| cold_leaves::scan(&params, &*leaves, range, 0);
        let budget_bytes = config.memory.budget_bytes;
        let built = tree::build_within(budget_bytes, &pools.commit, params.collision, scan);
        let (mut writer, mut hasher) = built.map_err(|error| match error {
            BuildError::Source(error) => error.into(),
            BuildError::Disorder(first) => OpenError::from(ReplayError::Misplaced(first)),
        })?;
        let roots = hasher.hash(writer.seal(version), None);
        if marker.intent.is_none() {
            check_state(&marker.record, &roots)?;
        }
        let view = Arc::new(StoreView::new(version, leaves.clone()));
        Ok(Self {
            params,
            writer,
            hasher,
            hash_parallelism: config.workers.hash_parallelism,
            leaves,
            replayed: Replayed {
                values: Values::new(view, config.cache.value_bytes_max, metrics.clone()),
                record: marker.record.clone(),
                kzg_root: marker.kzg_root,
                roots,
                history: marker.history.clone(),
                commit_ids,
                submissions: None,
                intent: marker.intent,
            },
        })
    }

    /// Where the log goes on.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition::of(&self.replayed.record)
    }

    /// Replays what `read` gives to the function that it is called with, version by version.
    ///
    /// Three steps overlap, as the stages of the engine do: the calling thread reads and hashes
    /// effects, a second applies them, a third hashes the tree and compares. All are done, and
    /// everything is as recorded, when this returns.
    pub(crate) fn replay<T>(
        &mut self,
        pool: &ThreadPool,
        read: impl FnOnce(
            &mut dyn FnMut(LogEntry) -> Result<(), Stopped>,
        ) -> Result<T, OpenLogError<Stopped>>,
    ) -> Result<T, OpenError> {
        let Self {
            params,
            writer,
            hasher,
            hash_parallelism,
            leaves,
            replayed,
        } = self;
        let shards = *hash_parallelism;
        let params = &*params;
        let reader = writer.reader();
        let covered = replayed.values.store().version;
        let (to_apply, decoded) = sync_channel::<Decoded>(REPLAYS_WAITING_MAX);
        let (to_check, applied) = sync_channel(REPLAYS_WAITING_MAX);
        std::thread::scope(|scope| {
            let applying = thread::spawn_scoped(scope, "replay-tree", move || {
                for decoded in decoded {
                    cold_leaves::restore(
                        writer,
                        [&decoded.batch],
                        params,
                        &**leaves,
                        covered,
                        pool,
                    )?;
                    let changes = apply(writer, &decoded)
                        .map_err(|error| OpenError::from(OpenLogError::Visitor(error)))?;
                    cold_leaves::evict(writer, covered, decoded.batch.operations);
                    if to_check.send((decoded, changes)).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            let checking = thread::spawn_scoped(scope, "replay-hash", move || {
                for (decoded, changes) in applied {
                    let version = decoded.record.version;
                    replayed
                        .advance(decoded, hasher.hash(changes, Some((pool, shards))))
                        .map_err(OpenLogError::Visitor)?;
                    reader.retire(version);
                }
                Ok(())
            });
            // Whichever was started ends with its channel, also if the other one was not.
            let (applying, checking) = match (applying, checking) {
                (Ok(applying), Ok(checking)) => (applying, checking),
                (Err(error), _) | (_, Err(error)) => return Err(OpenError::Thread(error)),
            };
            let given = read(&mut |entry| {
                let decoded = decode(params, entry)?;
                to_apply.send(decoded).map_err(|_| Stopped::Earlier)
            });
            drop(to_apply);
            // The step that is further behind in the log speaks first.
            ended(checking)?;
            ended(applying)?;
            given.map_err(unread)
        })
    }

    /// The state at the last commit. With `commit`, its KZG root is computed, and compared with a
    /// stored one.
    pub(crate) fn finish(self, commit: bool) -> Result<Loaded, OpenError> {
        let replayed = self.replayed;
        let last = replayed.record.version;
        let version = Version::new(
            replayed.record,
            replayed.roots,
            replayed.history,
            replayed.submissions,
            0,
        );
        if commit || replayed.kzg_root.is_some() {
            let slots = &version.roots.slots;
            let values = std::array::from_fn(|slot| slot_value(&slots[slot]));
            let kzg_root = committer()?.commit(&values).to_bytes().0;
            if let Some(stored) = replayed.kzg_root {
                check(last, "the KZG root", &kzg_root, &stored)?;
            }
            let _ = version.kzg_root.set(kzg_root);
        }
        version.read_from(replayed.values.store());
        Ok(Loaded {
            writer: self.writer,
            hasher: self.hasher,
            last: Arc::new(version),
            values: replayed.values,
            history: replayed.commit_ids,
        })
    }
}

/// Reads and hashes what an entry changed.
fn decode(params: &TreeParams, entry: LogEntry) -> Result<Decoded, ReplayError> {
    let version = entry.record.version;
    let effects = decode_effects(params, &entry.effects)
        .map_err(|source| ReplayError::Effects { version, source })?;
    let batch = PreparedBatch::of_effects(effects.into_iter(), entry.effects.len());
    Ok(Decoded {
        record: entry.record,
        kzg_root: entry.kzg_root,
        outcomes: entry.outcomes,
        batch,
    })
}

/// Applies the next version to the tree.
fn apply(writer: &mut TreeWriter, decoded: &Decoded) -> Result<SealedChanges, ReplayError> {
    let version = decoded.record.version;
    let replayed = writer.replay(&decoded.batch.writes, version);
    replayed.map_err(|refusal| ReplayError::Differs {
        what: "the outcome of a write",
        version,
        found: refusal.to_string(),
        recorded: "applied".to_owned(),
    })?;
    Ok(writer.seal(version))
}

impl Replayed {
    /// Takes the next version, if it is what its record says.
    fn advance(&mut self, decoded: Decoded, roots: Roots) -> Result<(), ReplayError> {
        let record = decoded.record;
        let version = record.version;
        self.roots = roots;
        if self.intent.is_none_or(|intent| version >= intent) {
            check_state(&record, &self.roots)?;
        }
        let outcomes = decode_outcomes(&decoded.outcomes).map(|(_, digest)| digest);
        let outcomes = outcomes.unwrap_or(ZERO);
        let recorded = &record.outcomes_digest;
        check(version, "the outcomes' digest", &outcomes, recorded)?;
        let history = self.history.digest(&HISTORY);
        let recorded = &record.history_digest;
        check(version, "the history digest", &history, recorded)?;
        let commit_id = record.commit_id();
        self.history.append(&HISTORY, &commit_id);
        self.commit_ids.push(version, &commit_id);
        self.submissions = Some(Submissions {
            provisional_before: provisional_before(&self.record, &record),
            outcomes: decoded.outcomes,
        });
        self.values.push(Arc::new(Layer::new(
            version,
            vec![Part::whole(Arc::new(decoded.batch))],
        )));
        self.record = record;
        self.kzg_root = decoded.kzg_root;
        Ok(())
    }
}

/// What a step of a replay ended with.
fn ended(step: ScopedJoinHandle<'_, Result<(), OpenError>>) -> Result<(), OpenError> {
    match step.join() {
        Ok(ended) => ended,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// Why the log was not read to its end, if no step refused a version.
fn unread(error: OpenLogError<Stopped>) -> OpenError {
    match error {
        OpenLogError::Log(error) => OpenLogError::Log(error).into(),
        OpenLogError::Visitor(Stopped::Entry(error)) => OpenLogError::Visitor(error).into(),
        OpenLogError::Visitor(Stopped::Earlier) => {
            OpenError::Panic("a step of the replay ended without a word".to_owned())
        }
        OpenLogError::Write { path, source } => OpenLogError::Write { path, source }.into(),
    }
}

impl Loaded {
    /// What readers need, and the writing halves of the tree.
    pub(crate) fn into_state(
        self,
        params: TreeParams,
        config: Config,
        metrics: Arc<Metrics>,
        pools: Pools,
    ) -> Result<(Arc<State>, TreeWriter, TreeHasher), SetupError> {
        metrics.keys(self.last.record.key_count);
        metrics.tree(self.writer.memory(), 0, 0);
        let state = State {
            params,
            reader: self.writer.reader(),
            overlay: Overlay::default(),
            values: self.values,
            versions: Versions::new(self.last, config.versions.clone()),
            history: self.history,
            committer: committer()?,
            pools,
            access_sampler: AccessSampler::new(config.memory.budget_bytes > 0),
            settings: Arc::new(RuntimeSettings::new(config)),
            metrics,
        };
        Ok((Arc::new(state), self.writer, self.hasher))
    }
}

fn check_state(record: &CommitRecord, roots: &Roots) -> Result<(), ReplayError> {
    let version = record.version;
    check(
        version,
        "the state digest",
        &roots.state_digest,
        &record.state_digest,
    )?;
    let (found, recorded) = (roots.key_count, record.key_count);
    if found != recorded {
        return Err(ReplayError::Differs {
            what: "the number of keys",
            version,
            found: found.to_string(),
            recorded: recorded.to_string(),
        });
    }
    Ok(())
}

fn check(
    version: u64,
    what: &'static str,
    found: &[u8],
    recorded: &[u8],
) -> Result<(), ReplayError> {
    if found == recorded {
        return Ok(());
    }
    Err(ReplayError::Differs {
        what,
        version,
        found: hex(found),
        recorded: hex(recorded),
    })
}
