//! Ingest: submissions come in with their place fixed; groups go out.
//!
//! A group is sealed as soon as a slot is free and a submission waits, so groups are small while there is little to do
//! and grow by themselves under load. With `group.linger_ms` the oldest submission first waits that long for others,
//! unless a full group or something urgent waits. `GroupLimits::closed_by` says where a group ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::adaptive::group_share;
use crate::context::StageContext;
use crate::failure::Stage;
use crate::in_flight::{GroupSlot, OnFree};
use crate::message::{Drain, IngestMessage, SealedGroup, StageMessage, Submission};
use crate::metrics::group::{ClosedBy, GroupTag};
use crate::runtime::clock::{self, micros};

/// Longest time until a lingering group is looked at again: a reload may have made it linger less.
const LINGER_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// An entry of the queue.
enum Queued {
    Submission(Box<Submission>),
    Drain(Drain),
}

/// The stage's state.
pub struct IngestStage {
    context: Arc<StageContext>,
    tree: Mailbox<StageMessage<SealedGroup>>,
    on_free: OnFree,
    queue: VecDeque<Queued>,
    operations: usize,
    bytes: usize,
    /// Entries that must not wait for others: submissions with metadata, and drains.
    urgent: usize,
    /// The time at which a lingering group is looked at again.
    look_at: Option<Instant>,
    /// The version that the last group becomes.
    version: u64,
}

impl IngestStage {
    /// Creates the stage; the next group becomes the version after `version`.
    pub fn new(
        context: Arc<StageContext>,
        tree: Mailbox<StageMessage<SealedGroup>>,
        own: Mailbox<IngestMessage>,
        version: u64,
    ) -> Self {
        Self {
            version,
            context,
            tree,
            on_free: Arc::new(move || own.send(IngestMessage::SlotFreed)),
            queue: VecDeque::new(),
            operations: 0,
            bytes: 0,
            urgent: 0,
            look_at: None,
        }
    }

    fn push(&mut self, submission: Box<Submission>) {
        self.operations += submission.batch.operations;
        self.bytes += submission.batch.bytes;
        self.urgent += usize::from(submission.has_metadata());
        self.queue.push_back(Queued::Submission(submission));
        self.context.metrics.operations_waiting(self.operations);
    }

    /// Seals and forwards as many groups as there are slots for.
    fn advance(&mut self) {
        self.look_at = None;
        loop {
            match self.queue.front() {
                None => return,
                Some(Queued::Drain(_)) => self.forward_drain(),
                Some(Queued::Submission(first)) => {
                    let sent_at = first.sent_at;
                    if self.must_wait(sent_at) || !self.seal_and_forward(sent_at) {
                        return;
                    }
                }
            }
        }
    }

    fn forward_drain(&mut self) {
        if let Some(Queued::Drain(drain)) = self.queue.pop_front() {
            self.urgent -= 1;
            self.tree.send(StageMessage::Drain(drain));
        }
    }

    /// Returns whether the engine is healthy.
    fn seal_and_forward(&mut self, sent_at: Instant) -> bool {
        let context = self.context.clone();
        let begun_us = context.metrics.uptime_us();
        let sealed = serve(&context, Stage::Ingest, sent_at, None, || Ok(self.seal()));
        let Some(group) = sealed else {
            self.abort();
            return false;
        };
        context
            .metrics
            .span(Stage::Ingest, &group.slot.tag, begun_us);
        self.tree.send(StageMessage::Work(group));
        true
    }

    /// Returns whether the next group, whose first submission was sent at this time, must not be sealed yet.
    fn must_wait(&mut self, first_sent_at: Instant) -> bool {
        let config = self.context.config();
        let group = &config.group;
        if self.context.in_flight.groups() >= group.in_flight_max {
            return true;
        }
        let operations_max = self.context.settings.group_operations_max.get();
        let is_full = self.operations >= operations_max || self.bytes >= group.bytes_max;
        if group.linger_ms == 0 || is_full || self.urgent > 0 {
            return false;
        }
        // Counted from acceptance: the submission may have waited for a slot already.
        let until = first_sent_at + Duration::from_millis(group.linger_ms);
        let now = clock::now();
        if until <= now {
            return false;
        }
        self.look_at = Some(until.min(now + LINGER_LOOK_INTERVAL));
        true
    }

    fn seal(&mut self) -> SealedGroup {
        let limits = self.limits();
        let (submissions, closed_by) = self.take_group(limits);
        self.version += 1;
        let sealed_at = clock::now();
        let operations = submissions.iter().map(|next| next.batch.operations as u64);
        let tag = GroupTag {
            version: self.version,
            operations: operations.sum(),
            operations_max: limits.operations_max as u64,
            closed_by,
            operations_waited_us: waited_us(&submissions, sealed_at),
            sealed_at,
        };
        let (in_flight, metrics) = (&self.context.in_flight, &self.context.metrics);
        let slot = GroupSlot::take(tag, in_flight, metrics, &self.on_free);
        metrics.group_sealed(&tag);
        metrics.operations_waiting(self.operations);
        SealedGroup {
            submissions,
            slot,
            sent_at: sealed_at,
        }
    }

