//! Ingest: takes submissions, whose order is fixed, and seals groups.
//!
//! A group is sealed as soon as a slot is free and enough operations wait, compared with those in flight: so groups are
//! small while there is little to do, grow by themselves under load, and have about the same size. With
//! `group.linger_ms` the oldest submission first waits that long for others, unless a full group or something urgent
//! waits. `GroupLimits::closed_by` decides where a group ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::serve;
use crate::actor::{Actor, Mailbox};
use crate::adaptive::{group_least, group_share};
use crate::context::StageContext;
use crate::failure::Stage;
use crate::in_flight::{GroupSlot, OnFree};
use crate::intake::Intake;
use crate::message::{Drain, IngestMessage, SealedGroup, StageMessage, Submission};
use crate::metrics::group::{ClosedBy, GroupTag};
use crate::runtime::clock::{self, micros};

/// The longest time until a lingering group is looked at again: a reload may have shortened its wait.
const LINGER_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// An entry of the queue.
enum Queued {
    Submission(Submission),
    Drain(Drain),
}

/// The stage's state.
pub struct IngestStage {
    context: Arc<StageContext>,
    tree: Mailbox<StageMessage<SealedGroup>>,
    on_free: OnFree,
    intake: Arc<Intake>,
    /// Submissions on their way from the intake to the queue; empty otherwise.
    taken: Vec<Submission>,
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
        intake: Arc<Intake>,
        version: u64,
    ) -> Self {
        Self {
            version,
            context,
            intake,
            taken: Vec::new(),
            tree,
            on_free: Arc::new(move || own.send(IngestMessage::SlotFreed)),
            queue: VecDeque::new(),
            operations: 0,
            bytes: 0,
            urgent: 0,
            look_at: None,
        }
    }

    /// Takes all submissions from the intake.
    fn take_in(&mut self) {
        self.intake.take(&mut self.taken);
        for submission in self.taken.drain(..) {
            self.operations += submission.batch.operations;
            self.bytes += submission.batch.bytes;
            self.urgent += usize::from(submission.ends_group());
            self.queue.push_back(Queued::Submission(submission));
        }
        self.context.metrics.operations_waiting(self.operations);
    }

    /// Seals and forwards groups until it has to wait.
    fn advance(&mut self) {
        loop {
            let Some(wait) = self.seal_all() else {
                return self.abort();
            };
            self.look_at = wait.look_at;
            if self.intake.wake_at(wait.operations) {
                return;
            }
            self.take_in();
        }
    }

    /// Seals and forwards a group for each free slot. Returns the next event to wait for, or `None` if the engine has
    /// failed.
    fn seal_all(&mut self) -> Option<Wait> {
        loop {
            match self.queue.front() {
                None => return Some(Wait::for_operations(1)),
                Some(Queued::Drain(_)) => self.forward_drain(),
                Some(Queued::Submission(first)) => {
                    let accepted_at = first.accepted_at;
                    if let Some(wait) = self.must_wait(accepted_at) {
                        return Some(wait);
                    }
                    self.seal_and_forward(accepted_at)?;
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

    /// Seals and forwards a group. Returns `None` if the engine has failed.
    fn seal_and_forward(&mut self, accepted_at: Instant) -> Option<()> {
        let context = self.context.clone();
        let begun_us = context.metrics.uptime_us();
        let seal = || Ok(self.seal());
        let group = serve(&context, Stage::Ingest, accepted_at, None, seal)?;
        context
            .metrics
            .span(Stage::Ingest, &group.slot.tag, begun_us);
        self.tree.send(StageMessage::Work(group));
        Some(())
    }

    /// Returns the event that the next group, whose first submission was accepted at this time, must wait for before it
    /// is sealed.
    fn must_wait(&self, first_accepted_at: Instant) -> Option<Wait> {
        let config = self.context.config();
        let group = &config.group;
        let in_flight = &self.context.in_flight;
        if in_flight.groups() >= group.in_flight_max {
            return Some(Wait::for_operations(usize::MAX));
        }
        let operations_max = self.context.settings.group_operations_max.get();
        let is_full = self.operations >= operations_max || self.bytes >= group.bytes_max;
        if is_full || self.urgent > 0 {
            return None;
        }
        let least = group_least(in_flight.operations() as u64) as usize;
        let least = least.min(operations_max);
        if self.operations < least {
            return Some(Wait::for_operations(least - self.operations));
        }
        if group.linger_ms == 0 {
            return None;
        }
        // Counted from acceptance: the submission may have waited for a slot already.
        let until = first_accepted_at + Duration::from_millis(group.linger_ms);
        let now = clock::now();
        (until > now).then(|| Wait {
            operations: 1,
            look_at: Some(until.min(now + LINGER_LOOK_INTERVAL)),
        })
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
            bytes: submissions.iter().map(|next| next.batch.bytes as u64).sum(),
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

    /// Takes the submissions of the next group from the queue, and returns the reason for which it was closed.
    fn take_group(&mut self, limits: GroupLimits) -> (Vec<Submission>, ClosedBy) {
        let mut submissions = Vec::with_capacity(self.queue.len());
        let mut size = GroupSize::default();
        loop {
            let next = match self.queue.front() {
                Some(Queued::Submission(next)) => Some(next),
                _ => None,
            };
            if let Some(closed_by) = limits.closed_by(size, next) {
                return (submissions, closed_by);
            }
            if let Some(Queued::Submission(submission)) = self.queue.pop_front() {
                self.operations -= submission.batch.operations;
                self.bytes -= submission.batch.bytes;
                self.urgent -= usize::from(submission.ends_group());
                size = size.with(&submission);
                submissions.push(submission);
            }
        }
    }
}

/// The event that ingest waits for.
struct Wait {
    /// The number of operations that must arrive, unless a slot becomes free before.
    operations: usize,
    /// The time at which a lingering group is looked at again.
    look_at: Option<Instant>,
}

impl Wait {
    fn for_operations(operations: usize) -> Self {
        Self {
            operations,
            look_at: None,
        }
    }
}

/// The size of a group that is being put together.
#[derive(Clone, Copy, Default)]
struct GroupSize {
    submissions: usize,
    operations: usize,
    bytes: usize,
    has_ended: bool,
}

impl GroupSize {
    fn with(self, submission: &Submission) -> Self {
        Self {
            submissions: self.submissions + 1,
            operations: self.operations + submission.batch.operations,
            bytes: self.bytes + submission.batch.bytes,
            has_ended: submission.ends_group(),
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
    /// Returns the reason for which a group of this size closes before `next`, or `None` if it takes `next`.
    ///
    /// A group closes when no submission waits, after one with metadata, or when the next one would exceed a cap or its
    /// share; it takes the first in any case.
    fn closed_by(self, size: GroupSize, next: Option<&Submission>) -> Option<ClosedBy> {
        let Some(next) = next.filter(|_| !size.has_ended) else {
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

    /// Returns the cap that a group of this size has reached, independently of further submissions.
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
fn waited_us(submissions: &[Submission], until: Instant) -> u64 {
    let waited_us = |submission: &Submission| {
        let waited = micros(until.saturating_duration_since(submission.accepted_at));
        waited.saturating_mul(submission.batch.operations as u64)
    };
    let waited = submissions.iter().map(waited_us);
    waited.fold(0, u64::saturating_add)
}

impl Actor for IngestStage {
    type Message = IngestMessage;

    fn handle(&mut self, message: IngestMessage) {
        self.take_in();
        match message {
            IngestMessage::Submitted | IngestMessage::SlotFreed => {}
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
        self.intake.close();
        self.queue.clear();
        (self.operations, self.bytes, self.urgent) = (0, 0, 0);
        self.look_at = None;
        self.context.metrics.operations_waiting(0);
    }
}

impl Drop for IngestStage {
    fn drop(&mut self) {
        self.intake.close();
    }
}
