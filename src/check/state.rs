//! Checks the leaves and the states: builds a tree from the leaves, and compares every later version of the log with
//! its record. If the leaves are damaged and the log has all versions from the first on, the states are built from it
//! alone.

use std::convert::Infallible;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use trunkline_actors::config::Config;
use trunkline_actors::runtime::pool::Pools;
use trunkline_core::hash::{self, Digest};
use trunkline_core::kzg::slot_value;
use trunkline_core::params::{TreeParams, WIDTH};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::leaves::{LEAVES_DIRECTORY, LeafSnapshot, LeafStoreError};
use trunkline_core::store::log::{LOG_DIRECTORY, LogEntry, LogPosition};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::tree::{self, Leaf, Roots, TreeHasher, TreeWriter};

use super::finding::{CheckReport, Finding, Part, Repair};
use super::log;
use crate::error::{OpenError, ReplayError};
use crate::open::kzg_tables::committer;
use crate::open::replay::{apply, check_kzg_root, check_state, decode};

/// Most misplaced leaves that are listed.
const MISPLACED_NAMED_MAX: usize = 100;

/// A tree whose states are checked.
pub(super) struct States<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) directory: &'a Path,
    pub(super) params: &'a TreeParams,
    /// The manifest; `None` if it cannot be read.
    pub(super) manifest: Option<&'a CheckpointManifest>,
    pools: Pools,
}

impl<'a> States<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        directory: &'a Path,
        params: &'a TreeParams,
        manifest: Option<&'a CheckpointManifest>,
    ) -> Result<Self, OpenError> {
        let workers = Config::in_directory(directory).workers;
        Ok(Self {
            disk,
            directory,
            params,
            manifest,
            pools: Pools::start(workers.threads, workers.read_threads)?,
        })
    }

    fn leaves_path(&self) -> PathBuf {
        self.directory.join(LEAVES_DIRECTORY)
    }

    /// Checks the leaves and the states after them. `leaves` is `None` if the store cannot be opened, which is already
    /// in the report. `from_first` says whether the log has every version.
    pub(super) fn examine(
        &self,
        leaves: Option<&dyn LeafSnapshot>,
        from_first: bool,
        report: &mut CheckReport,
    ) -> Result<(), OpenError> {
        let mut found = Vec::new();
        let mut verified = None;
        if let (Some(leaves), Some(manifest)) = (leaves, self.manifest) {
            let (tree, read) = self.build(leaves, &mut found);
            report.leaves = read;
            // Without some leaves, no state can be the one in its record.
            if found.is_empty() {
                let replay = self.replay_leaves(tree, manifest, &mut found)?;
                verified = replay.verified;
            }
        }
        let is_damaged = !found.is_empty() || leaves.is_none() || self.manifest.is_none();
        if is_damaged && from_first {
            let replay = self.replay_log()?;
            let holds = replay.found.is_none();
            let is_rebuilt = holds && replay.met_checkpoint && self.manifest.is_some();
            let is_of_leaves =
                |finding: &Finding| matches!(finding.part, Part::Leaves | Part::State);
            let known = report.findings.iter_mut().chain(&mut found);
            for finding in known.filter(|finding| is_of_leaves(finding)) {
                finding.repair = is_rebuilt.then_some(Repair::Leaves);
            }
            verified = verified.max_by_version(replay.verified);
            let is_new =
                |finding: &Finding| found.iter().all(|known| known.versions != finding.versions);
            let new = replay.found.filter(is_new);
            found.extend(new);
        }
        found.into_iter().for_each(|finding| report.add(finding));
        report.verified = verified;
        report.unchecked.extend(not_verified(report));
        Ok(())
    }

    /// Builds the tree of the readable leaves. Returns it with their number.
    fn build(
        &self,
        leaves: &dyn LeafSnapshot,
        found: &mut Vec<Finding>,
    ) -> ((TreeWriter, TreeHasher), u64) {
        let faults = Mutex::new(Vec::new());
        let count = std::sync::atomic::AtomicU64::new(0);
        let read = |range: RangeInclusive<Digest>| {
            let (leaves, of_range) = read_leaves(self.params, leaves, range);
            count.fetch_add(leaves.len() as u64, std::sync::atomic::Ordering::Relaxed);
            faults.lock().extend(of_range);
            Ok::<_, Infallible>(leaves)
        };
        let pool = self.pools.commit.threads();
        let built = tree::build_within(0, pool, self.params.collision, read);
        let mut faults = faults.into_inner();
        let built = built.unwrap_or_else(|error| {
            // The leaves are out of order, or there are more in one place than a tree can have.
            let tree::BuildError::Disorder(first) = error;
            faults.push(LeafFault::Misplaced(first));
            self.empty()
        });
        let path = self.leaves_path();
        found.extend(faults.into_iter().map(|fault| match fault {
            LeafFault::Store(error) => Finding::new(Part::Leaves, &path, error),
            LeafFault::Misplaced(key_hash) => {
                Finding::new(Part::Leaves, &path, ReplayError::Misplaced(key_hash))
            }
        }));
        (built, count.into_inner())
    }

    fn empty(&self) -> (TreeWriter, TreeHasher) {
        let none: &[Leaf] = &[];
        match tree::build(self.params.collision, none) {
            Some(built) => built,
            None => unreachable!("no leaves are in order"),
        }
    }

    /// Returns whether the leaves are those of the checkpoint.
    #[cfg(feature = "fjall")]
    pub(super) fn are_of_checkpoint(
        &self,
        leaves: &dyn LeafSnapshot,
        manifest: &CheckpointManifest,
    ) -> Result<bool, OpenError> {
        let mut found = Vec::new();
        let (tree, _) = self.build(leaves, &mut found);
        let start = LogPosition::of(&manifest.record);
        let mut replay = Replay::begin(self, tree, start, 0);
        replay.compare(&manifest.record, manifest.kzg_root.as_ref(), Part::Leaves)?;
        Ok(found.is_empty() && replay.met_checkpoint)
    }

    /// Compares the state of the leaves, and of every version of the log after them.
    fn replay_leaves(
        &self,
        tree: (TreeWriter, TreeHasher),
        manifest: &CheckpointManifest,
        found: &mut Vec<Finding>,
    ) -> Result<Replay<'_>, OpenError> {
        let start = LogPosition::of(&manifest.record);
        let compared_from = manifest.intent.unwrap_or(start.version);
        let mut replay = Replay::begin(self, tree, start, compared_from);
        replay.compare(&manifest.record, manifest.kzg_root.as_ref(), Part::Leaves)?;
        self.run(&mut replay)?;
        found.extend(replay.found.take());
        Ok(replay)
    }

    /// Builds every state from the log alone.
    fn replay_log(&self) -> Result<Replay<'_>, OpenError> {
        let genesis = CommitRecord::genesis(self.params.tree_id());
        let start = LogPosition::of(&genesis);
        let mut replay = Replay::begin(self, self.empty(), start, 0);
        replay.compare(&genesis, None, Part::State)?;
        self.run(&mut replay)?;
        Ok(replay)
    }

    fn run(&self, replay: &mut Replay<'_>) -> Result<(), OpenError> {
        let mut failed = Ok(());
        log::entries(self.disk, self.directory, &self.params.tree_id(), |entry| {
            if failed.is_ok() {
                failed = replay.take(entry);
            }
        });
        failed
    }
}

