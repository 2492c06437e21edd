//! One durable version, held: reads and walks that all see the same state. Proofs of it: `proving`.

pub(crate) mod multi_get;
pub(crate) mod prove;

use std::collections::VecDeque;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::audit::AuditProof;
use trunkline_core::batch::check_key;
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::{Digest, hash};
use trunkline_core::history::{AncestorProof, ConsistencyProof};
use trunkline_core::kzg::{CommitmentPoint, Fr, G1Bytes, Slot, slot_value};
use trunkline_core::params::WIDTH;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::{Leaf, NotInMemory};

use crate::snapshot::multi_get::in_path_order;
use crate::snapshot::prove::SnapshotProveError;
use trunkline_actors::metrics::OpeningUse;
use trunkline_actors::state::State;
use trunkline_actors::state::cold_leaves;
use trunkline_actors::state::evidence::{self, EvidenceError};
use trunkline_actors::state::history::HistoryError;
use trunkline_actors::state::read::ReadError;
use trunkline_actors::state::values::{FetchError, StoreView};
use trunkline_actors::state::versions::{Version, slot_changes};

/// Changed slots up to which an opening is moved from an earlier version and not computed anew
/// (docs/decisions/018-openings-one-by-one.md).
const MOVED_CHANGES_MAX: usize = 96;

/// One durable version. It stays readable while a snapshot of it is held, within
/// `versions.snapshot_versions_behind_max` of the newest and `versions.retained_bytes_max`.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let snapshot = engine.snapshot();
/// engine.put_blocking("alice", "20")?.durable_blocking()?;
///
/// assert_eq!(snapshot.get(b"alice")?.as_deref(), Some(&b"10"[..]));
/// let proof = snapshot.prove(["alice", "bob"], trunkline::TopKind::Kzg)?;
/// let trusted = trunkline::core::proof::Expected::Root(snapshot.root());
/// let verified = trunkline::core::proof::verify(&proof, &trusted)?;
/// assert_eq!(verified.claim(b"bob"), Some(&trunkline::core::proof::Claim::Absent));
/// # drop(snapshot);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    pub(crate) version: Arc<Version>,
}

impl Snapshot {
    /// Of a version that was pinned for it.
    pub(crate) fn of_pinned(state: Arc<State>, version: Arc<Version>) -> Self {
        Self { state, version }
    }

    /// Which version this is.
    pub fn version(&self) -> u64 {
        self.version.number()
    }

    /// What a client may hold on to and check proofs against. The KZG root is in it: computed now
    /// (2 ms) if it was not before.
    pub fn root(&self) -> Root {
        self.kzg_root();
        self.version.root()
    }

    /// The KZG root; computed now (2 ms) if it was not before.
    pub fn kzg_root(&self) -> [u8; 48] {
        *self.version.kzg_root.get_or_init(|| {
            let committer = &self.state.committer;
            committer.commit(&self.slot_values()).to_bytes().0
        })
    }

    /// The opening of a slot; made now if nobody proved a key in it before: moved from an earlier version
    /// that has it if few slots changed since, else computed (2 ms).
    pub(crate) fn opening(&self, slot: Slot) -> G1Bytes {
        let mut used = OpeningUse::Kept;
        let opening = self.version.openings.get_or_open(slot, || {
            let moved = self.moved_opening(slot);
            used = match moved {
                Some(_) => OpeningUse::Moved,
                None => OpeningUse::Computed,
            };
            let committer = &self.state.committer;
            moved.unwrap_or_else(|| committer.open_point(&self.slot_values(), slot))
        });
        self.state.metrics.opening_used(used);
        opening
    }

    fn moved_opening(&self, slot: Slot) -> Option<CommitmentPoint> {
        let versions = &self.state.versions;
        let (earlier, opening) = versions.opened_before(self.version(), slot)?;
        let changes = slot_changes(&earlier.roots.slots, &self.version.roots.slots);
        let few = changes.len() <= MOVED_CHANGES_MAX;
        few.then(|| {
            let committer = &self.state.committer;
            committer.update_opening(&opening, &changes, slot)
        })
    }

    pub(crate) fn slot_values(&self) -> [Fr; WIDTH] {
        let slots = &self.version.roots.slots;
        std::array::from_fn(|slot| slot_value(&slots[slot]))
    }

    /// The commit record of the version.
    pub fn record(&self) -> &CommitRecord {
        &self.version.record
    }

