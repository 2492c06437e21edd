//! Leaves in fjall: one keyspace, written by sorted ingestion alone, and another one if there is an index of keys.
//!
//! Facts from the source of fjall 3.1.13 and lsm-tree 3.1.10, checked by tests where possible:
//!
//! * An ingestion writes tables outside of the tree and registers all of them in one new version of the
//!   tree under one new sequence number, so it is there as a whole or not at all, and a snapshot
//!   taken before `finish` has a lower sequence number and does not see it.
//! * `finish` returns after every table file, the tables' directory, the new version file and its
//!   directory were fsynced and the file that names the current version was replaced by rename,
//!   file and directory synced. Ingested entries never pass through fjall's journal. So an
//!   ingestion is durable on return. [`LeafStore::sync`] persists the journal all the same: it is
//!   the call that fjall documents for durability, it costs one fsync a checkpoint, and it fails if
//!   one of fjall's own threads has failed since, which an ingestion does not look at.
//! * Its `Ingestion` *panics* on keys that don't ascend: the order is checked before it sees them.
//!   A dropped ingestion leaves table files behind that the next open removes.
//! * fjall older than 3.1.7 loses errors of its journal; the crate requires a newer one.
//! * A new store is made in this order: `lock`, `keyspaces`, the journal `0.jnl`, `version`, then
//!   keyspace 0 (what keyspaces there are), then keyspace 1 (the leaves), then its entry in keyspace
//!   0. A process that is killed once there is a journal and before `version` is whole leaves a
//!   directory that fjall refuses ever after: [`FjallLeafStore::open`] clears it. From keyspace 0 on
//!   fjall completes or replaces what it finds. It does not sync the names in `keyspaces`: `open` does.
//!
//! fjall runs its own compaction threads: the one exception to "no threads" in this crate.

use std::error::Error;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
};

use super::cursor::{Cursor, put_varint};
use super::disk::{Disk, OsDisk, found};
use super::key_index::{KeyChange, KeyScan, KeyVisitor};
use super::leaves::{
    Leaf, LeafChange, LeafRef, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor, ascending,
    ascending_keys,
};
use super::past::{FjallPast, PastStore};
use crate::hash::Digest;
use crate::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

const KEYSPACE: &str = "leaves";
/// The index of keys: key → nothing.
const KEYS_KEYSPACE: &str = "keys";

// The names that fjall uses.
const KEYSPACES_DIRECTORY: &str = "keyspaces";
const FIRST_JOURNAL_FILE: &str = "0.jnl";
const VERSION_FILE: &str = "version";
const VERSION_BYTES: u64 = 4;
const FJALL_LOCK_FILE: &str = "lock";

/// The settings of fjall.
///
/// ```
/// use trunkline_core::store::fjall_leaves::FjallOptions;
/// let roomy = FjallOptions { cache_bytes: 1 << 30, ..FjallOptions::default() };
/// assert!(roomy.worker_threads > 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FjallOptions {
    /// The size of the block cache, bytes.
    pub cache_bytes: u64,
    /// The number of threads that compact; at least 1.
    pub worker_threads: usize,
    /// The number of files kept open; at least 10.
    pub open_files_max: usize,
    /// The size of a data block, bytes. Fixed when the store is created.
    pub block_bytes: u32,
    /// The number of tables that ingestions leave outside of the sorted levels before they are merged; at least 2. An
    /// ingestion leaves one for each 64 MiB. Fixed when the store is created.
    pub loose_tables_max: u8,
    /// True if the store keeps an index of keys in byte order. Fixed when the store is created.
    pub key_order: bool,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            worker_threads: 1,
            open_files_max: 256,
            block_bytes: 4 << 10,
            loose_tables_max: 8,
            key_order: false,
        }
    }
}

/// A leaf store on disk.
///
/// Entry: key hash → key length (shortest LEB128), key, value. Entry of the index: key → nothing.
///
/// ```
/// use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
/// use trunkline_core::store::leaves::LeafStore;
/// let directory = tempfile::tempdir()?;
/// let store = FjallLeafStore::open(&directory.path().join("leaves"), &FjallOptions::default())?;
/// assert_eq!(store.snapshot()?.get(&[1; 32])?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FjallLeafStore {
    database: Database,
    keyspace: Keyspace,
    keys: Option<Keyspace>,
    past: Arc<FjallPast>,
}

