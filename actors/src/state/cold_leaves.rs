//! Cold leaves: those for which the tree has no room, read from the leaf store.
//!
//! The pages that a batch touches are restored before it is applied. The tree decides which pages it evicts, and checks
//! that restored leaves are the evicted ones. Reads of single keys are in `values`.

use std::ops::{ControlFlow, RangeInclusive};

use rayon::prelude::*;
use trunkline_core::batch::PreparedBatch;
use trunkline_core::hash::{self, Digest, hex};
use trunkline_core::params::TreeParams;
use trunkline_core::store::leaves::{LeafSnapshot, LeafStoreError};
use trunkline_core::tree::{Leaf, LeavesDiffer, PageRun, TreeWriter};

/// The minimum number of pages that are examined for eviction after a batch; the number grows with its operations. That
/// is more than a batch restores.
const EVICTION_PAGES_MIN: usize = 128;
const EVICTION_PAGES_PER_OPERATION: usize = 3;
/// The minimum number of scans of one batch that are shared among the threads of the pool.
const PARALLEL_SCANS_MIN: usize = 8;

/// Most scans whose leaves wait to be restored: some 2 MiB if each is one page.
const SCANS_AT_ONCE_MAX: usize = 1024;

/// The reason for which leaves of the tree were not read from the leaf store.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The leaf store failed, or an entry in it is damaged.
    #[error(transparent)]
    Store(#[from] LeafStoreError),
    /// A leaf is stored at another key hash than that of its key.
    #[error("{}", misplaced(.0))]
    Misplaced(Digest),
    /// The leaf store has other leaves than the tree evicted.
    #[error(transparent)]
    Differ(#[from] LeavesDiffer),
}

/// Returns the message about a leaf that is stored at the wrong key hash.
pub fn misplaced(key_hash: &Digest) -> String {
    let key_hash = hex(key_hash);
    format!(
        "the leaf at key hash {key_hash} does not belong there; restore the directory from a copy"
    )
}

/// Returns the leaves in a range of key hashes, hashed, each with this origin.
///
/// # Errors
///
/// Fails if the leaf store cannot be read, or has a leaf at a wrong key hash.
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

/// Restores all evicted pages that some batches touch. Returns the number of pages.
///
/// The leaves get the origin `covered`: a version whose changes all views of the store have, so that every reader looks
/// for their values in the store.
///
/// # Errors
///
/// Fails if the leaf store cannot be read, or has other leaves than the tree evicted.
pub fn restore<'a>(
    writer: &mut TreeWriter,
    batches: impl IntoIterator<Item = &'a PreparedBatch>,
    params: &TreeParams,
    store: &dyn LeafSnapshot,
    covered: u64,
    pool: Option<&rayon::ThreadPool>,
) -> Result<u64, ScanError> {
    let runs = writer.pages_to_load(batches);
    let scan = |run: &PageRun| scan(params, store, run.key_hashes(), covered);
    let mut restored = 0;
    for runs in runs.chunks(SCANS_AT_ONCE_MAX) {
        let scanned: Vec<Vec<Leaf>> = match pool.filter(|_| runs.len() >= PARALLEL_SCANS_MIN) {
            None => runs.iter().map(scan).collect::<Result<_, _>>()?,
            Some(pool) => pool.install(|| runs.par_iter().map(scan).collect::<Result<_, _>>())?,
        };
        for (run, leaves) in runs.iter().zip(scanned) {
            restored += writer.restore(run, &leaves)?;
        }
    }
    Ok(restored)
}

/// Evicts cold leaves if the tree exceeds its budget. The work is in proportion to the operations of the last batch.
/// Returns the number of evicted pages.
pub fn evict(writer: &mut TreeWriter, covered: u64, operations: usize) -> u64 {
    let pages_max = EVICTION_PAGES_MIN + EVICTION_PAGES_PER_OPERATION * operations;
    writer.evict(covered, pages_max)
}
