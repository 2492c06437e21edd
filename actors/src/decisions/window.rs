//! What was measured in one window: what controllers decide from, and what reports plot.

use serde::{Deserialize, Serialize};

use super::quantiles::Quantiles;

/// One stage in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageWindow {
    /// Time that it worked, microseconds.
    pub busy_us: u64,
    /// Messages that it served.
    pub served: u64,
    /// How long they had waited for it, microseconds.
    pub queue_wait_us: Quantiles,
}

/// What was measured from the end of the window before to the end of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// Counts from 1 since the engine was opened.
    pub number: u64,
    /// When it ended, microseconds since the engine was opened.
    pub ended_us: u64,
    /// How long it was, microseconds.
    pub length_us: u64,

    /// Operations after which a group was sealed.
    pub group_operations_max: u64,
    /// Operations that could be accepted and not yet durable.
    pub in_flight_operations_max: u64,
    /// Shards that applying a group was cut into.
    pub tree_parallelism: u64,
    /// Shards that hashing a version was cut into.
    pub hash_parallelism: u64,
    /// Shards that proofs and reads of many keys were cut into.
    pub proof_parallelism: u64,

    /// Submissions accepted.
    pub submissions: u64,
    /// Their operations.
    pub operations_accepted: u64,
    /// Operations that became durable.
    pub operations_durable: u64,
    /// Operations accepted and not yet sealed, at the end.
    pub operations_waiting: u64,
    /// Groups sealed.
    pub groups: u64,
    /// Those that the cap of operations closed.
    pub groups_full: u64,
    /// Those that the cap of bytes closed, that of operations not being reached.
    pub groups_full_bytes: u64,
    /// Those that their share of what was inside closed ([`group_share`](crate::adaptive::group_share)), no cap being reached.
    pub groups_shared: u64,
    /// Operations of the groups.
    pub group_operations: Quantiles,
    /// Groups sealed and not yet durable, at the end.
    pub groups_in_flight: u64,
    /// From acceptance to sealing, microseconds, of submissions that became durable.
    pub seal_wait_us: Quantiles,
    /// From acceptance to durability, microseconds.
    pub durable_us: Quantiles,
    /// The same, of submissions alone that were sealed under the cap of now.
    pub durable_under_cap_us: Quantiles,
    /// The five stages, in flow order.
    pub stages: [StageWindow; 5],
    /// Whether a checkpoint ran at any time.
    pub checkpoint_ran: bool,

    /// Reads of single values and of many keys, a key each.
    pub reads: u64,
    /// Keys proven.
    pub proofs: u64,
    /// Reads that found their value in memory, no checkpoint having covered it.
    pub memory_hits: u64,
    /// Reads that found their value in the cache of values.
    pub value_cache_hits: u64,
    /// Reads that did not, and went to the leaf store.
    pub value_cache_misses: u64,
    /// Those of them that a cache larger by `value_cache_near_bytes` would have had.
    pub value_cache_near_misses: u64,
    /// How much more room near misses stand for, bytes: about an eighth of the cache, less of one so large that no
    /// more is remembered. 0: it was not measured.
    pub value_cache_near_bytes: u64,
    /// Bytes that the cache of values may take.
    pub value_cache_bytes_max: u64,
    /// Bytes that the tree may take, 0 if it has no bound.
    pub tree_bytes_max: u64,
    /// Bytes that the tree takes, at the end.
    pub tree_bytes: u64,
    /// Cells of leaves that left memory.
    pub cells_evicted: u64,
    /// Cells that were read from the leaf store again.
    pub cells_restored: u64,
}
