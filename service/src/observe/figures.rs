//! The figures that are read from an engine when metrics are requested: its limits, its failure, and its followers.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use trunkline::{Config, Engine, EngineFailure, FeedCursor, Replica, Span};

use crate::observe::table::{self, FailureReason};

/// A running engine or replica that is observed.
pub trait Observed: Send + Sync + 'static {
    /// Returns its current figures.
    fn figures(&self) -> Figures;

    /// Returns the microseconds since it was opened.
    fn uptime_us(&self) -> u64;

    /// Returns the spans from a position on, with the position after the last one: see [`Engine::spans_from`].
    fn spans_from(&self, place: u64) -> (Vec<Span>, u64);
}

/// The state of an engine at one moment, as far as it does not report it by itself.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its configuration.
    pub config: Arc<Config>,
    /// Its failure, if any.
    pub failure: Option<EngineFailure>,
    /// The cursors of its followers.
    pub cursors: Vec<FeedCursor>,
}

macro_rules! observed {
    ($($type:ty),+) => {$(
        impl Observed for $type {
            fn figures(&self) -> Figures {
                // Sets the resident memory, which is measured only on request.
                self.metrics();
                Figures {
                    config: self.config(),
                    failure: self.failure(),
                    cursors: self.cursors(),
                }
            }

            fn uptime_us(&self) -> u64 {
                self.uptime_us()
            }

            fn spans_from(&self, place: u64) -> (Vec<Span>, u64) {
                self.spans_from(place)
            }
        }
    )+};
}

observed!(Engine, Replica);

/// Names of engines and cursors that were reported. A removed cursor is reported as not-a-number.
static REPORTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

impl Figures {
    /// Sets the metrics to these figures.
    pub fn report(&self) {
        let (config, engine) = (&self.config, &self.config.engine.name);
        table::log_held_bytes_max(engine.clone()).set(config.log.held_bytes_max as f64);
        table::unflushed_bytes_max(engine.clone())
            .set(config.checkpoint.unflushed_bytes_max as f64);
        table::durable_target(engine.clone()).set(config.control.target_p99_ms as f64 / 1000.0);
        let failure = self.failure.as_ref().and_then(reason);
        for reason in FailureReason::ALL {
            let is_this = f64::from(failure == Some(*reason));
            table::failure_reason(engine.clone(), *reason).set(is_this);
        }
        self.report_cursors(engine);
    }

    fn report_cursors(&self, engine: &str) {
        let mut reported = REPORTED.lock();
        let mut gone: BTreeSet<_> = reported
            .iter()
            .filter(|(of, _)| of == engine)
            .cloned()
            .collect();
        for cursor in &self.cursors {
            let (of, name) = (engine.to_owned(), cursor.name.clone());
            table::cursor_version(of.clone(), name.clone()).set(cursor.version as f64);
            table::cursor_gap(of.clone(), name.clone()).set(f64::from(cursor.is_gap));
            gone.remove(&(of.clone(), name.clone()));
            reported.insert((of, name));
        }
        for (of, name) in gone {
            table::cursor_version(of.clone(), name.clone()).set(f64::NAN);
            table::cursor_gap(of.clone(), name.clone()).set(0.0);
            reported.remove(&(of, name));
        }
    }
}

/// Returns the reason for a failure. An engine that was shut down has not failed.
fn reason(failure: &EngineFailure) -> Option<FailureReason> {
    match failure {
        EngineFailure::Closed => None,
        EngineFailure::Panic { .. } | EngineFailure::Thread { .. } => Some(FailureReason::Panic),
        EngineFailure::Stage { .. } => Some(FailureReason::Stage),
        EngineFailure::Replaced(_) => Some(FailureReason::Replaced),
        EngineFailure::Diverged(_) => Some(FailureReason::Diverged),
        EngineFailure::Checkpoint { .. } => Some(FailureReason::Checkpoint),
    }
}