    /// Its commit id.
    pub fn commit_id(&self) -> Digest {
        self.version.commit_id
    }

    /// Keys present.
    pub fn key_count(&self) -> u64 {
        self.version.roots.key_count
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        check_key(0, key)?;
        let key_hash = self.state.params.key_hash(key);
        self.state.get_at(&self.version, &key_hash)
    }

    /// The values of several keys, in the order asked for. They are looked up in path order, which is
    /// faster than one by one from some dozens on.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Bytes>>, ReadError> {
        in_path_order(&self.state, keys, |key_hash| {
            self.state.get_at(&self.version, key_hash)
        })
    }

    /// The hash of a key's value, from memory alone unless `memory.budget_bytes` left no room for it.
    pub fn value_hash(&self, key: &[u8]) -> Result<Option<Digest>, ReadError> {
        check_key(0, key)?;
        let key_hash = self.state.params.key_hash(key);
        let leaf = self.state.reader.get(self.version(), &key_hash);
        self.check_readable()?;
        match leaf {
            Ok(Some(leaf)) => {
                self.state.metrics.memory_hit();
                Ok(Some(leaf.value_hash))
            }
            Ok(None) => {
                self.state.metrics.absent_read();
                Ok(None)
            }
            Err(NotInMemory) => {
                let value = self.evicted_value(&key_hash)?;
                Ok(value.map(|value| hash(&value)))
            }
        }
    }

    /// Proves that an older version is an ancestor of this one: what its commit id was. Any older version
    /// will do, kept or not.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let older = engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// engine.put_blocking("alice", "20")?.durable_blocking()?;
    ///
    /// let head = engine.snapshot();
    /// let proof = head.prove_ancestor(older.version)?;
    /// // Elsewhere, where the head's commit id is trusted:
    /// assert_eq!(proof.verify(&head.commit_id())?.commit_id, older.commit_id);
    /// # drop(head);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove_ancestor(&self, version: u64) -> Result<AncestorProof, HistoryError> {
        self.state.history.prove_ancestor(&self.version, version)
    }

    /// Proves that the history of this version goes on where that of an older one ended. Any older
    /// version will do; the proof carries the older record while that version is kept, and else leaves
    /// it to the client, who holds it, to add it.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let held = engine.snapshot().record().clone(); // what a client holds on to
    /// engine.put_blocking("alice", "20")?.durable_blocking()?;
    ///
    /// let head = engine.snapshot();
    /// let proof = head.prove_consistency(held.version)?.with_older(held.clone());
    /// assert!(proof.verify(&held.commit_id(), &head.commit_id()).is_ok());
    /// # drop(head);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove_consistency(&self, older_version: u64) -> Result<ConsistencyProof, HistoryError> {
        let (history, kept) = (&self.state.history, &self.state.versions);
        let record = kept.get(older_version).map(|older| older.record.clone());
        history.prove_consistency(&self.version, older_version, record)
    }

    /// The evidence about a submission of this version: its place and its outcome.
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        evidence::of_version(&self.version, sequence)
    }

    /// Ties the state digest to the KZG root by all 128 slot digests, and carries the commit record.
    /// Costs one commitment (2 ms), and another if the KZG root was not computed before.
    ///
    /// ```
    /// use trunkline::core::audit::{AuditBinding, verify};
    /// use trunkline::core::proof::Expected;
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let snapshot = engine.snapshot();
    /// let audit = snapshot.audit();
    /// let verified = verify(&audit, &Expected::CommitId(snapshot.commit_id()))?;
    /// assert_eq!(verified.binding, AuditBinding::BothRoots);
    /// assert_eq!(verified.kzg_root, snapshot.kzg_root());
    /// # drop(snapshot);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn audit(&self) -> AuditProof {
        let (state, version) = (&self.state, &self.version);
        let record = Some(version.record.clone());
        let kzg_root = self.kzg_root();
        AuditProof::make(
            &state.committer,
            &state.params,
            &version.roots,
            record,
            kzg_root,
        )
    }

    /// All keys and values, in path order (the order of key hashes).
    pub fn iter(&self) -> SnapshotIter<'_> {
        SnapshotIter {
            snapshot: self,
            ready: VecDeque::new(),
            next: Some([0; 32]),
        }
    }

    pub(crate) fn value(&self, leaf: &Leaf) -> Result<Bytes, ReadError> {
        let values = &self.state.values;
        let found = values.value(leaf, self.version(), || self.store());
        self.check_readable()?;
        Ok(found?)
    }

    /// The value of a key whose leaf is not in memory.
    fn evicted_value(&self, key_hash: &Digest) -> Result<Option<Bytes>, ReadError> {
        let found = self.state.values.evicted_value(key_hash, &self.store());
        self.check_readable()?;
        Ok(found?)
    }

    /// Leaves that are not in memory, for a proof.
    pub(crate) fn leaves_away(
        &self,
        range: RangeInclusive<Digest>,
    ) -> Result<Vec<Leaf>, SnapshotProveError> {
        self.check_readable()?;
        let store = self.store();
        let leaves = store.leaves().map_err(ReadError::from)?;
        let scanned = cold_leaves::scan(&self.state.params, &*leaves, range, store.version);
        Ok(scanned.map_err(|error| ReadError::from(FetchError::from(error)))?)
    }

    /// Keys and values from `from` to before `end` that are not in memory: as many as fit a bound, and
    /// where the next begin.
    fn evicted_pairs(&self, from: Digest, end: Option<Digest>) -> Result<Step, ReadError> {
        let leaves = self.store().leaves()?;
        let (mut ready, mut bytes, mut next) = (VecDeque::new(), 0, end);
        let scanned = leaves.scan(from..=[0xff; 32], &mut |key_hash, key, value| {
            if end.is_some_and(|end| *key_hash >= end) {
                return ControlFlow::Break(());
            }
            if bytes > STEP_BYTES_MAX {
                next = Some(*key_hash);
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            let pair = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            ready.push_back(Ready::Pair(pair));
            ControlFlow::Continue(())
        });
        self.check_readable()?;
        scanned.map_err(FetchError::from)?;
        self.state.metrics.store_read();
        Ok((ready, next))
    }

    fn key_and_value(&self, leaf: &Leaf) -> Result<(Bytes, Bytes), ReadError> {
        let found = self.state.values.key_and_value(leaf, || self.store());
        self.check_readable()?;
        Ok(found?)
    }

    fn store(&self) -> Arc<StoreView> {
        self.state.store_of(&self.version)
    }

    /// Called after a look at the tree: what was seen belongs to this version if it can be read still.
    pub(crate) fn check_readable(&self) -> Result<(), ReadError> {
        self.state.check_readable(self.version())
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        // While this one lives, its version is pinned; a revoked pin is an error at the next read.
        let _ = self.state.versions.pin(self.version());
        Self::of_pinned(self.state.clone(), self.version.clone())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.state.versions.unpin(self.version.number());
    }
}

