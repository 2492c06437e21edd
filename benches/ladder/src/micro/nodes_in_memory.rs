//! Compares the engine, which has all nodes in memory, with getting the nodes that a batch touches from fjall.
//!
//! Without: the same work on the tree, preceded by a get of each node of 128 digests (4 KiB) on the paths of the batch,
//! down to the deepest level at which a node has more than one key below it. fjall's block cache has its default size.
//! Nothing is written back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use trunkline::core::batch::PreparedBatch;
use trunkline::core::params::path_of;
use trunkline::core::tree::{TreeHasher, TreeWriter};

use super::Scope;
use super::data::{self, Batches, tree_of};
use super::turns::in_turns;
use crate::error::LadderError;
use crate::figures::Comparison;
use crate::workload;

const TURNS: usize = 5;
const NODE_BYTES: usize = 128 * 32;
const PATH_BITS: u32 = 56;
const DIGIT_BITS: u32 = 7;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let nodes = Nodes::fill(scope)?;
    let mut tree = Tree::of(scope.keys)?;
    let mut other = Tree::of(scope.keys)?;
    let mut read = 0;
    let mut comparison = in_turns(
        TURNS,
        ("a put", data::BATCH),
        |_| tree.step(|_| Ok(())),
        |_| {
            other.step(|batch| {
                read = nodes.read(batch)?;
                Ok(())
            })
        },
    )?;
    comparison.remark = format!("{read} nodes read for {} puts", data::BATCH);
    Ok(comparison)
}

struct Tree {
    writer: TreeWriter,
    hasher: TreeHasher,
    batches: Batches,
    version: u64,
}

impl Tree {
    fn of(keys: u64) -> Result<Self, LadderError> {
        let (writer, hasher) = tree_of(keys)?;
        Ok(Self {
            writer,
            hasher,
            batches: Batches::after(keys),
            version: 0,
        })
    }

    fn step(
        &mut self,
        before: impl FnOnce(&PreparedBatch) -> Result<(), LadderError>,
    ) -> Result<Duration, LadderError> {
        self.version += 1;
        let batch = data::prepared(self.batches.next())?;
        let started_at = Instant::now();
        before(&batch)?;
        self.writer
            .apply(&batch, self.version)
            .map_err(LadderError::at("apply"))?;
        let roots = self.hasher.hash(self.writer.seal(self.version), None);
        std::hint::black_box(roots);
        let taken = started_at.elapsed();
        self.writer.reader().retire(self.version);
        Ok(taken)
    }
}

/// Nodes by level and path in a store.
struct Nodes {
    nodes: Keyspace,
    levels: u32,
    _database: Database,
}

impl Nodes {
    fn fill(scope: &Scope<'_>) -> Result<Self, LadderError> {
        let database = Database::builder(scope.directory.join("nodes"))
            .open()
            .map_err(LadderError::at("open fjall"))?;
        let nodes = database
            .keyspace("nodes", KeyspaceCreateOptions::default)
            .map_err(LadderError::at("open fjall"))?;
        // The deepest level whose nodes have more than one key on average.
        let bits = u64::BITS - scope.keys.leading_zeros();
        let levels = bits.div_ceil(DIGIT_BITS);
        let params = trunkline::core::params::TreeParams::default();
        let paths = (0..scope.keys).map(|index| path_of(&params.key_hash(&workload::key(index))));
        let keys: BTreeSet<[u8; 9]> = paths.flat_map(|path| node_keys(path, levels)).collect();
        let mut ingestion = nodes
            .start_ingestion()
            .map_err(LadderError::at("fill fjall"))?;
        for (index, key) in (0..).zip(keys) {
            let seed = workload::value(index);
            let node: [u8; NODE_BYTES] = std::array::from_fn(|byte| seed[byte % 32] ^ byte as u8);
            ingestion
                .write(key, node)
                .map_err(LadderError::at("fill fjall"))?;
        }
        ingestion.finish().map_err(LadderError::at("fill fjall"))?;
        Ok(Self {
            nodes,
            levels,
            _database: database,
        })
    }

    fn read(&self, batch: &PreparedBatch) -> Result<usize, LadderError> {
        let paths = batch.writes.iter().map(|write| path_of(&write.key_hash));
        let keys: BTreeSet<[u8; 9]> = paths
            .flat_map(|path| node_keys(path, self.levels))
            .collect();
        for key in &keys {
            let node = self.nodes.get(key).map_err(LadderError::at("get"))?;
            if node.is_none_or(|node| node.len() != NODE_BYTES) {
                return Err(LadderError::WrongRead { read: "present" });
            }
        }
        Ok(keys.len())
    }
}

fn node_keys(path: u64, levels: u32) -> impl Iterator<Item = [u8; 9]> {
    (0..levels).map(move |level| {
        let shift = PATH_BITS - DIGIT_BITS * level;
        let prefix = path >> shift;
        let mut key = [level as u8; 9];
        key[1..].copy_from_slice(&prefix.to_be_bytes());
        key
    })
}