/// Returns the versions whose states were not verified, as text.
fn not_verified(report: &CheckReport) -> Option<String> {
    let of_log = report
        .findings
        .iter()
        .filter(|finding| finding.part == Part::Log);
    let lost = of_log.filter_map(|finding| finding.versions.as_ref());
    let read = report.last.map_or(0, |last| last.version);
    let last = lost.map(|versions| *versions.end()).fold(read, u64::max);
    let from = report
        .verified
        .map_or(0, |verified| verified.version.saturating_add(1));
    match last {
        u64::MAX => Some(format!("the states from version {from} on")),
        last if last < from => None,
        last => Some(format!("the states of versions {from} to {last}")),
    }
}

/// Returns the later of two positions.
trait MaxByVersion {
    fn max_by_version(self, other: Self) -> Self;
}

impl MaxByVersion for Option<LogPosition> {
    fn max_by_version(self, other: Self) -> Self {
        let version = |position: &LogPosition| position.version;
        self.into_iter().chain(other).max_by_key(version)
    }
}

/// A fault in the leaves.
enum LeafFault {
    Store(LeafStoreError),
    Misplaced(Digest),
}

/// Reads the readable leaves in a range. After a damaged entry, reading continues.
fn read_leaves(
    params: &TreeParams,
    store: &dyn LeafSnapshot,
    range: RangeInclusive<Digest>,
) -> (Vec<Leaf>, Vec<LeafFault>) {
    let (mut leaves, mut faults): (Vec<Leaf>, Vec<LeafFault>) = (Vec::new(), Vec::new());
    let (mut from, end) = range.into_inner();
    loop {
        let scanned = store.scan(from..=end, &mut |key_hash, key, value| {
            let ascends = leaves.last().is_none_or(|last| last.key_hash < *key_hash);
            if params.key_hash(key) == *key_hash && ascends {
                leaves.push(Leaf {
                    key_hash: *key_hash,
                    value_hash: hash::hash(value),
                    origin: 0,
                });
            } else if faults.len() < MISPLACED_NAMED_MAX {
                faults.push(LeafFault::Misplaced(*key_hash));
            }
            ControlFlow::Continue(())
        });
        let Err(error) = scanned else {
            return (leaves, faults);
        };
        let behind = match &error {
            LeafStoreError::Damaged { key_hash } => behind(key_hash, &from, &end),
            // The position of the failure is unknown.
            _ => None,
        };
        faults.push(LeafFault::Store(error));
        match behind {
            Some(behind) => from = behind,
            None => return (leaves, faults),
        }
    }
}