impl FjallLeafStore {
    /// Opens the store in a directory, or creates it there; also after an interrupted creation.
    pub fn open(directory: &Path, options: &FjallOptions) -> Result<Self, LeafStoreError> {
        clear_half_made(directory).map_err(backend)?;
        let database = Database::builder(directory)
            .cache_size(options.cache_bytes)
            .worker_threads(options.worker_threads.max(1))
            .max_cached_files(Some(options.open_files_max.max(10)))
            .open()
            .map_err(backend)?;
        let block_size = fjall::config::BlockSizePolicy::all(options.block_bytes);
        let compaction = Leveled::default().with_l0_threshold(options.loose_tables_max.max(2));
        let compaction = Arc::new(compaction);
        let keyspace = |name| {
            let options = || {
                KeyspaceCreateOptions::default()
                    .data_block_size_policy(block_size.clone())
                    .compaction_strategy(compaction.clone())
            };
            database.keyspace(name, options).map_err(backend)
        };
        let leaves = keyspace(KEYSPACE)?;
        let keys = match options.key_order {
            true => Some(keyspace(KEYS_KEYSPACE)?),
            false => None,
        };
        let keyspaces = directory.join(KEYSPACES_DIRECTORY);
        OsDisk.sync_directory(&keyspaces).map_err(backend)?;
        Ok(Self {
            past: Arc::new(FjallPast::new(database.clone(), keyspaces)),
            database,
            keyspace: leaves,
            keys,
        })
    }

    /// Returns the database's store of versions that memory does not keep.
    ///
    /// ```
    /// use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    /// let directory = tempfile::tempdir()?;
    /// let store = FjallLeafStore::open(&directory.path().join("leaves"), &FjallOptions::default())?;
    /// assert!(store.past().segments()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn past(&self) -> Arc<dyn PastStore> {
        self.past.clone()
    }
}

