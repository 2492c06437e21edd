//! What is in flight: groups between sealing and durability with their operations, and batches that are prepared.
//!
//! A group takes a slot when it is sealed and carries it along. Wherever the group is dropped, in the last stage or
//! in a failing one, the slot is free again and ingest is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;
use crate::metrics::group::GroupTag;
use crate::runtime::wait::yield_point;

/// Counts what is between sealing and durability.
#[derive(Debug, Default)]
pub struct InFlight {
    groups: AtomicUsize,
    operations: AtomicUsize,
    /// Groups that persist does not have yet.
    computing: AtomicUsize,
    /// Batches that their callers prepare.
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

    /// Returns the groups that a stage computes on, and the batches that are prepared: each keeps a core busy.
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

/// Called when a slot is free again.
pub type OnFree = Arc<dyn Fn() + Send + Sync>;

/// A place among the groups in flight. Dropping it frees the place.
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

    /// Notes that nothing is computed on the group any more: what is left to do waits for the disk.
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
