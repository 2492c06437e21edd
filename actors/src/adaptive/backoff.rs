//! Pauses between attempts: each failure doubles the next pause, as in truncated exponential backoff.

/// First and longest pause, in windows.
const PAUSE_MIN: u32 = 32;
const PAUSE_MAX: u32 = 1024;

/// The time until an attempt may be repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    left: u32,
    next: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            left: 0,
            next: PAUSE_MIN,
        }
    }
}

impl Backoff {
    /// Counts a window.
    pub(super) fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Returns whether the pause is over.
    pub(super) fn is_due(&self) -> bool {
        self.left == 0
    }

    /// Takes the outcome of an attempt: after a failure it pauses, after a success it starts again with a short pause.
    pub(super) fn note(&mut self, helped: bool) {
        *self = if helped {
            Self::default()
        } else {
            Self {
                left: self.next,
                next: (self.next * 2).min(PAUSE_MAX),
            }
        };
    }
}
