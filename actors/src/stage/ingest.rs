//! Ingest: submissions come in with their place fixed; groups go out.
//!
//! Self-clocking: a group is sealed as soon as the pipeline has room and something waits, so that
//! groups are small while there is little to do and grow by themselves under load, each to its share of
//! what is inside, so that others overlap with it. A submission is never split; one with metadata is the
//! last of its group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler};

use super::serve;
use super::tree::TreeStage;
use crate::adaptive::group_share;
use crate::background::Chore;
use crate::failure::Stage;
use crate::in_flight::GroupSlot;
use crate::message::{ClosedBy, Drain, GroupTag, Halt, LingerOver, Room, SealedGroup, Submission};
use crate::metrics::interval::micros;
use crate::shared::Shared;

/// Longest time until a group that lingers is looked at again: it may be told meanwhile to linger less.
const LINGER_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What waits to be sealed, in order.
enum Pending {
    Submission(Box<Submission>),
    Drain(Drain),
}

pub struct IngestStage {
    shared: Arc<Shared>,
    tree: Addr<TreeStage>,
    keeper: Sender<Chore>,
    pending: VecDeque<Pending>,
    operations: usize,
    bytes: usize,
    /// Submissions that must not wait for others: those with metadata, and all before a drain.
    urgent: usize,
    /// When the keeper was last asked to wake this stage.
    wake_at: Option<Instant>,
    /// The version that the last group becomes.
    version: u64,
}

impl IngestStage {
    /// Goes on after `version`.
    pub fn new(
        shared: Arc<Shared>,
        tree: Addr<TreeStage>,
        keeper: Sender<Chore>,
        version: u64,
    ) -> Self {
        Self {
            version,
            shared,
            tree,
            keeper,
            pending: VecDeque::new(),
            operations: 0,
            bytes: 0,
            urgent: 0,
            wake_at: None,
        }
    }

    fn push(&mut self, pending: Pending) {
        match &pending {
            Pending::Submission(submission) => {
                self.operations += submission.batch.operations;
                self.bytes += submission.batch.bytes;
                self.urgent += usize::from(!submission.batch.metadata.is_empty());
            }
            Pending::Drain(_) => self.urgent += 1,
        }
        self.pending.push_back(pending);
        self.shared.metrics.operations_waiting(self.operations);
    }

    /// Seals and forwards as much as there is room for.
    fn advance(&mut self, context: &Context<Self>) {
        while let Some(next) = self.pending.front() {
            if let Pending::Drain(_) = next {
                self.pass_drain();
                continue;
            }
            if self.must_wait(context) || !self.seal_and_forward(context) {
                return;
            }
        }
    }

    fn pass_drain(&mut self) {
        if let Some(Pending::Drain(drain)) = self.pending.pop_front() {
            self.urgent -= 1;
            self.tree.do_send(drain);
        }
    }

    /// Says whether the engine is well.
    fn seal_and_forward(&mut self, context: &Context<Self>) -> bool {
        let begun_us = self.shared.metrics.uptime_us();
        let sent_at = match self.pending.front() {
            Some(Pending::Submission(first)) => first.sent_at,
            _ => Instant::now(),
        };
        let shared = self.shared.clone();
        match serve(&shared, Stage::Ingest, sent_at, || Ok(self.seal(context))) {
            Some(group) => {
                shared
                    .metrics
                    .span(Stage::Ingest, &group.slot.tag, begun_us);
                self.tree.do_send(group);
                true
            }
            None => {
                self.halt();
                false
            }
        }
    }

    fn must_wait(&mut self, context: &Context<Self>) -> bool {
        let config = self.shared.config();
        let group = &config.group;
        let in_flight = self.shared.in_flight.groups();
        if in_flight >= group.in_flight_max {
            return true;
        }
        let operations_max = self.shared.settings.group_operations_max.get();
        let full = self.operations >= operations_max || self.bytes >= group.bytes_max;
        if group.linger_ms == 0 || full || self.urgent > 0 {
            return false;
        }
        let Some(Pending::Submission(first)) = self.pending.front() else {
            return false;
        };
        // Counted from its acceptance: it may have waited for room already.
        let until = first.sent_at + Duration::from_millis(group.linger_ms);
        let now = Instant::now();
        if until <= now {
            return false;
        }
        let is_woken = self.wake_at.is_some_and(|at| now < at && at <= until);
        if !is_woken {
            let at = until.min(now + LINGER_LOOK_INTERVAL);
            self.wake_at = Some(at);
            let wake = context.address().recipient();
            // A keeper that is gone means that the engine is going too.
            let _ = self.keeper.send(Chore::Wake { at, wake });
        }
        true
    }

