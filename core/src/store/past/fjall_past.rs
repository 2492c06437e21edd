//! The past in fjall: one keyspace for each segment, in the database of the leaves.
//!
//! A segment is written by sorted ingestion alone, which is there as a whole or not at all, and durable on return
//! (`fjall_leaves` has the facts). Removing a keyspace removes its files once no scan reads them any more; if the process
//! ends before that, the next open removes them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{PastEntry, PastStore, PastVisitor, Segment, ascending};
use crate::store::disk::{Disk, OsDisk};
use crate::store::leaves::LeafStoreError;

/// The beginning of the names of keyspaces that are segments; the number follows.
const SEGMENT_PREFIX: &str = "past-";
/// The maximum number of tables outside of the sorted levels before they are merged. Entries are read rarely and
/// removed soon, so merging late writes less.
const LOOSE_TABLES_MAX: u8 = 16;

/// The segments in a database.
pub(in crate::store) struct FjallPast {
    database: Database,
    /// The directory of the keyspaces, whose names fjall does not sync.
    keyspaces: PathBuf,
}

impl FjallPast {
    pub(in crate::store) fn new(database: Database, keyspaces: PathBuf) -> Self {
        Self {
            database,
            keyspaces,
        }
    }

    fn existing(&self, segment: u64) -> Result<Option<Keyspace>, LeafStoreError> {
        match self.database.keyspace_exists(&name(segment)) {
            true => self.keyspace(segment).map(Some),
            false => Ok(None),
        }
    }

    fn keyspace(&self, segment: u64) -> Result<Keyspace, LeafStoreError> {
        let options = || {
            let compaction = Leveled::default().with_l0_threshold(LOOSE_TABLES_MAX);
            KeyspaceCreateOptions::default().compaction_strategy(Arc::new(compaction))
        };
        let keyspace = self.database.keyspace(&name(segment), options);
        keyspace.map_err(backend)
    }
}

fn name(segment: u64) -> String {
    format!("{SEGMENT_PREFIX}{segment:020}")
}

fn backend(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LeafStoreError {
    LeafStoreError::Backend(error.into())
}

fn visit_all(
    entries: impl Iterator<Item = Guard>,
    visit: &mut PastVisitor<'_>,
) -> Result<(), LeafStoreError> {
    for guard in entries {
        let (key, content) = guard.into_inner().map_err(backend)?;
        if visit(&key, &content).is_break() {
            break;
        }
    }
    Ok(())
}

impl PastStore for FjallPast {
    fn segments(&self) -> Result<Vec<Segment>, LeafStoreError> {
        let names = self.database.list_keyspace_names();
        let numbers = names.iter().filter_map(|name| {
            let number = name.strip_prefix(SEGMENT_PREFIX)?;
            number.parse::<u64>().ok()
        });
        let mut segments = Vec::new();
        for number in numbers {
            let bytes = self.keyspace(number)?.disk_space();
            segments.push(Segment { number, bytes });
        }
        segments.sort_unstable_by_key(|segment| segment.number);
        Ok(segments)
    }

    fn ingest(
        &self,
        segment: u64,
        entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
    ) -> Result<(), LeafStoreError> {
        let is_new = !self.database.keyspace_exists(&name(segment));
        let keyspace = self.keyspace(segment)?;
        if is_new {
            OsDisk.sync_directory(&self.keyspaces).map_err(backend)?;
        }
        let mut ingestion = keyspace.start_ingestion().map_err(backend)?;
        for entry in ascending(entries) {
            let (key, content) = entry?;
            ingestion.write(key, content).map_err(backend)?;
        }
        ingestion.finish().map_err(backend)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(backend)
    }

    fn scan(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        match self.existing(segment)? {
            Some(keyspace) if !range.is_empty() => visit_all(keyspace.range(range), visit),
            _ => Ok(()),
        }
    }

    fn scan_back(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        match self.existing(segment)? {
            Some(keyspace) if !range.is_empty() => visit_all(keyspace.range(range).rev(), visit),
            _ => Ok(()),
        }
    }

    fn last_key(&self, segment: u64) -> Result<Option<Vec<u8>>, LeafStoreError> {
        let Some(keyspace) = self.existing(segment)? else {
            return Ok(None);
        };
        let last = keyspace.last_key_value();
        let last = last.map(|guard| guard.key().map_err(backend)).transpose()?;
        Ok(last.map(|key| key.to_vec()))
    }

    fn remove(&self, segment: u64) -> Result<(), LeafStoreError> {
        match self.existing(segment)? {
            Some(keyspace) => self.database.delete_keyspace(keyspace).map_err(backend),
            None => Ok(()),
        }
    }
}
