//! Stores of checkpointed leaves: the trait, and the store in memory.
//!
//! Not here: leaves that no checkpoint has covered yet (the engine has those in memory and looks there first), and
//! digests, which are derived from the leaves by a scan.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::key_index::{self, KeyChange, KeyScan, KeySet, KeyVisitor};
use crate::hash::Digest;

/// The name of the directory of a leaf store below a tree's.
pub const LEAVES_DIRECTORY: &str = "leaves";

/// The range of all key hashes.
pub const ALL_KEY_HASHES: RangeInclusive<Digest> = [0; 32]..=[0xff; 32];

/// A key and its value.
///
/// ```
/// use trunkline_core::store::leaves::Leaf;
/// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
/// assert_eq!(leaf.value.as_ref(), b"Ada");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

impl Leaf {
    /// Borrows the leaf.
    ///
    /// ```
    /// use trunkline_core::store::leaves::Leaf;
    /// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
    /// assert_eq!(leaf.borrowed().key, b"name");
    /// ```
    pub fn borrowed(&self) -> LeafRef<'_> {
        LeafRef {
            key: &self.key,
            value: &self.value,
        }
    }
}

/// A borrowed key and value.
///
/// ```
/// use trunkline_core::store::leaves::LeafRef;
/// let leaf = LeafRef { key: b"name", value: b"Ada" };
/// assert_eq!(leaf.value, b"Ada");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

impl LeafRef<'_> {
    /// Returns an owned copy of the leaf.
    ///
    /// ```
    /// use trunkline_core::store::leaves::LeafRef;
    /// let leaf = LeafRef { key: b"name", value: b"Ada" };
    /// assert_eq!(leaf.owned().borrowed(), leaf);
    /// ```
    pub fn owned(&self) -> Leaf {
        Leaf {
            key: Bytes::copy_from_slice(self.key),
            value: Bytes::copy_from_slice(self.value),
        }
    }
}

/// The change of an ingestion at one key hash.
///
/// ```
/// use trunkline_core::store::leaves::LeafChange;
/// let gone = LeafChange { key_hash: [1; 32], leaf: None };
/// assert!(gone.leaf.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafChange<'a> {
    /// The key hash.
    pub key_hash: Digest,
    /// The new leaf, or `None` if it is removed.
    pub leaf: Option<LeafRef<'a>>,
}

/// The reason why a call of a leaf store failed.
///
/// ```
/// use trunkline_core::store::leaves::{LeafChange, LeafStore, LeafStoreError, MemoryLeafStore};
/// let delete = |byte| LeafChange { key_hash: [byte; 32], leaf: None };
/// let mut unsorted = [delete(2), delete(1)].into_iter();
/// let error = MemoryLeafStore::default().ingest(&mut unsorted).unwrap_err();
/// assert!(matches!(error, LeafStoreError::Order { index: 1 }));
/// assert!(error.to_string().ends_with("sort by key hash"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LeafStoreError {
    /// The changes of an ingestion do not ascend strictly by key hash.
    #[error("change {index} of the ingestion is not above the one before it; sort by key hash")]
    Order {
        /// The number of the change, from 0.
        index: usize,
    },
    /// The changes of an ingestion into the index of keys do not ascend strictly by key.
    #[error("key {index} of the ingestion is not above the one before it; sort by key")]
    KeyOrder {
        /// The number of the key, from 0.
        index: usize,
    },
    /// The store keeps no index of keys.
    #[error("the leaf store keeps no index of keys; create the tree with store.key_order = true")]
    NoKeyIndex,
    /// A stored entry differs from the written one.
    #[error(
        "the leaf store holds a damaged entry at key hash {}; restore the directory from a copy",
        crate::hash::hex(key_hash)
    )]
    Damaged {
        /// The entry's key, of any length.
        key_hash: Vec<u8>,
    },
    /// The underlying store failed. The state of the failed ingestion is unknown; replay the log from the last manifest
    /// after reopening.
    #[error("the leaf store failed; close the tree and open it again")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Leaves by key hash, written in sorted ingestions, read through snapshots.
///
/// After a crash, an ingestion that [`LeafStore::sync`] did not follow may be complete, partial or missing; each entry
/// has its old or its new content. The intent of the checkpoint manifest announces the ingestion, and replaying the log
/// completes it.
///
/// ```
/// use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore, LeafStoreError, MemoryLeafStore};
/// fn checkpoint(store: &dyn LeafStore, changes: Vec<LeafChange<'_>>) -> Result<(), LeafStoreError> {
///     store.ingest(&mut changes.into_iter())?;
///     store.sync() // only now may a manifest speak of it
/// }
/// let (store, key_hash) = (MemoryLeafStore::default(), [1; 32]);
/// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
/// checkpoint(&store, vec![LeafChange { key_hash, leaf: Some(leaf.borrowed()) }])?;
/// assert!(store.snapshot()?.get(&key_hash)?.is_some());
/// checkpoint(&store, vec![LeafChange { key_hash, leaf: None }])?;
/// assert!(store.snapshot()?.get(&key_hash)?.is_none());
/// # Ok::<(), LeafStoreError>(())
/// ```
pub trait LeafStore: Send + Sync + 'static {
    /// Applies changes that ascend strictly by key hash. The store makes copies. Earlier snapshots do not see them;
    /// later snapshots see all of them.
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError>;
    /// Applies changes to the index of keys, which ascend strictly by key. Snapshots see them like those of
    /// [`Self::ingest`]. The two are not one step: a crash may leave one without the other.
    ///
    /// # Errors
    ///
    /// Fails with [`LeafStoreError::NoKeyIndex`] if the store keeps no index.
    fn ingest_keys(
        &self,
        _changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        Err(LeafStoreError::NoKeyIndex)
    }
    /// Makes every ingestion that returned before this call durable.
    fn sync(&self) -> Result<(), LeafStoreError>;
    /// Returns a view that later ingestions don't change.
    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError>;
}

