//! The adaptive controller: a thread that ends a window of measurements at intervals, asks the controllers for changes,
//! and carries them out. It also watches the configuration file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::controls::Controls;
use super::governor::Governor;
use super::settings::{ControlSettings, Limits};
use super::watch::Watch;
use crate::config::runtime::threads;
use crate::config::{Config, ControlMode};
use crate::decisions::{Latencies, Window};
use crate::metrics::MetricsSnapshot;
use crate::runtime::clock;
use crate::runtime::wait::receive_until;

/// Time between two checks of the configuration and its file.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Most parts of the key space that are kept in memory if the tree is bounded.
const HOT_PREFIXES_MAX: usize = 16;
/// Number of submissions that are needed to judge a percentile.
const SAMPLES_MIN: u64 = 100;
/// Number of bytes of a shared budget that the value cache and the tree each keep in any case.
const SHARE_BYTES_MIN: u64 = 1 << 20;

/// The limits that a configuration sets for the controllers.
fn scope(config: &Config) -> (ControlSettings, Limits) {
    let control = &config.control;
    let is_bounded = config.memory.budget_bytes > 0;
    let settings = ControlSettings {
        target_p99_ms: control.target_p99_ms,
        samples_min: SAMPLES_MIN,
        batch_size: control.mode == ControlMode::Adaptive,
        admission: control.mode == ControlMode::Adaptive,
        workers: control.workers == ControlMode::Adaptive,
        caches: config.memory.shared,
        hot_prefixes_max: if is_bounded { HOT_PREFIXES_MAX } else { 0 },
    };
    let limits = Limits {
        group_operations_min: control.group_operations_min,
        group_operations_max: control.group_operations_max,
        in_flight_operations_min: control.group_operations_min,
        in_flight_operations_max: config.submit.in_flight_operations_max as u64,
        groups_in_flight_max: config.group.in_flight_max as u64,
        read_threads: threads(config.workers.read_threads) as u64,
        value_cache_bytes_min: SHARE_BYTES_MIN,
        tree_bytes_min: SHARE_BYTES_MIN,
    };
    (settings, limits)
}

/// The thread's state.
pub struct Controller {
    controls: Arc<Controls>,
    scope: (ControlSettings, Limits),
    governor: Governor,
    watch: Option<Watch>,
    /// Number of the last window.
    number: u64,
    /// The end of the last window, in microseconds since the engine was opened.
    ended_us: u64,
    /// The metrics at that time.
    before: MetricsSnapshot,
    /// Latencies of groups sealed under the current cap, in the last window.
    latencies: Latencies,
}

impl Controller {
    /// Creates the controller; the first window begins now.
    pub fn new(controls: Arc<Controls>, watch: Option<Watch>) -> Self {
        let scope = scope(&controls.config());
        Self {
            governor: Governor::new(&scope.0, &scope.1),
            scope,
            ended_us: controls.metrics.uptime_us(),
            before: controls.metrics.snapshot(),
            number: 0,
            latencies: Latencies::default(),
            controls,
            watch,
        }
    }

    /// Works until the sender of `stop` is gone.
    pub fn run(mut self, stop: &Receiver<()>) {
        let mut ended = clock::now();
        loop {
            let window = Duration::from_millis(self.controls.config().control.window_ms);
            let look_at = (ended + window).min(clock::now() + LOOK_INTERVAL);
            match receive_until(stop, Some(look_at)) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            self.look();
            let now = clock::now();
            if now >= ended + window {
                ended = now;
                self.end_window_or_start_over();
            }
        }
    }

    /// Reloads the configuration file if it has changed.
    fn look(&mut self) {
        if let Some(new) = self.watch.as_mut().and_then(Watch::look) {
            // A refusal is recorded among the decisions; there is no caller to tell.
            let _ = self.controls.reload(new);
        }
    }

    /// After a panic, a controller loses what it has learned; the engine continues.
    fn end_window_or_start_over(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.end_window())).is_err() {
            self.governor = Governor::new(&self.scope.0, &self.scope.1);
        }
    }

    fn end_window(&mut self) {
        // A reload waits meanwhile, and so overrides concurrent decisions.
        let controls = self.controls.clone();
        let _one_at_a_time = controls.lock();
        let scope = scope(&controls.config());
        if scope != self.scope {
            self.governor.reconfigure(&scope.0, &scope.1);
            self.scope = scope;
        }
        let window = self.measure();
        controls.windows.push(window);
        self.governor.touch(controls.state.access_sampler.take());
        for proposal in self.governor.decide(&window, &self.latencies) {
            controls.carry_out(window.length_us, proposal);
        }
    }

    /// Returns the window that ends now.
    fn measure(&mut self) -> Window {
        let controls = &self.controls;
        let (settings, values) = (&controls.settings, &controls.state.values);
        let others = controls.state.measure_memory().sum();
        settings.leave_to_tree(others);
        controls.show_bounds();
        let now = controls.metrics.snapshot();
        let now_us = controls.metrics.uptime_us();
        let checkpoint_ran = controls.checkpoint_running.load(Ordering::Relaxed)
            || now.checkpoints > self.before.checkpoints;
        self.number += 1;
        let mut window = Window {
            number: self.number,
            ended_us: now_us,
            length_us: now_us - self.ended_us,
            group_operations_max: settings.group_operations_max.get() as u64,
            in_flight_operations_max: controls.admission.operations_max(),
            tree_parallelism: settings.tree_parallelism.get() as u64,
            hash_parallelism: settings.hash_parallelism.get() as u64,
            proof_parallelism: settings.proof_parallelism.get() as u64,
            operations_waiting: now.operations_waiting,
            groups_in_flight: now.groups_in_flight,
            checkpoint_ran,
            value_cache_bytes_max: values.cache_bytes_max(),
            value_cache_near_bytes: values.cache_near_bytes(),
            tree_bytes_max: settings.tree_bytes_max(),
            tree_bytes: now.tree_bytes,
            ..counted(&self.before, &now)
        };
        let interval = &controls.metrics.interval;
        interval.end(&mut window, &mut self.latencies);
        (self.before, self.ended_us) = (now, now_us);
        window
    }
}

/// Returns a window with the counts between two snapshots of the metrics.
fn counted(before: &MetricsSnapshot, now: &MetricsSnapshot) -> Window {
    let memory_hits = now.memory_hits - before.memory_hits;
    let value_cache_hits = now.cache_hits - before.cache_hits;
    let store_reads = now.store_reads - before.store_reads;
    let absent_reads = now.absent_reads - before.absent_reads;
    Window {
        submissions: now.submissions - before.submissions,
        operations_accepted: now.operations - before.operations,
        reads: memory_hits + value_cache_hits + store_reads + absent_reads,
        proofs: now.keys_proven - before.keys_proven,
        memory_hits,
        value_cache_hits,
        value_cache_misses: now.cache_misses - before.cache_misses,
        value_cache_near_misses: now.cache_near_misses - before.cache_near_misses,
        pages_evicted: now.pages_evicted - before.pages_evicted,
        pages_restored: now.pages_restored - before.pages_restored,
        ..Window::default()
    }
}
