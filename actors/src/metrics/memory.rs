//! Memory by owner.

use super::{Kind, Metrics, MetricsSnapshot, TABLE};
use crate::failure::Stage;

/// Bytes of memory by owner, without the present tree, which the tree stage measures.
///
/// ```
/// use trunkline_actors::metrics::memory::MemoryUse;
/// let memory = MemoryUse { layers: 7, kzg: 5, ..MemoryUse::default() };
/// assert_eq!(memory.sum(), 12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Changed cells on their way from the tree to the hasher, and spare buffers for them.
    pub changes: u64,
    /// The data kept for older versions: replaced leaves and digests, records, outcomes, openings.
    pub versions: u64,
    /// Batches of versions that are not in the store, or that are still read.
    pub layers: u64,
    /// Accepted batches that the tree has not applied.
    pub overlay: u64,
    /// The cache of values.
    pub value_cache: u64,
    /// The leaf store's caches, filters and indexes.
    pub leaf_store: u64,
    /// Forks of versions, which record their bytes themselves.
    pub forks: u64,
    /// Versions that the next checkpoint archives.
    pub archive: u64,
    /// Tables for commitments.
    pub kzg: u64,
    /// The buffer of the log, history, idempotency keys, the index of recent keys, measurements.
    pub bookkeeping: u64,
}

impl MemoryUse {
    /// Returns the sum.
    pub fn sum(&self) -> u64 {
        self.changes
            + self.versions
            + self.layers
            + self.overlay
            + self.value_cache
            + self.leaf_store
            + self.forks
            + self.archive
            + self.kzg
            + self.bookkeeping
    }
}

impl Metrics {
    /// Records the memory of each owner.
    pub fn memory(&self, memory: &MemoryUse) {
        self.changes_bytes.record(memory.changes);
        self.older_versions_bytes.record(memory.versions);
        self.layers_bytes.record(memory.layers);
        self.overlay_bytes.record(memory.overlay);
        self.value_cache_bytes.record(memory.value_cache);
        self.leaf_store_bytes.record(memory.leaf_store);
        self.archive_buffer_bytes.record(memory.archive);
        self.kzg_tables_bytes.record(memory.kzg);
        self.bookkeeping_bytes.record(memory.bookkeeping);
    }

    /// Returns approximately the bytes of the measurements themselves, including the buffer of the log.
    pub fn memory_bytes(&self) -> usize {
        let histogram_bytes = self.durable_us.memory_bytes();
        let histograms = TABLE.iter().filter(|metric| metric.kind == Kind::Histogram);
        let count = histograms.map(|metric| match metric.labels {
            [("stage", "")] => Stage::ALL.len(),
            _ => 1,
        });
        count.sum::<usize>() * histogram_bytes
            + self.timeline.memory_bytes()
            + self.log_buffer_bytes.get() as usize
    }

    /// Returns the bytes that the tree took after the last group.
    pub fn tree_bytes_now(&self) -> u64 {
        self.tree_bytes.get()
    }

    /// Returns the bytes that forks take.
    pub fn fork_bytes_now(&self) -> u64 {
        self.fork_bytes.get()
    }

    /// Returns the number of idempotency keys that are remembered.
    pub fn idempotency_keys_now(&self) -> u64 {
        self.idempotency_keys.get()
    }
}

impl MetricsSnapshot {
    /// Returns the bytes of memory of all owners: those that the engine counts, and those backed by files. Resident
    /// memory also includes free memory of the allocator and other memory of the process.
    ///
    /// ```
    /// let metrics = trunkline_actors::metrics::MetricsSnapshot {
    ///     tree_bytes: 3,
    ///     layers_bytes: 4,
    ///     ..Default::default()
    /// };
    /// assert_eq!(metrics.memory_bytes(), 7);
    /// ```
    pub fn memory_bytes(&self) -> u64 {
        self.tree_bytes
            + self.changes_bytes
            + self.older_versions_bytes
            + self.layers_bytes
            + self.overlay_bytes
            + self.value_cache_bytes
            + self.leaf_store_bytes
            + self.fork_bytes
            + self.archive_buffer_bytes
            + self.kzg_tables_bytes
            + self.bookkeeping_bytes
            + self.program_bytes
    }
}
