//! The measurements of one window. Controllers base decisions on them, and reports plot them.

use serde::{Deserialize, Serialize};

use super::quantiles::Quantiles;

/// Measurements of one stage in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StageWindow {
    /// Time that the stage worked, microseconds.
    pub busy_us: u64,
    /// Messages that the stage served.
    pub served: u64,
    /// Time that these messages had waited for the stage, microseconds.
    pub queue_wait_us: Quantiles,
}

/// The measurements from the end of the previous window to the end of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// Number of the window, counted from 1 since the engine was opened.
    pub number: u64,
    /// End of the window, microseconds since the engine was opened.
    pub ended_us: u64,
    /// Length of the window, microseconds.
    pub length_us: u64,

    /// Cap on the operations of a group.
    pub group_operations_max: u64,
    /// Limit on operations that are accepted and not yet durable.
    pub in_flight_operations_max: u64,
    /// Mean number of shards for applying a group.
    pub tree_parallelism: u64,
    /// Mean number of shards for hashing a version.
    pub hash_parallelism: u64,
    /// Number of shards of a call of many proofs or reads.
    pub proof_parallelism: u64,

    /// Submissions accepted.
    pub submissions: u64,
    /// Operations of these submissions.
    pub operations_accepted: u64,
    /// Operations that became durable.
    pub operations_durable: u64,
    /// Operations that were accepted but not yet sealed at the end of the window.
    pub operations_waiting: u64,
    /// Groups sealed.
    pub groups: u64,
    /// Groups that the cap of operations closed.
    pub groups_full: u64,
    /// Groups that the cap of bytes closed before the cap of operations was reached.
    pub groups_full_bytes: u64,
    /// Groups that reached their share of the operations in the pipeline, and no cap
    /// ([`group_share`](crate::adaptive::group_share)).
    pub groups_shared: u64,
    /// Operations of a group.
    pub group_operations: Quantiles,
    /// Groups that were sealed but not yet durable at the end of the window.
    pub groups_in_flight: u64,
    /// Time from acceptance to sealing, of submissions that became durable, microseconds.
    pub seal_wait_us: Quantiles,
    /// Time from acceptance to durability, microseconds.
    pub durable_us: Quantiles,
    /// Time from acceptance to durability, of submissions that were sealed under the current cap, microseconds.
    pub durable_under_cap_us: Quantiles,
    /// Measurements of the five stages, in flow order.
    pub stages: [StageWindow; 5],
    /// True if a checkpoint ran at any time in the window.
    pub checkpoint_ran: bool,

    /// Keys read, singly or many at once.
    pub reads: u64,
    /// Keys proven.
    pub proofs: u64,
    /// Reads of a value that was in memory because no checkpoint covered it yet.
    pub memory_hits: u64,
    /// Reads that found their value in the value cache.
    pub value_cache_hits: u64,
    /// Reads that went to the leaf store.
    pub value_cache_misses: u64,
    /// Reads of the leaf store that a value cache larger by `value_cache_near_bytes` would have saved.
    pub value_cache_near_misses: u64,
    /// Bytes by which the cache would have to be larger to save the near misses: about an eighth of it, or less if it
    /// is very large. 0 if this was not measured.
    pub value_cache_near_bytes: u64,
    /// Limit on the bytes of the value cache.
    pub value_cache_bytes_max: u64,
    /// Limit on the bytes of the tree, or 0 if it has none.
    pub tree_bytes_max: u64,
    /// Bytes of the tree at the end of the window.
    pub tree_bytes: u64,
    /// Pages that were evicted from memory.
    pub pages_evicted: u64,
    /// Pages that were read back from the leaf store.
    pub pages_restored: u64,
}