/// A walk over a snapshot in path order. After an error it ends.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let all = engine.snapshot().iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(all, [("alice".into(), "10".into())]);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SnapshotIter<'a> {
    snapshot: &'a Snapshot,
    ready: VecDeque<Ready>,
    next: Option<Digest>,
}

/// The next entry of a walk: of a leaf in memory, or read already.
#[derive(Debug)]
enum Ready {
    Leaf(Leaf),
    Pair((Bytes, Bytes)),
}

/// Some entries, and where the next begin.
type Step = (VecDeque<Ready>, Option<Digest>);

/// Keys and values that a walk reads ahead, bytes.
const STEP_BYTES_MAX: usize = 1 << 20;

impl SnapshotIter<'_> {
    fn step(&self, from: Digest) -> Result<Step, ReadError> {
        let snapshot = self.snapshot;
        let (leaves, next) = snapshot.state.reader.leaves_from(snapshot.version(), &from);
        snapshot.check_readable()?;
        match leaves {
            Ok(leaves) => Ok((leaves.into_iter().map(Ready::Leaf).collect(), next)),
            Err(NotInMemory) => snapshot.evicted_pairs(from, next),
        }
    }
}

impl Iterator for SnapshotIter<'_> {
    type Item = Result<(Bytes, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let from = self.next.take()?;
            match self.step(from) {
                Ok(step) => (self.ready, self.next) = step,
                Err(error) => return Some(Err(error)),
            }
        }
        let found = match self.ready.pop_front()? {
            Ready::Pair(pair) => Ok(pair),
            Ready::Leaf(leaf) => self.snapshot.key_and_value(&leaf),
        };
        if found.is_err() {
            self.ready.clear();
            self.next = None;
        }
        Some(found)
    }
}
