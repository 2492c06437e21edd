//! Counts work in flight: groups between sealing and durability with their operations, and batches that are being
//! prepared.
//!
//! A group takes a slot when it is sealed and carries it along. Wherever the group is dropped, in the last stage or in
//! a failing one, the slot is free again and ingest is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;
use crate::metrics::group::GroupTag;
use crate::runtime::wait::yield_point;

/// The counts of work in flight.
#[derive(Debug, Default)]
pub struct InFlight {
    groups: AtomicUsize,
    operations: AtomicUsize,
    /// Number of groups that persist does not have yet.
    computing: AtomicUsize,
    /// Number of batches that their callers are preparing.
    preparing: AtomicUsize,
}

impl InFlight {
    /// Returns the number of groups in flight.
    pub fn groups(&self) -> usize {
        self.groups.load(Ordering::Acquire)
    }

    /// Returns the number of their operations.
    pub fn operations(&self) -> usize {
        self.operations.load(Ordering::Acquire)
    }

    /// Returns the number of groups that a stage is computing on, and of batches that are being prepared: each keeps a
    /// core busy.
    pub fn busy(&self) -> (usize, usize) {
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        (count(&self.computing), count(&self.preparing))
    }

    /// Counts a batch as being prepared until the result is dropped.
    pub fn prepare(&self) -> impl Sized + '_ {
        self.preparing.fetch_add(1, Ordering::Relaxed);
        Preparing(self)
    }
}

struct Preparing<'a>(&'a InFlight);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        self.0.preparing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the number of shards for the work on one group or batch: one for each core that is otherwise idle. A single
/// group would use one core at a time; in a full pipeline every core has a stage to run, and sharding gains nothing.
/// The load is known at every moment, so no trial is needed. `groups` and `batches` count the other work: groups that a
/// stage computes on, and batches that their callers prepare.
///
/// ```
/// use trunkline_actors::in_flight::free_shards;
/// assert_eq!(free_shards(8, 0, 0), 8); // alone
/// assert_eq!(free_shards(8, 2, 1), 5);
/// assert_eq!(free_shards(2, 3, 1), 1); // a full pipeline
/// ```
pub fn free_shards(cores: usize, groups: usize, batches: usize) -> usize {
    cores.saturating_sub(groups + batches).max(1)
}

/// Called when a slot is free again.
pub type OnFree = Arc<dyn Fn() + Send + Sync>;

/// A slot among the groups in flight. Dropping it frees the slot.
pub struct GroupSlot {
    /// Facts about the group.
    pub tag: GroupTag,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
    on_free: OnFree,
    is_computed: bool,
}

impl GroupSlot {
    /// Takes a slot for a group.
    pub fn take(
        tag: GroupTag,
        in_flight: &Arc<InFlight>,
        metrics: &Arc<Metrics>,
        on_free: &OnFree,
    ) -> Self {
        let operations = tag.operations as usize;
        in_flight.operations.fetch_add(operations, Ordering::AcqRel);
        in_flight.groups.fetch_add(1, Ordering::AcqRel);
        in_flight.computing.fetch_add(1, Ordering::Relaxed);
        metrics.group_began();
        Self {
            tag,
            in_flight: in_flight.clone(),
            metrics: metrics.clone(),
            on_free: on_free.clone(),
            is_computed: false,
        }
    }

    /// Notes that computing on the group has ended: the remaining work waits for the disk.
    pub fn computed(&mut self) {
        if !std::mem::replace(&mut self.is_computed, true) {
            self.in_flight.computing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for GroupSlot {
    fn drop(&mut self) {
        self.computed();
        let in_flight = &self.in_flight;
        let operations = self.tag.operations as usize;
        in_flight.operations.fetch_sub(operations, Ordering::AcqRel);
        in_flight.groups.fetch_sub(1, Ordering::AcqRel);
        self.metrics.group_ended();
        yield_point();
        (self.on_free)();
    }
}

impl fmt::Debug for GroupSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupSlot")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_the_cores_that_nothing_else_keeps_busy() {
        let shards = |groups| free_shards(4, groups, 0);
        assert_eq!([0, 1, 2, 3, 4, 9].map(shards), [4, 3, 2, 1, 1, 1]);
        assert_eq!(free_shards(4, 0, 2), 2);
        assert_eq!(free_shards(1, 0, 0), 1);
    }
}
