//! The settings that decisions and reloads change in a running engine, and the record of every change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, MutexGuard};

use super::decision_log::DecisionLog;
use super::governor::Proposal;
use super::reload_error::{ReloadError, changes_taken};
use crate::admission::Admission;
use crate::config::Config;
use crate::config::runtime::RuntimeSettings;
use crate::decisions::{Change, Reason, Seen, Window, Work};
use crate::health::Health;
use crate::metrics::{Bounds, Metrics};
use crate::state::State;

/// Number of windows that are kept.
const WINDOWS_KEPT: usize = 1200;

/// The last windows.
#[derive(Debug, Default)]
pub struct Windows {
    ring: Mutex<VecDeque<Window>>,
}

impl Windows {
    /// Adds the next window and drops the oldest if there are too many.
    pub fn push(&self, window: Window) {
        let mut ring = self.ring.lock();
        if ring.len() == WINDOWS_KEPT {
            ring.pop_front();
        }
        ring.push_back(window);
    }

    /// Returns the windows after a number, oldest first.
    pub fn since(&self, number: u64) -> Vec<Window> {
        let ring = self.ring.lock();
        let later = ring.iter().filter(|window| window.number > number);
        later.copied().collect()
    }
}

/// The settings and limits that decisions and reloads change.
pub struct Controls {
    /// Settings in force.
    pub settings: Arc<RuntimeSettings>,
    /// Permits, whose limit is changed.
    pub admission: Arc<Admission>,
    /// The value cache, the limits of versions, and the access sampler.
    pub state: Arc<State>,
    /// Measurements.
    pub metrics: Arc<Metrics>,
    /// The first failure.
    pub health: Arc<Health>,
    /// True while a checkpoint runs.
    pub checkpoint_running: Arc<AtomicBool>,
    /// The last windows.
    pub windows: Windows,
    /// The last decisions.
    pub decisions: DecisionLog,
    /// Held while a configuration replaces another, and while decisions are made.
    pub one_at_a_time: Mutex<()>,
}

impl std::fmt::Debug for Controls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Controls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Controls {
    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.settings.config()
    }

    /// Locks out reloads and decisions.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock()
    }

    /// Replaces the configuration of a running engine. The change is atomic, overrides concurrent decisions, and is
    /// recorded whether it was made or refused.
    ///
    /// # Errors
    ///
    /// Fails if the new configuration is invalid or changes a static key; nothing has changed then.
    pub fn reload(&self, new: Result<Config, ReloadError>) -> Result<(), ReloadError> {
        let _one_at_a_time = self.lock();
        let taken = self.replace(new);
        if let Err(error) = &taken {
            let message = error.to_string();
            self.record_reload(Change::ReloadRefused { message });
            self.metrics.reload_refused();
        }
        taken
    }

    fn replace(&self, new: Result<Config, ReloadError>) -> Result<(), ReloadError> {
        self.health.check()?;
        let (old, new) = (self.config(), new?);
        let changes = changes_taken(&old, &new)?;
        let mode_changes = old.control.mode != new.control.mode;
        let limit = new.submit.in_flight_operations_max;
        if mode_changes || old.submit.in_flight_operations_max != limit {
            self.admission.set_operations_max(limit as u64);
        }
        self.admission
            .set_bytes_max(new.submit.in_flight_bytes_max as u64);
        self.state.versions.limit(new.versions_within_budget());
        if old.cache.value_bytes_max != new.cache.value_bytes_max {
            let values = &self.state.values;
            values.set_cache_bytes_max(new.cache.value_bytes_max);
        }
        self.settings.replace(new);
        self.show_bounds();
        for change in changes {
            let (key, from, to) = (change.key, change.from, change.to);
            self.record_reload(Change::Setting { key, from, to });
        }
        self.metrics.reloaded();
        Ok(())
    }

    /// Sets the metrics of the limits in force.
    pub fn show_bounds(&self) {
        let settings = &self.settings;
        self.metrics.bounds(&Bounds {
            group_operations_max: settings.group_operations_max.get() as u64,
            in_flight_operations_max: self.admission.operations_max(),
            tree_parallelism: settings.tree_parallelism.get() as u64,
            hash_parallelism: settings.hash_parallelism.get() as u64,
            proof_parallelism: settings.proof_parallelism.get() as u64,
            value_cache_bytes_max: self.state.values.cache_bytes_max(),
            tree_bytes_max: settings.tree_bytes_max(),
        });
    }

    /// Puts a proposal in force and records it.
    pub fn carry_out(&self, window_us: u64, proposal: Proposal) {
        let settings = &self.settings;
        match &proposal.change {
            Change::GroupOperationsMax { to, .. } => {
                settings.group_operations_max.set(*to as usize);
            }
            Change::InFlightOperationsMax { to, .. } => self.admission.set_operations_max(*to),
            Change::Parallelism { work, to, .. } => {
                let parallelism = match work {
                    Work::Tree => &settings.tree_parallelism,
                    Work::Hash => &settings.hash_parallelism,
                    Work::Proof => &settings.proof_parallelism,
                };
                parallelism.set(*to as usize);
            }
            // The tree has what is left of the budget.
            Change::ValueCacheBytes { to, .. } => self.state.values.set_cache_bytes_max(*to),
            Change::HotPrefixes { prefixes } => settings.set_hot_prefixes(prefixes),
            // Only reloads record these.
            Change::Setting { .. } | Change::ReloadRefused { .. } => {}
        }
        self.show_bounds();
        self.record(window_us, proposal.change, proposal.reason, proposal.seen);
    }

    fn record_reload(&self, change: Change) {
        self.record(0, change, Reason::Reloaded, Seen::default());
    }

    /// Records a decision and then counts it, so that a reader who sees the count finds the decision.
    fn record(&self, window_us: u64, change: Change, reason: Reason, seen: Seen) {
        let at_us = self.metrics.uptime_us();
        self.decisions
            .record(at_us, window_us, change.clone(), reason, seen);
        self.metrics.decided(&change, reason);
    }
}