/// The callback of a scan for each leaf: key hash, key, value. `Break` ends the scan.
pub type LeafVisitor<'a> = dyn FnMut(&Digest, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The leaves at one moment.
///
/// ```
/// use std::ops::ControlFlow;
/// use trunkline_core::store::leaves::{ALL_KEY_HASHES, LeafChange, LeafRef, LeafStore, MemoryLeafStore};
/// let store = MemoryLeafStore::default();
/// store.ingest(&mut [(1, "a"), (2, "b"), (3, "c")].into_iter().map(|(byte, key)| LeafChange {
///     key_hash: [byte; 32],
///     leaf: Some(LeafRef { key: key.as_bytes(), value: b"" }),
/// }))?;
/// let mut first_two = Vec::new();
/// store.snapshot()?.scan(ALL_KEY_HASHES, &mut |_, key, _| {
///     first_two.push(key.to_vec());
///     if first_two.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
/// })?;
/// assert_eq!(first_two, [b"a", b"b"]);
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
pub trait LeafSnapshot: Send + Sync {
    /// Returns the leaf at a key hash.
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError>;
    /// Visits the leaves in a range, in ascending order of key hash.
    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError>;
    /// Visits the keys of the index in a range, in byte order.
    ///
    /// # Errors
    ///
    /// Fails with [`LeafStoreError::NoKeyIndex`] if the store keeps no index.
    fn scan_keys(
        &self,
        _scan: &KeyScan<'_>,
        _visit: &mut KeyVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        Err(LeafStoreError::NoKeyIndex)
    }
    /// Returns about how many bytes the store of this view takes in memory; 0 if it does not know.
    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// Leaves in memory, lost when the store is dropped.
///
/// A snapshot shares the map; the first ingestion while one is held copies it.
///
/// ```
/// use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore, MemoryLeafStore};
/// let store = MemoryLeafStore::default();
/// let leaf = Leaf { key: "name".into(), value: "Ada".into() };
/// let before = store.snapshot()?;
/// store.ingest(&mut [LeafChange { key_hash: [1; 32], leaf: Some(leaf.borrowed()) }].into_iter())?;
/// assert_eq!(before.get(&[1; 32])?, None);
/// assert_eq!(store.snapshot()?.get(&[1; 32])?, Some(leaf));
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryLeafStore {
    content: RwLock<Content>,
}

/// Leaves, and the index of their keys if one was ingested.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) leaves: Arc<LeafMap>,
    pub(super) keys: Arc<KeySet>,
}

/// Leaves by key hash.
pub(super) type LeafMap = BTreeMap<Digest, Leaf>;

impl LeafStore for MemoryLeafStore {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let changes = ascending(changes).collect::<Result<Vec<_>, _>>()?;
        // A poisoned lock does not matter: nothing below panics in the middle of a change.
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let leaves = Arc::make_mut(&mut content.leaves);
        for change in changes {
            apply(leaves, change);
        }
        Ok(())
    }

    fn ingest_keys(
        &self,
        changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let changes = ascending_keys(changes).collect::<Result<Vec<_>, _>>()?;
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let keys = Arc::make_mut(&mut content.keys);
        for change in changes {
            key_index::apply(keys, change);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(MemorySnapshot(content.clone())))
    }
}

/// Leaves that no longer change.
pub(super) struct MemorySnapshot(pub(super) Content);

impl LeafSnapshot for MemorySnapshot {
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError> {
        Ok(self.0.leaves.get(key_hash).cloned())
    }

    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        if range.is_empty() {
            return Ok(());
        }
        for (key_hash, leaf) in self.0.leaves.range(range) {
            if visit(key_hash, &leaf.key, &leaf.value).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn scan_keys(
        &self,
        scan: &KeyScan<'_>,
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        key_index::scan(&self.0.keys, scan, visit);
        Ok(())
    }
}

/// Applies one change to a map.
pub(super) fn apply(leaves: &mut LeafMap, change: LeafChange<'_>) {
    match change.leaf {
        Some(leaf) => leaves.insert(change.key_hash, leaf.owned()),
        None => leaves.remove(&change.key_hash),
    };
}

/// Passes on changes until one does not ascend.
pub(super) fn ascending<'a>(
    changes: &mut dyn Iterator<Item = LeafChange<'a>>,
) -> impl Iterator<Item = Result<LeafChange<'a>, LeafStoreError>> {
    let mut previous: Option<Digest> = None;
    changes.enumerate().map(move |(index, change)| {
        if previous.is_some_and(|previous| previous >= change.key_hash) {
            return Err(LeafStoreError::Order { index });
        }
        previous = Some(change.key_hash);
        Ok(change)
    })
}

/// Passes on changes of keys until one does not ascend.
pub(super) fn ascending_keys<'a>(
    changes: &mut dyn Iterator<Item = KeyChange<'a>>,
) -> impl Iterator<Item = Result<KeyChange<'a>, LeafStoreError>> {
    let mut previous: Option<&'a [u8]> = None;
    changes.enumerate().map(move |(index, change)| {
        if previous.is_some_and(|previous| previous >= change.key) {
            return Err(LeafStoreError::KeyOrder { index });
        }
        previous = Some(change.key);
        Ok(change)
    })
}
