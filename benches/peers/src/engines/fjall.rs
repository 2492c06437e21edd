//! fjall: the store alone, for comparison. It has no root and no proofs.
//!
//! Block cache of 1 GiB, defaults for the rest; one write batch and one journal `fdatasync` for each batch.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::workload::{Key, Value, Write};

const CACHE_BYTES: u64 = 1 << 30;

pub(super) struct Fjall {
    database: Database,
    state: Keyspace,
}

impl Fjall {
    pub(super) fn open(directory: &Path) -> Result<Self, BenchError> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .open()
            .map_err(BenchError::at("open"))?;
        let state = database
            .keyspace("state", KeyspaceCreateOptions::default)
            .map_err(BenchError::at("open"))?;
        Ok(Self { database, state })
    }
}

impl Peer for Fjall {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        let mut writes = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for write in batch {
            writes.insert(&self.state, write.key, write.value);
        }
        writes.commit().map_err(BenchError::at("commit"))?;
        Ok(durable_already())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let found = self.state.get(key).map_err(BenchError::at("get"))?;
        let value = found.map(|value| Value::try_from(&*value));
        value.transpose().map_err(BenchError::at("get"))
    }

    fn prove(&mut self, _: &'static str, _: &Key) -> Result<Box<dyn Proof>, BenchError> {
        Err(BenchError::at("prove")("fjall makes no proofs"))
    }

    fn close(self: Box<Self>) -> Result<(), BenchError> {
        Ok(())
    }
}
