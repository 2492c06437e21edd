//! Step 2 of opening, continued: the page digests or the leaves of the last checkpoint become a tree, and the log after it is
//! replayed.
//!
//! Every replayed version is hashed and compared with its record. Nothing is repaired silently: a difference is an
//! error that names it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use trunkline_actors::config::Config;
use trunkline_actors::config::runtime::{RuntimeSettings, tree_bytes_at_open};
use trunkline_actors::in_flight::free_shards;
use trunkline_actors::metrics::Metrics;
use trunkline_actors::runtime::pool::Pools;
use trunkline_actors::runtime::thread::{self, JoinHandle};
use trunkline_actors::runtime::wait::{receive, send};
use trunkline_actors::state::State;
use trunkline_actors::state::access_sampler::AccessSampler;
use trunkline_actors::state::cold_leaves;
use trunkline_actors::state::history::History;
use trunkline_actors::state::layer::{Layer, Part};
use trunkline_actors::state::overlay::Overlay;
use trunkline_actors::state::past::{Past, Recent};
use trunkline_actors::state::recent_keys::RecentKeys;
use trunkline_actors::state::remembered_keys::RememberedKeys;
use trunkline_actors::state::values::{StoreView, Values};
use trunkline_actors::state::versions::{Submissions, Version, Versions, provisional_before};
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{Digest, ZERO, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::kzg::slot_value;
use trunkline_core::outcome::decode_outcomes;
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::effect::decode_effects;
use trunkline_core::store::idempotency_file::{KeyedSubmission, Remembered};
use trunkline_core::store::leaves::LeafSnapshot;
use trunkline_core::store::log::{LogEntry, LogPosition, OpenLogError};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::past::{PastStore, PastSubmissions, PastVersion};
use trunkline_core::store::reverts::KnownStates;
use trunkline_core::tree::{
    self, BuildError, ColdTree, Roots, SealedChanges, TreeHasher, TreeReader, TreeWriter,
};

use super::kzg_tables::committer;
use crate::error::{OpenError, ReplayError};

/// The state at the last commit, before threads are started on it.
pub(crate) struct Loaded {
    pub(crate) state: Arc<State>,
    pub(crate) writer: TreeWriter,
    pub(crate) hasher: TreeHasher,
    pub(crate) keys: RememberedKeys,
}

/// The archive of versions.
pub(crate) struct Archive {
    store: Arc<dyn PastStore>,
    /// True if stored entries that do not belong to the tree may be removed.
    clear: bool,
}

impl Archive {
    /// Returns the archive of an engine.
    pub(crate) fn of(store: Arc<dyn PastStore>) -> Self {
        Self { store, clear: true }
    }

    /// Returns an archive that is only read.
    pub(crate) fn read_only(store: Arc<dyn PastStore>) -> Self {
        let clear = false;
        Self { store, clear }
    }
}

/// A state that is being loaded: first the leaves, then the log.
pub(crate) struct Loading {
    params: TreeParams,
    config: Config,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
    leaves: Arc<dyn LeafSnapshot>,
    writer: TreeWriter,
    hasher: TreeHasher,
    replayed: Replayed,
}

/// The replayed state, which matches its records.
struct Replayed {
    values: Values,
    record: CommitRecord,
    kzg_root: Option<[u8; 48]>,
    roots: Roots,
    /// The cost of keeping the version before the last one readable, bytes.
    replaced_bytes: usize,
    history: MountainRange,
    known: KnownStates,
    commit_ids: History,
    submissions: Option<Submissions>,
    keys: RememberedKeys,
    intent: Option<u64>,
    /// The first version whose state can be distinguished from later ones: that of the leaf store.
    base: u64,
    /// The versions before the last one, from `base` on.
    recent: Recent,
    /// The first version that stays readable.
    keep_from: u64,
    /// The readable versions before the last one.
    kept: Vec<Arc<Version>>,
}

/// An entry of the log whose effects were decoded and hashed.
pub(crate) struct Decoded {
    pub(crate) entry: LogEntry,
    pub(crate) batch: PreparedBatch,
}

/// The maximum number of versions that wait between two steps of a replay: enough to keep all steps busy.
const REPLAYS_WAITING_MAX: usize = 2;

impl Loading {
    /// Builds the tree of a checkpoint. `cold` is the tree of its page digests; without it, all leaves are read, and as many
    /// of them stay as the memory budget allows.
    pub(crate) fn begin(
        params: TreeParams,
        config: Config,
        marker: &CheckpointManifest,
        (commit_ids, remembered): (History, Remembered),
        leaves: Arc<dyn LeafSnapshot>,
        cold: Option<ColdTree>,
    ) -> Result<Self, OpenError> {
        let pools = Pools::start(config.workers.threads, config.workers.read_threads)?;
        let pools = Arc::new(pools);
        let metrics = Arc::new(Metrics::new(&config.engine.name));
        let version = marker.record.version;
        let scan = |range| cold_leaves::scan(&params, &*leaves, range, 0);
        let budget_bytes = tree_bytes_at_open(&config);
        metrics.opened_pages(cold.as_ref().map_or(0, ColdTree::pages));
        let built = match cold {
            Some(cold) => Ok(cold.finish(params.collision, budget_bytes)),
            None => {
                tree::build_within(budget_bytes, pools.commit.threads(), params.collision, scan)
            }
        };
        let (mut writer, mut hasher) = built.map_err(|error| match error {
            BuildError::Source(error) => error.into(),
            BuildError::Disorder(first) => OpenError::from(ReplayError::Misplaced(first)),
        })?;
        let roots = hasher.hash(writer.seal(version), None);
        // A checkpoint that was not completed leaves leaves of two versions.
        if marker.intent.is_none() {
            check_state(&marker.record, &roots)?;
        }
        let view = Arc::new(StoreView::new(version, leaves.clone()));
        let mut known = KnownStates::default();
        known.push(&marker.record);
        let replayed = Replayed {
            known,
            values: Values::new(view, config.cache.value_bytes_max, metrics.clone()),
            record: marker.record.clone(),
            kzg_root: marker.kzg_root,
            roots,
            replaced_bytes: 0,
            history: marker.history.clone(),
            commit_ids,
            submissions: None,
            keys: RememberedKeys::new(config.submit.idempotency_keys_max, remembered),
            intent: marker.intent,
            base: marker.intent.unwrap_or(version),
            recent: Recent::after(marker.intent.unwrap_or(version)),
            keep_from: u64::MAX,
            kept: Vec::new(),
        };
        Ok(Self {
            params,
            config,
            pools,
            metrics,
            leaves,
            writer,
            hasher,
            replayed,
        })
    }

    /// Keeps versions from this one on readable, as far as they are replayed.
    pub(crate) fn keep_from(mut self, version: u64) -> Self {
        self.replayed.keep_from = version;
        self
    }

    /// Replays the log after the checkpoint. `read` gets the position to begin at and a function to pass each entry to.
    /// Returns the loaded state with the result of `read`.
    ///
    /// Three steps overlap, like the stages of the engine: the caller's thread reads and decodes entries, a second
    /// thread applies them to the tree, a third one hashes the tree and compares. When this returns without an error,
    /// everything was replayed and matches its record.
    pub(crate) fn replay<T>(
        self,
        read: impl FnOnce(
            LogPosition,
            &mut dyn FnMut(LogEntry) -> Result<(), ReplayError>,
        ) -> Result<T, OpenLogError<ReplayError>>,
    ) -> Result<(Self, T), OpenError> {
        let (params, from) = (self.params, LogPosition::of(&self.replayed.record));
        let (to_apply, decoded) = sync_channel::<Decoded>(REPLAYS_WAITING_MAX);
        let (to_check, applied) = sync_channel(REPLAYS_WAITING_MAX);
        let apply = Apply {
            params,
            covered: self.replayed.record.version,
            pools: self.pools.clone(),
            leaves: self.leaves.clone(),
            writer: self.writer,
        };
        let check = Check {
            pools: self.pools.clone(),
            reader: apply.writer.reader(),
            hasher: self.hasher,
            replayed: self.replayed,
        };
        let applying = thread::spawn("replay-tree", move || apply.run(&decoded, &to_check));
        let applying = applying.map_err(OpenError::Thread)?;
        let checking = thread::spawn("replay-hash", move || check.run(&applied));
        let checking = checking.map_err(OpenError::Thread)?;
        let found = read(from, &mut |entry| {
            // Fails if an earlier version was refused; the error of that step is returned below.
            let _ = send(&to_apply, decode(&params, entry)?);
            Ok(())
        });
        drop(to_apply);
        let (checked, applied) = (join(checking), join(applying));
        // A later step is at an earlier version, so its error comes first.
        let ((hasher, replayed), writer) = (checked?, applied?);
        let loaded = Self {
            writer,
            hasher,
            replayed,
            ..self
        };
        Ok((loaded, found?))
    }

    /// Returns the state at the last commit. Computes its KZG root with `commit`, and compares it with the stored one,
    /// if any.
    ///
    /// With `archive`, older versions stay readable too.
    pub(crate) fn finish(
        self,
        commit: bool,
        archive: Option<Archive>,
    ) -> Result<Loaded, OpenError> {
        let (mut replayed, metrics) = (self.replayed, self.metrics);
        let kept = std::mem::take(&mut replayed.kept);
        let past = match archive {
            None => None,
            Some(Archive { store, clear }) => Some(Past::begin(
                store,
                replayed.recent,
                replayed.base,
                |version| commit_id(&replayed.record, &replayed.commit_ids, version),
                clear,
                metrics.clone(),
            )?),
        };
        let last = Version::new(
            replayed.record,
            replayed.roots,
            replayed.history,
            replayed.submissions,
            0,
        );
        if commit || replayed.kzg_root.is_some() {
            let values = last.roots.slots.each_ref().map(slot_value);
            let kzg_root = committer()?.commit(&values).to_bytes().0;
            if let Some(stored) = replayed.kzg_root {
                check_kzg_root(last.number(), &kzg_root, &stored)?;
            }
            let _ = last.kzg_root.set(kzg_root);
        }
        for version in kept.iter().map(|version| &**version).chain([&last]) {
            version.read_from(replayed.values.store());
        }
        metrics.keys(last.record.key_count);
        metrics.tree(self.writer.memory(), 0, 0);
        let is_bounded = self.config.memory.budget_bytes > 0;
        let state = State {
            params: self.params,
            reader: self.writer.reader(),
            overlay: Overlay::default(),
            recent_keys: RecentKeys::default(),
            values: replayed.values,
            versions: Versions::starting_with(
                kept,
                Arc::new(last),
                self.config.versions_within_budget(),
            ),
            past,
            history: replayed.commit_ids,
            committer: committer()?,
            pools: self.pools,
            settings: Arc::new(RuntimeSettings::new(self.config)),
            access_sampler: AccessSampler::new(is_bounded),
            metrics,
        };
        Ok(Loaded {
            state: Arc::new(state),
            writer: self.writer,
            hasher: self.hasher,
            keys: replayed.keys,
        })
    }
}

/// The step of a replay that applies versions to the tree.
struct Apply {
    params: TreeParams,
    /// The version of the leaf store.
    covered: u64,
    pools: Arc<Pools>,
    leaves: Arc<dyn LeafSnapshot>,
    writer: TreeWriter,
}

impl Apply {
    fn run(
        self,
        decoded: &Receiver<Decoded>,
        to_check: &SyncSender<(Decoded, SealedChanges)>,
    ) -> Result<TreeWriter, OpenError> {
        let (params, covered, mut writer) = (self.params, self.covered, self.writer);
        while let Ok(next) = receive(decoded) {
            let (batch, pool) = (&next.batch, self.pools.commit.threads());
            cold_leaves::restore(&mut writer, [batch], &params, &*self.leaves, covered, pool)?;
            let changes = apply(&mut writer, &next).map_err(OpenLogError::Visitor)?;
            cold_leaves::evict(&mut writer, covered, batch.operations);
            // Fails if an earlier version was refused; the next step returns why.
            if send(to_check, (next, changes)).is_err() {
                break;
            }
        }
        Ok(writer)
    }
}

/// The number of steps of a replay other than hashing: reading the log, and applying it to the tree.
const BUSY_STEPS: usize = 2;

/// The step of a replay that hashes the tree and compares it with the records.
struct Check {
    pools: Arc<Pools>,
    reader: TreeReader,
    hasher: TreeHasher,
    replayed: Replayed,
}

impl Check {
    fn run(
        mut self,
        applied: &Receiver<(Decoded, SealedChanges)>,
    ) -> Result<(TreeHasher, Replayed), OpenError> {
        let pool = self.pools.commit.threads();
        let pool = pool.map(|pool| (pool, free_shards(pool.current_num_threads(), BUSY_STEPS, 0)));
        while let Ok((next, changes)) = receive(applied) {
            let version = changes.version();
            let roots = self.hasher.hash(changes, pool);
            let advanced = self.replayed.advance(next, roots);
            advanced.map_err(OpenLogError::Visitor)?;
            // Versions are given to the archive when they leave memory.
            let forgotten = version.min(self.replayed.keep_from);
            self.replayed.recent.capture(&self.reader, forgotten);
            self.reader.retire(forgotten);
        }
        Ok((self.hasher, self.replayed))
    }
}

/// Decodes and hashes the effects of an entry.
pub(crate) fn decode(params: &TreeParams, mut entry: LogEntry) -> Result<Decoded, ReplayError> {
    let version = entry.record.version;
    let encoded = std::mem::take(&mut entry.effects);
    let effects = decode_effects(params, &encoded)
        .map_err(|source| ReplayError::Effects { version, source })?;
    let batch = PreparedBatch::of_effects(effects.into_iter(), encoded.len());
    Ok(Decoded { entry, batch })
}

/// Applies the next version to the tree.
pub(crate) fn apply(
    writer: &mut TreeWriter,
    decoded: &Decoded,
) -> Result<SealedChanges, ReplayError> {
    let version = decoded.entry.record.version;
    let replayed = writer.replay(None, &decoded.batch.writes, version);
    replayed.map_err(|refusal| ReplayError::Differs {
        what: "the outcome of a write",
        version,
        found: refusal.to_string(),
        recorded: "applied".to_owned(),
    })?;
    Ok(writer.seal(version))
}

impl Replayed {
    /// Keeps the known facts about the version before the next one, if its state can be distinguished from later ones.
    fn retire(&mut self) {
        if self.record.version < self.base {
            return;
        }
        let submissions = self.submissions.take();
        self.recent.push(PastVersion {
            record: self.record.clone(),
            kzg_root: self.kzg_root,
            submissions: submissions.map(|kept| PastSubmissions {
                provisional_before: kept.provisional_before,
                outcomes: kept.outcomes,
            }),
            durable_ms: 0,
            began: 0,
        });
    }

    /// Keeps the last version readable when the next one comes, if this was requested. Returns whether it does.
    fn keep_last(&mut self) -> bool {
        let version = self.record.version;
        let is_whole = self.intent.is_none_or(|intent| version >= intent);
        if version < self.keep_from || !is_whole {
            return false;
        }
        let (record, roots) = (self.record.clone(), self.roots.clone());
        let replaced_bytes = self.replaced_bytes;
        let submissions = self.submissions.clone();
        let history = self.history.clone();
        let kept = Version::new(record, roots, history, submissions, replaced_bytes);
        if let Some(kzg_root) = self.kzg_root {
            let _ = kept.kzg_root.set(kzg_root);
        }
        self.kept.push(Arc::new(kept));
        true
    }

    /// Takes the next version, if it matches its record.
    fn advance(&mut self, decoded: Decoded, roots: Roots) -> Result<(), ReplayError> {
        let LogEntry {
            record,
            kzg_root,
            outcomes,
            ..
        } = decoded.entry;
        let version = record.version;
        if !self.keep_last() {
            self.retire();
        }
        self.roots = roots;
        // Below the version of an interrupted checkpoint, the leaves may be of two versions.
        if self.intent.is_none_or(|intent| version >= intent) {
            check_state(&record, &self.roots)?;
        }
        check_outcomes(&record, &outcomes)?;
        check_history(&record, &self.history)?;
        self.known.check(&record, &outcomes)?;
        self.known.push(&record);
        let commit_id = record.commit_id();
        self.history.append(&HISTORY, &commit_id);
        self.commit_ids.push(version, &commit_id);
        let before = provisional_before(&self.record, &record);
        let keyed = KeyedSubmission::of_version(&record, &before, &outcomes);
        self.keys.advance(version, keyed);
        self.submissions = Some(Submissions {
            provisional_before: before,
            outcomes,
        });
        let part = Part::whole(Arc::new(decoded.batch));
        let layer = Arc::new(Layer::new(version, vec![part]));
        self.replaced_bytes = layer.replaced_bytes();
        self.values.push(layer);
        (self.record, self.kzg_root) = (record, kzg_root);
        Ok(())
    }
}

/// Returns the commit id of a version up to the last one, as it is stored.
fn commit_id(last: &CommitRecord, commit_ids: &History, version: u64) -> Option<Digest> {
    match version <= last.version {
        true => commit_ids.commit_id(version).ok(),
        false => None,
    }
}

/// Waits for a step of a replay. Continues its panic, if any.
fn join<T>(step: JoinHandle<Result<T, OpenError>>) -> Result<T, OpenError> {
    step.join()
        .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Compares a state with the record of its version.
pub(crate) fn check_state(record: &CommitRecord, roots: &Roots) -> Result<(), ReplayError> {
    let (found, recorded) = (hex(&roots.state_digest), hex(&record.state_digest));
    check(record.version, "the state digest", found, recorded)?;
    let (found, recorded) = (roots.key_count, record.key_count);
    check(record.version, "the number of keys", found, recorded)
}

/// Compares the outcomes of a version with its record.
pub(crate) fn check_outcomes(record: &CommitRecord, outcomes: &[u8]) -> Result<(), ReplayError> {
    let digest = decode_outcomes(outcomes).map_or(ZERO, |(_, digest)| digest);
    let (found, recorded) = (hex(&digest), hex(&record.outcomes_digest));
    check(
        record.version,
        "the digest of the outcomes",
        found,
        recorded,
    )
}

/// Compares the history before a version with its record.
pub(crate) fn check_history(
    record: &CommitRecord,
    history: &MountainRange,
) -> Result<(), ReplayError> {
    let (found, recorded) = (hex(&history.digest(&HISTORY)), hex(&record.history_digest));
    check(record.version, "the history digest", found, recorded)
}

/// Compares a KZG root with the stored one.
pub(crate) fn check_kzg_root(
    version: u64,
    found: &[u8; 48],
    stored: &[u8; 48],
) -> Result<(), ReplayError> {
    check(version, "the KZG root", hex(found), hex(stored))
}

/// Compares a found value with the recorded one.
fn check<T: PartialEq + ToString>(
    version: u64,
    what: &'static str,
    found: T,
    recorded: T,
) -> Result<(), ReplayError> {
    match found == recorded {
        true => Ok(()),
        false => Err(ReplayError::Differs {
            what,
            version,
            found: found.to_string(),
            recorded: recorded.to_string(),
        }),
    }
}
