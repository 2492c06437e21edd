//! Groups in flight: how many there are, and how many operations they have.
//!
//! A group takes its slot when it is sealed and carries it along; wherever it is dropped, in the last stage or in a
//! failing one, the slot is free again and ingest is told. Not here: what submissions may be inside at all (`credit`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Recipient;

use crate::message::{GroupTag, Room};
use crate::metrics::Metrics;

/// What is between sealing and durability.
#[derive(Debug, Default)]
pub struct InFlight {
    groups: AtomicUsize,
    operations: AtomicUsize,
}

impl InFlight {
    pub fn groups(&self) -> usize {
        self.groups.load(Ordering::Acquire)
    }

    pub fn operations(&self) -> usize {
        self.operations.load(Ordering::Acquire)
    }
}

/// A group's place among the groups in flight; dropping it makes room for the next.
#[derive(Debug)]
pub struct GroupSlot {
    pub tag: GroupTag,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
    ingest: Recipient<Room>,
}

impl GroupSlot {
    pub fn take(
        tag: GroupTag,
        in_flight: &Arc<InFlight>,
        metrics: &Arc<Metrics>,
        ingest: Recipient<Room>,
    ) -> Self {
        let operations = tag.operations as usize;
        in_flight.operations.fetch_add(operations, Ordering::AcqRel);
        in_flight.groups.fetch_add(1, Ordering::AcqRel);
        metrics.group_began();
        Self {
            tag,
            in_flight: in_flight.clone(),
            metrics: metrics.clone(),
            ingest,
        }
    }
}

impl Drop for GroupSlot {
    fn drop(&mut self) {
        let in_flight = &self.in_flight;
        let operations = self.tag.operations as usize;
        in_flight.operations.fetch_sub(operations, Ordering::AcqRel);
        in_flight.groups.fetch_sub(1, Ordering::AcqRel);
        self.metrics.group_ended();
        self.ingest.do_send(Room);
    }
}
