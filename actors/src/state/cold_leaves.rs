//! Leaves that the tree has no room for, read from the leaf store: all of them at opening, and later the
//! cells that a batch touches, before it is applied.
//!
//! Not here: which cells go and whether what comes back is what left (`core::tree`), and reads of keys
//! (`values`).

use std::ops::{ControlFlow, RangeInclusive};

use rayon::prelude::*;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{self, Digest, hex};
use trunkline_core::params::TreeParams;
use trunkline_core::store::leaves::{LeafSnapshot, LeafStoreError};
use trunkline_core::tree::{CellRun, Leaf, LeavesDiffer, TreeWriter};

/// Cells that may be looked at to let them go after so many operations: more than these brought back.
const EVICTION_CELLS_MIN: usize = 256;
const EVICTION_CELLS_PER_OPERATION: usize = 6;
/// Scans of one batch from which on they are shared out to the pool.
const SHARED_SCANS_MIN: usize = 8;

/// Why leaves of the tree were not read from the leaf store.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Store(#[from] LeafStoreError),
    #[error("{}", misplaced(.0))]
    Misplaced(Digest),
    #[error(transparent)]
    Differ(#[from] LeavesDiffer),
}

/// What to say of a leaf that is not where its key belongs.
pub fn misplaced(key_hash: &Digest) -> String {
    let key_hash = hex(key_hash);
    format!(
        "the leaf at key hash {key_hash} does not belong there; restore the directory from a copy"
    )
}

/// The leaves in a range of key hashes, hashed, each with this origin.
pub fn scan(
    params: &TreeParams,
    store: &dyn LeafSnapshot,
    range: RangeInclusive<Digest>,
    origin: u64,
) -> Result<Vec<Leaf>, ScanError> {
    let mut leaves = Vec::new();
    let mut misplaced = None;
    store.scan(range, &mut |key_hash, key, value| {
        if params.key_hash(key) != *key_hash {
            misplaced = Some(*key_hash);
            return ControlFlow::Break(());
        }
        leaves.push(Leaf {
            key_hash: *key_hash,
            value_hash: hash::hash(value),
            origin,
        });
        ControlFlow::Continue(())
    })?;
    misplaced.map_or(Ok(leaves), |key_hash| Err(ScanError::Misplaced(key_hash)))
}

/// Brings all cells back that some batches touch, with `covered` as the origin of their leaves: a
/// version whose changes all views of the store have, so that every reader looks for their values there.
/// Returns how many.
pub fn restore<'a>(
    writer: &mut TreeWriter,
    batches: impl IntoIterator<Item = &'a PreparedBatch>,
    params: &TreeParams,
    store: &dyn LeafSnapshot,
    covered: u64,
    pool: &rayon::ThreadPool,
) -> Result<u64, ScanError> {
    let runs = writer.cells_to_load(batches);
    let scan = |run: &CellRun| scan(params, store, run.key_hashes(), covered);
    let scanned: Vec<Vec<Leaf>> = match runs.len() < SHARED_SCANS_MIN {
        true => runs.iter().map(scan).collect::<Result<_, _>>()?,
        false => pool.install(|| runs.par_iter().map(scan).collect::<Result<_, _>>())?,
    };
    let mut restored = 0;
    for (run, leaves) in runs.iter().zip(scanned) {
        restored += writer.restore(run, &leaves)?;
    }
    Ok(restored)
}

/// Lets cold leaves go as far as the tree has no room for them, with work in proportion to that of the
/// operations before. Returns how many cells went.
pub fn evict(writer: &mut TreeWriter, covered: u64, operations: usize) -> u64 {
    let cells_max = EVICTION_CELLS_MIN + EVICTION_CELLS_PER_OPERATION * operations;
    writer.evict(covered, cells_max)
}
