//! What a change of the cap did: medians of windows before and after it, and the verdict.

use super::GAIN_MIN;
use crate::adaptive::observation::{Observation, typical};
use crate::decisions::Evidence;

/// A difference that two windows are enough for.
const GAIN_CLEAR: f64 = 0.15;
/// Windows that a difference which is not clear is judged by, beside the first one, which is mixed.
const TRIAL_WINDOWS: usize = 3;
/// What a change of the latency must be, to be kept for its sake.
const LATENCY_GAIN_MIN: f64 = 0.10;
/// What a small trial must give: a gain that is not chance.
const SMALL_GAIN_MIN: f64 = 0.05;

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    Throughput,
    Latency,
}

/// A change whose effect is being watched.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) aim: Aim,
    /// A small step at rest, not one of the search.
    pub(super) small: bool,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) before: Level,
    pub(super) seen: Vec<Observation>,
}

/// Medians of a few observations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) rate: f64,
    pub(super) p99_us: f64,
    pub(super) inside: f64,
}

impl Level {
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::InFlight {
            operations: self.inside as u64,
            rate: self.rate as u64,
            p99_us: self.p99_us as u64,
        }
    }
}

impl Trial {
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::Trial {
            rate_before: self.before.rate as u64,
            rate_after: self.rate() as u64,
            p99_before_us: self.before.p99_us as u64,
            p99_after_us: self.p99_us() as u64,
        }
    }

    /// The first window is mixed with what was under way before, so it counts only alone.
    pub(super) fn settled(&self) -> &[Observation] {
        match self.seen.as_slice() {
            [_, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        typical(self.settled().iter().map(|seen| seen.rate))
    }

    /// Whether each window shows a gain that is not chance, the mixed one too: a single one may be lucky.
    pub(super) fn clearly_more(&self) -> bool {
        let least = self.before.rate * (1.0 + GAIN_CLEAR);
        self.seen.iter().all(|seen| seen.rate >= least)
    }

    pub(super) fn gain(&self) -> f64 {
        self.rate() / self.before.rate.max(1.0) - 1.0
    }

    pub(super) fn p99_us(&self) -> f64 {
        typical(self.settled().iter().map(|seen| seen.p99_us))
    }

    /// Whether it helped, once that can be said.
    pub(super) fn verdict(&self, target_us: f64) -> Option<bool> {
        let gain = self.gain();
        let enough = self.seen.len() > TRIAL_WINDOWS;
        match self.aim {
            Aim::Throughput => {
                let doublings = (self.to as f64 / self.from as f64).log2().abs();
                let needed = if self.small {
                    SMALL_GAIN_MIN
                } else {
                    GAIN_MIN * doublings.max(0.5)
                };
                let late = self.before.p99_us <= target_us && self.p99_us() > target_us;
                let clear = self.seen.len() > 1 && (gain <= -GAIN_CLEAR || self.clearly_more());
                // A small step must show in each window.
                let chance = self.small
                    && self
                        .settled()
                        .iter()
                        .any(|seen| seen.rate < self.before.rate);
                // A small gain is not worth one more window above the target.
                let harm = self.small && late && self.seen.len() > 1;
                (enough || clear || harm).then_some(gain >= needed && !late && !chance)
            }
            Aim::Latency => {
                let better = self.p99_us() <= self.before.p99_us * (1.0 - LATENCY_GAIN_MIN);
                let harm = gain < -0.05 && self.p99_us() > target_us * 0.9;
                let enough = self.seen.len() >= TRIAL_WINDOWS
                    || (gain <= -GAIN_CLEAR && self.seen.len() > 1);
                enough.then_some(better && !harm)
            }
        }
    }
}
