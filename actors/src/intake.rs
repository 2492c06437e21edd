//! The intake: submissions whose place is fixed, until ingest takes them.
//!
//! Ingest takes all that wait at once. A caller wakes it only if ingest has something to do then, and not for each
//! submission.

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
    /// Operations that must wait before ingest is woken.
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
            // Once is enough, until ingest has come.
            waiting.wake_at = usize::MAX;
        }
        wakes
    }

    /// Moves all that wait into `taken`, which is empty.
    pub fn take(&self, taken: &mut Vec<Submission>) {
        let mut waiting = self.waiting.lock();
        std::mem::swap(&mut waiting.submissions, taken);
        waiting.operations = 0;
    }

    /// Asks for a wake-up once this many operations wait. Returns false if so many wait already.
    pub fn wake_at(&self, operations: usize) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.wake_at = operations;
        waiting.operations < operations
    }

    /// Drops all that waits, and all that comes from now on.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        let dropped = std::mem::take(&mut waiting.submissions);
        drop(waiting);
        // Without the lock: their waiters are told.
        drop(dropped);
    }
}