    fn seal(&mut self, context: &Context<Self>) -> SealedGroup {
        let bounds = self.bounds();
        let (submissions, closed_by) = self.take_group(bounds);
        self.version += 1;
        let sealed_at = Instant::now();
        let operations = submissions.iter().map(|next| next.batch.operations as u64);
        let tag = GroupTag {
            version: self.version,
            operations: operations.sum(),
            operations_max: bounds.operations_max as u64,
            closed_by,
            operations_waited_us: waited_us(&submissions, sealed_at),
            sealed_at,
        };
        let (in_flight, metrics) = (&self.shared.in_flight, &self.shared.metrics);
        let slot = GroupSlot::take(tag, in_flight, metrics, context.address().recipient());
        metrics.group_sealed(&tag);
        metrics.operations_waiting(self.operations);
        SealedGroup {
            submissions,
            slot,
            sent_at: tag.sealed_at,
        }
    }

    fn bounds(&self) -> GroupBounds {
        let group = &self.shared.config().group;
        let inside = self.operations + self.shared.in_flight.operations();
        GroupBounds {
            operations_max: self.shared.settings.group_operations_max.get(),
            bytes_max: group.bytes_max,
            share: group_share(inside as u64, group.in_flight_max as u64) as usize,
        }
    }

    /// What waits, as far as it fits; the first in any case. And what ended it.
    fn take_group(&mut self, bounds: GroupBounds) -> (VecDeque<Submission>, ClosedBy) {
        let mut submissions = VecDeque::new();
        let (mut operations, mut bytes) = (0, 0);
        while let Some(Pending::Submission(next)) = self.pending.front() {
            let with_next = (operations + next.batch.operations, bytes + next.batch.bytes);
            let closed_by = bounds.close_before(with_next.0, with_next.1);
            if closed_by != ClosedBy::Nothing && !submissions.is_empty() {
                return (submissions, closed_by);
            }
            let Some(Pending::Submission(submission)) = self.pending.pop_front() else {
                break;
            };
            (operations, bytes) = with_next;
            self.operations -= submission.batch.operations;
            self.bytes -= submission.batch.bytes;
            let last = !submission.batch.metadata.is_empty();
            self.urgent -= usize::from(last);
            submissions.push_back(*submission);
            if last {
                break;
            }
        }
        (submissions, bounds.closed_at(operations, bytes))
    }

    fn halt(&mut self) {
        self.pending.clear();
        (self.operations, self.bytes, self.urgent) = (0, 0, 0);
        self.shared.metrics.operations_waiting(0);
    }
}

/// How large a group may get.
#[derive(Clone, Copy)]
struct GroupBounds {
    operations_max: usize,
    bytes_max: usize,
    /// Operations, so that others overlap with it.
    share: usize,
}

impl GroupBounds {
    /// What closes a group before one more submission would make it so large.
    fn close_before(self, operations: usize, bytes: usize) -> ClosedBy {
        if operations > self.operations_max {
            return ClosedBy::Operations;
        }
        if bytes > self.bytes_max {
            return ClosedBy::Bytes;
        }
        if operations > self.share {
            return ClosedBy::Share;
        }
        ClosedBy::Nothing
    }

    /// What a group of this size has reached, whether more waits or not.
    fn closed_at(self, operations: usize, bytes: usize) -> ClosedBy {
        if operations >= self.operations_max {
            return ClosedBy::Operations;
        }
        if bytes >= self.bytes_max {
            return ClosedBy::Bytes;
        }
        ClosedBy::Nothing
    }
}

/// How long the operations of submissions have waited, all of them together, microseconds.
fn waited_us(submissions: &VecDeque<Submission>, until: Instant) -> u64 {
    let waited_us = |submission: &Submission| {
        let waited = micros(until.saturating_duration_since(submission.sent_at));
        waited.saturating_mul(submission.batch.operations as u64)
    };
    let waited = submissions.iter().map(waited_us);
    waited.fold(0, u64::saturating_add)
}

impl Actor for IngestStage {
    type Context = Context<Self>;
}

impl Handler<Submission> for IngestStage {
    type Result = ();

    fn handle(&mut self, submission: Submission, context: &mut Context<Self>) {
        self.push(Pending::Submission(Box::new(submission)));
        self.advance(context);
    }
}

impl Handler<Room> for IngestStage {
    type Result = ();

    fn handle(&mut self, _: Room, context: &mut Context<Self>) {
        self.advance(context);
    }
}

impl Handler<LingerOver> for IngestStage {
    type Result = ();

    fn handle(&mut self, _: LingerOver, context: &mut Context<Self>) {
        self.advance(context);
    }
}

impl Handler<Drain> for IngestStage {
    type Result = ();

    fn handle(&mut self, drain: Drain, context: &mut Context<Self>) {
        self.push(Pending::Drain(drain));
        self.advance(context);
    }
}

impl Handler<Halt> for IngestStage {
    type Result = ();

    fn handle(&mut self, _: Halt, _: &mut Context<Self>) {
        self.halt();
    }
}