/// Removes the files of a creation that was interrupted before there was a keyspace, if fjall would refuse it.
fn clear_half_made(directory: &Path) -> io::Result<()> {
    if !is_half_made(directory)? {
        return Ok(());
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(FJALL_LOCK_FILE))?;
    match lock.try_lock() {
        Ok(()) => {}
        // Another process is creating it now; fjall reports that.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Its creator may have made progress before the lock was free.
    if is_half_made(directory)? {
        found(fs::remove_file(directory.join(VERSION_FILE)))?;
        found(fs::remove_file(directory.join(FIRST_JOURNAL_FILE)))?;
    }
    lock.unlock()
}

/// Returns whether there are files that fjall would refuse, and no keyspace yet. Then there are no leaves either, since
/// leaves are ingested into a keyspace and never pass through the journal.
fn is_half_made(directory: &Path) -> io::Result<bool> {
    let length = |name| found(fs::metadata(directory.join(name)).map(|file| file.len()));
    let refused = match length(VERSION_FILE)? {
        None => length(FIRST_JOURNAL_FILE)?.is_some(),
        Some(bytes) => bytes < VERSION_BYTES,
    };
    if !refused {
        return Ok(false);
    }
    let keyspaces = found(OsDisk.list(&directory.join(KEYSPACES_DIRECTORY)))?;
    Ok(keyspaces.unwrap_or_default().is_empty())
}

impl LeafStore for FjallLeafStore {
    fn ingest(
        &self,
        changes: &mut dyn Iterator<Item = LeafChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let mut ingestion = self.keyspace.start_ingestion().map_err(backend)?;
        let mut entry = Vec::new();
        for change in ascending(changes) {
            let change = change?;
            match change.leaf {
                Some(leaf) => {
                    entry.clear();
                    encode_entry(leaf, &mut entry);
                    ingestion.write(change.key_hash, entry.as_slice())
                }
                None => ingestion.write_tombstone(change.key_hash),
            }
            .map_err(backend)?;
        }
        ingestion.finish().map_err(backend)
    }

    fn ingest_keys(
        &self,
        changes: &mut dyn Iterator<Item = KeyChange<'_>>,
    ) -> Result<(), LeafStoreError> {
        let keys = self.keys.as_ref().ok_or(LeafStoreError::NoKeyIndex)?;
        let mut ingestion = keys.start_ingestion().map_err(backend)?;
        for change in ascending_keys(changes) {
            let change = change?;
            match change.is_present {
                true => ingestion.write(change.key, []),
                false => ingestion.write_tombstone(change.key),
            }
            .map_err(backend)?;
        }
        ingestion.finish().map_err(backend)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(backend)
    }

    fn snapshot(&self) -> Result<Arc<dyn LeafSnapshot>, LeafStoreError> {
        Ok(Arc::new(FjallSnapshot {
            snapshot: self.database.snapshot(),
            keyspace: self.keyspace.clone(),
            keys: self.keys.clone(),
        }))
    }
}

struct FjallSnapshot {
    snapshot: Snapshot,
    keyspace: Keyspace,
    keys: Option<Keyspace>,
}

impl LeafSnapshot for FjallSnapshot {
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError> {
        let entry = self
            .snapshot
            .get(&self.keyspace, key_hash)
            .map_err(backend)?;
        let Some(entry) = entry else {
            return Ok(None);
        };
        let (key, value) = decode_entry(&entry).ok_or_else(|| damaged(key_hash))?;
        // One copy: a slice of fjall's would keep a whole block in memory for as long as it exists.
        let whole = Bytes::copy_from_slice(&entry);
        let value_start = whole.len() - value.len();
        Ok(Some(Leaf {
            key: whole.slice(value_start - key.len()..value_start),
            value: whole.slice(value_start..),
        }))
    }

    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        if range.is_empty() {
            return Ok(());
        }
        for guard in self.snapshot.range(&self.keyspace, range) {
            let (stored, entry) = guard.into_inner().map_err(backend)?;
            let key_hash: &Digest = stored.as_ref().try_into().map_err(|_| damaged(&stored))?;
            let (key, value) = decode_entry(&entry).ok_or_else(|| damaged(key_hash))?;
            if visit(key_hash, key, value).is_break() {
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
        let keys = self.keys.as_ref().ok_or(LeafStoreError::NoKeyIndex)?;
        if scan.is_empty() {
            return Ok(());
        }
        let mut range = self
            .snapshot
            .range::<&[u8], _>(keys, (scan.lower, scan.upper));
        let next = || match scan.is_reverse {
            true => range.next_back(),
            false => range.next(),
        };
        for guard in std::iter::from_fn(next) {
            if visit(&guard.key().map_err(backend)?).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The cache of blocks, which all keyspaces share, and the filters and indexes that stay in memory. Nothing is in
    /// write buffers, since ingestions pass them.
    fn memory_bytes(&self) -> u64 {
        let pinned = |keyspace: &Keyspace| {
            let tree = &keyspace.tree;
            tree.pinned_filter_size() + tree.pinned_block_index_size()
        };
        let keyspaces = [Some(&self.keyspace), self.keys.as_ref()];
        let pinned: usize = keyspaces.into_iter().flatten().map(pinned).sum();
        self.keyspace.tree.tree_config().cache.size() + pinned as u64
    }
}

fn encode_entry(leaf: LeafRef<'_>, entry: &mut Vec<u8>) {
    put_varint(leaf.key.len() as u64, entry);
    entry.extend_from_slice(leaf.key);
    entry.extend_from_slice(leaf.value);
}

fn decode_entry(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor(entry);
    let key_bytes = cursor.varint()?;
    if key_bytes == 0 || key_bytes > KEY_BYTES_MAX as u64 {
        return None;
    }
    let key = cursor.take(key_bytes as usize)?;
    (cursor.0.len() <= VALUE_BYTES_MAX).then_some((key, cursor.0))
}

fn damaged(key_hash: &[u8]) -> LeafStoreError {
    LeafStoreError::Damaged {
        key_hash: key_hash.to_vec(),
    }
}

fn backend(error: impl Into<Box<dyn Error + Send + Sync>>) -> LeafStoreError {
    LeafStoreError::Backend(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damaged_ones_are_refused() {
        let leaf = LeafRef {
            key: b"key",
            value: b"value",
        };
        let mut entry = Vec::new();
        encode_entry(leaf, &mut entry);
        assert_eq!(entry, b"\x03keyvalue");
        assert_eq!(decode_entry(&entry), Some((&b"key"[..], &b"value"[..])));
        for damaged in [&b""[..], b"\0value", b"\x04key", b"\x80\0", b"\xff\xff\x7f"] {
            assert_eq!(decode_entry(damaged), None);
        }
    }
}
