//! jmt: a Jellyfish Merkle tree, with fjall below it.
//!
//! The latest version only: nodes that a batch makes stale are removed in the same write batch. Nodes are
//! keyed by version, then path; values by the key's hash alone. fjall as in its own file: block cache of
//! 1 GiB, one journal `fdatasync` a batch.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use jmt::proof::SparseMerkleProof;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{KeyHash, OwnedValue, RootHash, Sha256Jmt, Version};
use sha2::Sha256;

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::workload::{Key, Value, Write};

const CACHE_BYTES: u64 = 1 << 30;

pub(super) struct Jmt {
    store: Store,
    /// The version of the next batch.
    version: Version,
    root: RootHash,
}

struct Store {
    database: Database,
    nodes: Keyspace,
    values: Keyspace,
}

impl Jmt {
    pub(super) fn open(directory: &Path) -> Result<Self, BenchError> {
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .open()
            .map_err(BenchError::at("open"))?;
        let keyspace = |name: &str| {
            let opened = database.keyspace(name, KeyspaceCreateOptions::default);
            opened.map_err(BenchError::at("open"))
        };
        let (nodes, values) = (keyspace("nodes")?, keyspace("values")?);
        Ok(Self {
            store: Store {
                database,
                nodes,
                values,
            },
            version: 0,
            root: RootHash([0; 32]),
        })
    }
}

/// Returns the key of a node: the version as big-endian before the path, so that new nodes come after all older ones.
fn node_bytes(key: &NodeKey) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = key.version().to_be_bytes().to_vec();
    borsh::to_writer(&mut bytes, key.nibble_path())?;
    Ok(bytes)
}

impl Store {
    fn write(&self, update: &TreeUpdateBatch) -> Result<(), BenchError> {
        let mut writes = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, node) in update.node_batch.nodes() {
            let key = node_bytes(key).map_err(BenchError::at("encode"))?;
            let node = borsh::to_vec(node).map_err(BenchError::at("encode"))?;
            writes.insert(&self.nodes, key, node);
        }
        for ((_, key), value) in update.node_batch.values() {
            match value {
                Some(value) => writes.insert(&self.values, key.0, value.as_slice()),
                None => writes.remove(&self.values, key.0),
            }
        }
        for stale in &update.stale_node_index_batch {
            let key = node_bytes(&stale.node_key).map_err(BenchError::at("encode"))?;
            writes.remove(&self.nodes, key);
        }
        writes.commit().map_err(BenchError::at("commit"))
    }
}

impl TreeReader for Store {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let found = self.nodes.get(node_bytes(key)?)?;
        Ok(found.map(|bytes| borsh::from_slice(&bytes)).transpose()?)
    }

    fn get_value_option(&self, _: Version, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.values.get(key.0)?.map(|value| value.to_vec()))
    }

    /// Called only while a tree is restored.
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Peer for Jmt {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        let writes = batch.iter().map(|write| {
            let key = KeyHash::with::<Sha256>(write.key);
            (key, Some(write.value.to_vec()))
        });
        let (root, update) = Sha256Jmt::new(&self.store)
            .put_value_set(writes, self.version)
            .map_err(BenchError::at("update the tree"))?;
        self.store.write(&update)?;
        self.version += 1;
        self.root = root;
        Ok(durable_already())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let key = KeyHash::with::<Sha256>(key);
        let found = self
            .store
            .values
            .get(key.0)
            .map_err(BenchError::at("get"))?;
        let value = found.map(|value| Value::try_from(&*value));
        value.transpose().map_err(BenchError::at("get"))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &["path"]
    }

    fn proves_absence(&self) -> bool {
        true
    }

    fn prove(&mut self, _: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let key = KeyHash::with::<Sha256>(key);
        let newest = self.version.saturating_sub(1);
        let (value, proof) = Sha256Jmt::new(&self.store)
            .get_with_proof(key, newest)
            .map_err(BenchError::at("prove"))?;
        Ok(Box::new(PathFromRoot {
            value,
            proof,
            root: self.root,
        }))
    }

    fn close(self: Box<Self>) -> Result<(), BenchError> {
        Ok(())
    }
}

struct PathFromRoot {
    value: Option<OwnedValue>,
    proof: SparseMerkleProof<Sha256>,
    root: RootHash,
}

impl Proof for PathFromRoot {
    fn encoded_bytes(&self) -> usize {
        let proof = borsh::to_vec(&self.proof).map_or(0, |bytes| bytes.len());
        let value = self.value.as_ref().map_or(0, Vec::len);
        (proof + value).saturating_sub(size_of::<Key>())
    }

    /// The proof contains a hash of the value, and `verify` compares it with that of the given value before it folds
    /// the path.
    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        let key = KeyHash::with::<Sha256>(key);
        self.proof.verify(self.root, key, value).is_ok()
    }
}
