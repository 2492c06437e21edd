//! Submissions with an idempotency key: those in flight and those that are remembered.
//!
//! `Engine::submit` looks a key up and takes it while it fixes the order of submissions, so of two submissions with one
//! key exactly one is accepted. A key is kept here while its submission is in flight, and then moves to the remembered
//! ones. Only these have a bound: a submission that is not durable yet is never forgotten. Versions without keys cost
//! one comparison and one lock that is never held for long.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use trunkline_core::hash::Digest;
use trunkline_core::store::idempotency_file::{KeyedSubmission, Remembered};

use crate::metrics::Metrics;
use crate::receipt::{Receipt, WeakReceipt};
use crate::state::remembered_keys::RememberedKeys;
use crate::state::versions::Version;

/// The submission that used a key first.
#[derive(Debug)]
pub enum Earlier {
    /// It is in flight. There is no receipt if the engine has failed since.
    InFlight(Option<Receipt>),
    /// It is durable.
    Durable(KeyedSubmission),
    /// It had other content.
    Other {
        /// The sequence number of that submission.
        sequence: u64,
    },
}

/// All keys that an engine knows.
#[derive(Debug)]
pub struct IdempotencyKeys {
    known: Mutex<Known>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Known {
    in_flight: HashMap<Digest, InFlight>,
    remembered: RememberedKeys,
}

/// A submission that was accepted, but is not durable yet.
#[derive(Debug)]
struct InFlight {
    submission: Digest,
    receipt: WeakReceipt,
}

impl IdempotencyKeys {
    /// Creates the keys from those remembered at the last durable version.
    pub fn new(remembered: RememberedKeys, metrics: Arc<Metrics>) -> Self {
        metrics.idempotency_keys(remembered.len());
        Self {
            known: Mutex::new(Known {
                in_flight: HashMap::new(),
                remembered,
            }),
            metrics,
        }
    }

    /// Returns the submission that used a key, if it is known. The caller must hold the sequencer until it has called
    /// [`Self::take`].
    pub fn earlier(&self, key_hash: &Digest, submission: &Digest) -> Option<Earlier> {
        let known = self.known.lock();
        if let Some(first) = known.in_flight.get(key_hash) {
            return Some(match first.submission == *submission {
                true => Earlier::InFlight(first.receipt.upgrade()),
                false => Earlier::Other {
                    sequence: first.receipt.sequence(),
                },
            });
        }
        let first = known.remembered.get(key_hash)?;
        Some(match first.submission == *submission {
            true => Earlier::Durable(*first),
            false => Earlier::Other {
                sequence: first.sequence,
            },
        })
    }

    /// Takes a key for a submission that is being accepted.
    pub fn take(&self, key_hash: Digest, submission: Digest, receipt: &Receipt) {
        let first = InFlight {
            submission,
            receipt: receipt.downgrade(),
        };
        self.known.lock().in_flight.insert(key_hash, first);
    }

    /// Remembers the submissions of a durable version, while `publish` makes it readable.
    pub fn settle<T>(&self, version: &Version, publish: impl FnOnce() -> T) -> T {
        let keyed = version.submissions.as_ref().map(|submissions| {
            let (before, outcomes) = (&submissions.provisional_before, &submissions.outcomes);
            KeyedSubmission::of_version(&version.record, before, outcomes)
        });
        let keyed = keyed.unwrap_or_default();
        let has_keys = !keyed.is_empty();
        let known = &mut *self.known.lock();
        let published = publish();
        for settled in &keyed {
            known.in_flight.remove(&settled.key_hash);
        }
        known.remembered.advance(version.number(), keyed);
        if has_keys {
            self.metrics.idempotency_keys(known.remembered.len());
        }
        published
    }

    /// Returns a copy of the remembered keys: 5 ms for 100,000 keys.
    pub fn remembered(&self) -> Remembered {
        self.known.lock().remembered.remembered()
    }

    /// Returns a copy of the keys remembered at the newest readable version, with the result of `read`, which is called
    /// at the same time.
    pub fn remembered_with<T>(&self, read: impl FnOnce() -> T) -> (T, Remembered) {
        let known = self.known.lock();
        (read(), known.remembered.remembered())
    }
}
