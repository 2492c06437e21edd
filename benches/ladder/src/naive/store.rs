//! The baseline's store: fjall, with one entry per node and one per key, both in JSON.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};

use super::node::{Node, Position};
use crate::error::LadderError;
use crate::workload::{Key, Value};

pub(super) struct Store {
    database: Database,
    nodes: Keyspace,
    values: Keyspace,
}

/// The stored entry of a key.
#[derive(Deserialize, Serialize)]
struct Held {
    value: String,
}

impl Store {
    pub(super) fn open(directory: &Path) -> Result<Self, LadderError> {
        let database = Database::builder(directory)
            .open()
            .map_err(LadderError::at("open"))?;
        let keyspace = |name: &str| {
            let opened = database.keyspace(name, KeyspaceCreateOptions::default);
            opened.map_err(LadderError::at("open"))
        };
        let (nodes, values) = (keyspace("nodes")?, keyspace("values")?);
        Ok(Self {
            database,
            nodes,
            values,
        })
    }

    pub(super) fn node(&self, position: &Position) -> Result<Option<Node>, LadderError> {
        let found = self.nodes.get(position.store_key());
        let found = found.map_err(LadderError::at("get a node"))?;
        Ok(found
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()?)
    }

    pub(super) fn put_node(&self, position: &Position, node: &Node) -> Result<(), LadderError> {
        let inserted = self
            .nodes
            .insert(position.store_key(), serde_json::to_vec(node)?);
        inserted.map_err(LadderError::at("put a node"))
    }

    pub(super) fn value(&self, key: &Key) -> Result<Option<Value>, LadderError> {
        let found = self.values.get(key).map_err(LadderError::at("get"))?;
        let Some(bytes) = found else { return Ok(None) };
        let held: Held = serde_json::from_slice(&bytes)?;
        let mut value = Value::default();
        hex::decode_to_slice(held.value, &mut value).map_err(LadderError::at("get"))?;
        Ok(Some(value))
    }

    pub(super) fn put_value(&self, key: &Key, value: &Value) -> Result<(), LadderError> {
        let held = Held {
            value: hex::encode(value),
        };
        let inserted = self.values.insert(key, serde_json::to_vec(&held)?);
        inserted.map_err(LadderError::at("put"))
    }

    /// Returns once everything before is on the device.
    pub(super) fn sync(&self) -> Result<(), LadderError> {
        let synced = self.database.persist(PersistMode::SyncAll);
        synced.map_err(LadderError::at("sync"))
    }
}
