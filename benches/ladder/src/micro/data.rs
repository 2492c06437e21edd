//! Data that several comparisons use.

use trunkline::Batch;
use trunkline::core::batch::{BatchLimits, PreparedBatch};
use trunkline::core::params::TreeParams;
use trunkline::core::store::effect::{Effect, encode_effects};
use trunkline::core::tree::{self, Leaf, TreeHasher, TreeWriter};

use crate::error::LadderError;
use crate::workload::{self, Fresh, Updates, Write};

/// The number of puts in a batch.
pub(super) const BATCH: u64 = 10_000;

/// Batches of puts of keys that exist.
pub(super) struct Batches {
    updates: Updates,
    writes: Vec<Write>,
}

impl Batches {
    pub(super) fn after(keys: u64) -> Self {
        Self {
            updates: Updates::after_preload(keys, Fresh::None),
            writes: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> &[Write] {
        self.updates.fill(&mut self.writes, BATCH);
        &self.writes
    }
}

/// Prepares a batch for the tree.
pub(super) fn prepared(writes: &[Write]) -> Result<PreparedBatch, LadderError> {
    let mut batch = Batch::with_capacity(writes.len(), writes.len() * 64);
    for write in writes {
        batch.put(write.key, write.value);
    }
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    prepared.map_err(LadderError::at("prepare"))
}

/// Returns the tree of the first keys.
pub(super) fn tree_of(keys: u64) -> Result<(TreeWriter, TreeHasher), LadderError> {
    let params = TreeParams::default();
    let leaf = |index| Leaf {
        key_hash: params.key_hash(&workload::key(index)),
        value_hash: trunkline::core::hash::hash(&workload::value(index)),
        origin: 0,
    };
    let mut leaves: Vec<Leaf> = (0..keys).map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key_hash);
    tree::build(params.collision, &leaves)
        .ok_or_else(|| LadderError::at("build a tree")("the leaves are not sorted"))
}

/// Returns the effects of a batch as a log record holds them.
pub(super) fn encoded(batch: &PreparedBatch) -> Result<Vec<u8>, LadderError> {
    let mut bytes = Vec::new();
    encode_effects(effects(batch), &mut bytes).map_err(LadderError::at("encode"))?;
    Ok(bytes)
}

/// Returns the effects of a batch of puts.
pub(super) fn effects(batch: &PreparedBatch) -> impl ExactSizeIterator<Item = Effect<'_>> {
    let writes = batch.writes.iter().enumerate();
    writes.map(|(place, write)| Effect {
        key_hash: write.key_hash,
        key: batch.key(place),
        change: batch.value(place),
    })
}