/// Returns the next key hash in a range.
fn behind(key_hash: &[u8], from: &Digest, end: &Digest) -> Option<Digest> {
    let mut next: Digest = key_hash.try_into().ok()?;
    if next < *from || next >= *end {
        return None;
    }
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    Some(next)
}

/// A replay that ends at the first difference.
struct Replay<'a> {
    states: &'a States<'a>,
    writer: TreeWriter,
    hasher: TreeHasher,
    roots: Roots,
    position: LogPosition,
    /// The first version whose state is compared: before it, leaves of an interrupted checkpoint may be newer.
    compared_from: u64,
    /// The last version whose state is the one in its record.
    verified: Option<LogPosition>,
    /// True once the replay has reached the commit of the checkpoint.
    met_checkpoint: bool,
    found: Option<Finding>,
}

impl<'a> Replay<'a> {
    fn begin(
        states: &'a States<'a>,
        tree: (TreeWriter, TreeHasher),
        position: LogPosition,
        compared_from: u64,
    ) -> Self {
        let (mut writer, mut hasher) = tree;
        let roots = hasher.hash(writer.seal(position.version), None);
        Self {
            states,
            writer,
            hasher,
            roots,
            position,
            compared_from,
            verified: None,
            met_checkpoint: false,
            found: None,
        }
    }

    /// Takes the next version; ignores those before it and those after a gap.
    fn take(&mut self, entry: LogEntry) -> Result<(), OpenError> {
        let record = &entry.record;
        let continues = record.version == self.position.version.saturating_add(1)
            && record.parent == self.position.commit_id;
        if self.found.is_some() || !continues {
            return Ok(());
        }
        let (record, kzg_root) = (record.clone(), entry.kzg_root);
        let applied =
            decode(self.states.params, entry).and_then(|decoded| apply(&mut self.writer, &decoded));
        match applied {
            Err(error) => self.differ(error, record.version, Part::State),
            Ok(changes) => {
                self.roots = self.hasher.hash(changes, None);
                self.writer.reader().retire(record.version);
                self.position = LogPosition::of(&record);
                self.compare(&record, kzg_root.as_ref(), Part::State)?;
            }
        }
        Ok(())
    }

    /// Compares the state with a record and a stored KZG root.
    fn compare(
        &mut self,
        record: &CommitRecord,
        kzg_root: Option<&[u8; 48]>,
        part: Part,
    ) -> Result<(), OpenError> {
        if record.version < self.compared_from {
            return Ok(());
        }
        let compared = match (check_state(record, &self.roots), kzg_root) {
            (Ok(()), Some(stored)) => {
                let values: [_; WIDTH] = self.roots.slots.each_ref().map(slot_value);
                let root = committer()?.commit(&values).to_bytes().0;
                check_kzg_root(record.version, &root, stored)
            }
            (compared, _) => compared,
        };
        match compared {
            Err(error) => self.differ(error, record.version, part),
            Ok(()) => {
                self.verified = Some(self.position);
                let manifest = self.states.manifest;
                let checkpoint = manifest.map(|manifest| LogPosition::of(&manifest.record));
                self.met_checkpoint |= checkpoint == Some(self.position);
            }
        }
        Ok(())
    }

    fn differ(&mut self, error: ReplayError, version: u64, part: Part) {
        let path = match part {
            Part::Leaves => self.states.leaves_path(),
            _ => self.states.directory.join(LOG_DIRECTORY),
        };
        let finding = Finding::new(part, path, error);
        self.found = Some(finding.of_versions(version..=version));
    }
}
