//! The intake: accepted submissions in order, until ingest takes them.
//!
//! Ingest takes all waiting submissions at once. A caller wakes ingest only if there is something to do, and not for
//! each submission.

use parking_lot::Mutex;

use crate::message::Submission;

/// The queue between the callers and ingest.
#[derive(Debug)]
pub struct Intake {
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    submissions: Vec<Submission>,
    operations: usize,
    /// The number of waiting operations at which ingest is woken.
    wake_at: usize,
    is_closed: bool,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                submissions: Vec::new(),
                operations: 0,
                wake_at: 1,
                is_closed: false,
            }),
        }
    }
}

impl Intake {
    /// Adds a submission, or drops it if the intake is closed. Returns whether ingest must be woken.
    pub fn push(&self, submission: Submission) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            drop(waiting);
            return false;
        }
        let is_urgent = submission.ends_group();
        waiting.operations += submission.batch.operations;
        waiting.submissions.push(submission);
        let wakes = is_urgent || waiting.operations >= waiting.wake_at;
        if wakes {
            // One wake-up is enough, until ingest has come.
            waiting.wake_at = usize::MAX;
        }
        wakes
    }

    /// Moves all waiting submissions into `taken`, which must be empty.
    pub fn take(&self, taken: &mut Vec<Submission>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submissions, taken);
        waiting.operations = 0;
    }

    /// Requests a wake-up once this many operations wait. Returns false if that many wait already.
    pub fn wake_at(&self, operations: usize) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.wake_at = operations;
        waiting.operations < operations
    }

    /// Drops all waiting submissions, and all later ones.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        let dropped = std::mem::take(&mut waiting.submissions);
        drop(waiting);
        // They are dropped without the lock, since their waiters are told.
        drop(dropped);
    }
}
