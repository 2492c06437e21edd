//! Compares one synced record in the commit log per batch with one synced fjall batch of its puts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::log::{CommitLog, LogEntry, LogOptions, LogPosition};

use super::Scope;
use super::data::{self, Batches};
use super::turns::in_turns;
use crate::error::LadderError;
use crate::figures::Comparison;

const TURNS: usize = 30;
const SEGMENT_BYTES_MAX: u64 = 32 << 20;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let mut log = Log::open(scope)?;
    let mut store = Store::open(scope)?;
    let (mut batches, mut others) = (Batches::after(scope.keys), Batches::after(scope.keys));
    in_turns(
        TURNS,
        ("a put", data::BATCH),
        |_| {
            let batch = data::prepared(batches.next())?;
            let started_at = Instant::now();
            log.append(data::encoded(&batch)?.into())?;
            Ok(started_at.elapsed())
        },
        |_| {
            let batch = data::prepared(others.next())?;
            let puts = data::effects(&batch).map(|effect| (effect.key, effect.change));
            store.put(puts)
        },
    )
}

struct Log {
    log: CommitLog,
    record: CommitRecord,
}

impl Log {
    fn open(scope: &Scope<'_>) -> Result<Self, LadderError> {
        let tree_id = TreeParams::default().tree_id();
        let record = CommitRecord::genesis(tree_id);
        let options = LogOptions {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            ..LogOptions::new([7; 32])
        };
        let (log, _) = CommitLog::open(
            Arc::new(OsDisk),
            &scope.directory.join("log"),
            tree_id,
            LogPosition::of(&record),
            options,
            |_| Ok::<(), Infallible>(()),
        )
        .map_err(LadderError::at("open the log"))?;
        Ok(Self { log, record })
    }

    fn append(&mut self, effects: Bytes) -> Result<(), LadderError> {
        self.record = CommitRecord {
            version: self.record.version + 1,
            parent: self.record.commit_id(),
            ..self.record.clone()
        };
        let entry = LogEntry {
            record: self.record.clone(),
            kzg_root: Some([0xc0; 48]),
            outcomes: Bytes::new(),
            effects,
        };
        self.log
            .append(&entry)
            .map_err(LadderError::at("append to the log"))?;
        self.log.sync().map_err(LadderError::at("sync the log"))?;
        Ok(())
    }
}

struct Store {
    database: Database,
    state: Keyspace,
}

impl Store {
    fn open(scope: &Scope<'_>) -> Result<Self, LadderError> {
        let database = Database::builder(scope.directory.join("store"))
            .open()
            .map_err(LadderError::at("open fjall"))?;
        let state = database
            .keyspace("state", KeyspaceCreateOptions::default)
            .map_err(LadderError::at("open fjall"))?;
        Ok(Self { database, state })
    }

    fn put<'a>(
        &mut self,
        puts: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Duration, LadderError> {
        let started_at = Instant::now();
        let mut writes = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in puts {
            writes.insert(&self.state, key, value.unwrap_or_default());
        }
        writes.commit().map_err(LadderError::at("commit"))?;
        Ok(started_at.elapsed())
    }
}