    fn limits(&self) -> GroupLimits {
        let group = &self.context.config().group;
        let in_pipeline = self.operations + self.context.in_flight.operations();
        GroupLimits {
            operations_max: self.context.settings.group_operations_max.get(),
            bytes_max: group.bytes_max,
            share: group_share(in_pipeline as u64, group.in_flight_max as u64) as usize,
        }
    }

    /// Takes the submissions of the next group from the queue, and returns what closed it.
    fn take_group(&mut self, limits: GroupLimits) -> (VecDeque<Submission>, ClosedBy) {
        let mut submissions = VecDeque::new();
        let mut size = GroupSize::default();
        loop {
            let next = match self.queue.front() {
                Some(Queued::Submission(next)) => Some(&**next),
                _ => None,
            };
            if let Some(closed_by) = limits.closed_by(size, next) {
                return (submissions, closed_by);
            }
            if let Some(Queued::Submission(submission)) = self.queue.pop_front() {
                self.operations -= submission.batch.operations;
                self.bytes -= submission.batch.bytes;
                self.urgent -= usize::from(submission.has_metadata());
                size = size.with(&submission);
                submissions.push_back(*submission);
            }
        }
    }
}

impl Submission {
    fn has_metadata(&self) -> bool {
        !self.batch.metadata.is_empty()
    }
}

/// The size of a group that is being put together.
#[derive(Clone, Copy, Default)]
struct GroupSize {
    submissions: usize,
    operations: usize,
    bytes: usize,
    has_metadata: bool,
}

impl GroupSize {
    fn with(self, submission: &Submission) -> Self {
        Self {
            submissions: self.submissions + 1,
            operations: self.operations + submission.batch.operations,
            bytes: self.bytes + submission.batch.bytes,
            has_metadata: submission.has_metadata(),
        }
    }
}

/// Limits of one group.
#[derive(Clone, Copy)]
struct GroupLimits {
    operations_max: usize,
    bytes_max: usize,
    /// The group's share of the operations in the pipeline, so that other groups overlap with it.
    share: usize,
}

impl GroupLimits {
    /// Returns what closes a group of this size before `next`, or `None` while it takes `next`.
    ///
    /// A group closes when no submission waits, behind one with metadata, or when the next one would exceed a cap or
    /// its share; it takes the first in any case.
    fn closed_by(self, size: GroupSize, next: Option<&Submission>) -> Option<ClosedBy> {
        let Some(next) = next.filter(|_| !size.has_metadata) else {
            return Some(self.reached(size));
        };
        let with_next = size.with(next);
        if size.submissions == 0 {
            None
        } else if with_next.operations > self.operations_max {
            Some(ClosedBy::Operations)
        } else if with_next.bytes > self.bytes_max {
            Some(ClosedBy::Bytes)
        } else if with_next.operations > self.share {
            Some(ClosedBy::Share)
        } else {
            None
        }
    }

    /// Returns the cap that a group of this size has reached, whether more waits or not.
    fn reached(self, size: GroupSize) -> ClosedBy {
        if size.operations >= self.operations_max {
            ClosedBy::Operations
        } else if size.bytes >= self.bytes_max {
            ClosedBy::Bytes
        } else {
            ClosedBy::Nothing
        }
    }
}

/// Returns the sum of the times that the operations of submissions have waited, microseconds.
fn waited_us(submissions: &VecDeque<Submission>, until: Instant) -> u64 {
    let waited_us = |submission: &Submission| {
        let waited = micros(until.saturating_duration_since(submission.sent_at));
        waited.saturating_mul(submission.batch.operations as u64)
    };
    let waited = submissions.iter().map(waited_us);
    waited.fold(0, u64::saturating_add)
}

impl Actor for IngestStage {
    type Message = IngestMessage;

    fn handle(&mut self, message: IngestMessage) {
        match message {
            IngestMessage::Submission(submission) => self.push(submission),
            IngestMessage::SlotFreed => {}
            IngestMessage::Drain(drain) => {
                self.urgent += 1;
                self.queue.push_back(Queued::Drain(drain));
            }
        }
        self.advance();
    }

    fn idle(&mut self) {
        if self.look_at.is_some_and(|at| at <= clock::now()) {
            self.advance();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    fn abort(&mut self) {
        self.queue.clear();
        (self.operations, self.bytes, self.urgent) = (0, 0, 0);
        self.look_at = None;
        self.context.metrics.operations_waiting(0);
    }
}
