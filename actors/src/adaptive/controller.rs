//! The tuner: a thread that ends a window of measurements every so often, asks the controllers what follows
//! from it, and carries that out. It also looks whether the configuration file has changed.
//!
//! Not here: what follows from a window (`control`), and what is measured (`interval`, `metrics`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::adaptive::reload_error::{ReloadError, changes_taken};
use crate::adaptive::{ControlSettings, Governor, Limits, Proposal};
use crate::config::runtime::threads;
use crate::config::{Config, ConfigError, ControlMode};
use crate::decisions::{Change, Latencies, Reason, Seen, Window, Work};
use crate::failure::panic_message;
use crate::metrics::{Bounds, MetricsSnapshot};
use crate::shared::Shared;

/// Windows that are kept.
const WINDOWS_KEPT: usize = 1200;
/// Time between two looks at the configuration, its file and its windows' length.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Parts of the key space that are kept in memory, where the tree is bounded.
const HOT_PREFIXES_MAX: usize = 16;
/// Submissions that it takes to judge a percentile.
const SAMPLES_MIN: u64 = 100;
/// What of a shared budget the cache of values and the tree keep in any case, bytes.
const SHARE_BYTES_MIN: u64 = 1 << 20;

/// The last windows.
#[derive(Debug, Default)]
pub struct Windows {
    ring: Mutex<VecDeque<Window>>,
}

impl Windows {
    fn push(&self, window: Window) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == WINDOWS_KEPT {
            ring.pop_front();
        }
        ring.push_back(window);
    }

    /// Those after a number, oldest first.
    pub fn since(&self, number: u64) -> Vec<Window> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let later = ring.iter().filter(|window| window.number > number);
        later.copied().collect()
    }
}

/// How a configuration comes about anew.
type Rebuild = Box<dyn Fn(&Path) -> Result<Config, ConfigError> + Send>;

/// A configuration file that is looked at while the engine runs.
pub struct Watch {
    path: PathBuf,
    rebuild: Rebuild,
    /// What the file was like when it was last read.
    read: Option<Stamp>,
    /// What it was like at the last look.
    seen: Option<Stamp>,
}

/// What a file that was not changed keeps.
type Stamp = (SystemTime, u64);

impl Watch {
    pub fn new(path: PathBuf, rebuild: Rebuild) -> Self {
        let read = stamp(&path);
        Self {
            path,
            rebuild,
            read,
            seen: read,
        }
    }

    /// The configuration anew, if the file has changed since it was read, and has stayed as it is since the last look:
    /// one that is being written is not read by halves.
    fn look(&mut self) -> Option<Result<Config, ReloadError>> {
        let now = stamp(&self.path);
        let is_at_rest = std::mem::replace(&mut self.seen, now) == now;
        // A file that is being replaced is gone for a moment, or empty.
        if !is_at_rest || now == self.read || now.is_none_or(|(_, bytes)| bytes == 0) {
            return None;
        }
        self.read = now;
        let rebuild = AssertUnwindSafe(|| (self.rebuild)(&self.path));
        Some(match catch_unwind(rebuild) {
            Ok(config) => config.map_err(ReloadError::from),
            Err(payload) => Err(ReloadError::Panic {
                message: panic_message(&*payload),
            }),
        })
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Puts another configuration in place of the one that an engine runs with, or says why not; either way it is
/// recorded.
pub fn reload(shared: &Shared, new: Result<Config, ReloadError>) -> Result<(), ReloadError> {
    let _one_by_one = shared
        .reloading
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let taken = take_over(shared, new);
    if let Err(error) = &taken {
        let message = error.to_string();
        record(
            shared,
            0,
            Change::ReloadRefused { message },
            Reason::Reloaded,
            Seen::default(),
        );
        shared.metrics.reload_refused();
    }
    taken
}

fn take_over(shared: &Shared, new: Result<Config, ReloadError>) -> Result<(), ReloadError> {
    shared.health.check()?;
    let (old, new) = (shared.config(), new?);
    let changes = changes_taken(&old, &new)?;
    let comes_to_rest = old.control.mode != new.control.mode;
    if comes_to_rest || old.submit.in_flight_operations_max != new.submit.in_flight_operations_max {
        let operations = new.submit.in_flight_operations_max as u64;
        shared.credits.set_operations_max(operations);
    }
    shared
        .credits
        .set_bytes_max(new.submit.in_flight_bytes_max as u64);
    shared.state.versions.limit(new.versions.clone());
    if old.cache.value_bytes_max != new.cache.value_bytes_max {
        shared
            .state
            .values
            .set_cache_bytes_max(new.cache.value_bytes_max);
        // Of a shared budget both parts begin anew, or its sum would be another one.
        shared.settings.set_tree_bytes_max(new.memory.budget_bytes);
    }
    shared.settings.replace(new);
    show_bounds(shared);
    for change in changes {
        let (key, from, to) = (change.key, change.from, change.to);
        record(
            shared,
            0,
            Change::Setting { key, from, to },
            Reason::Reloaded,
            Seen::default(),
        );
    }
    shared.metrics.reloaded();
    Ok(())
}

/// Lets metrics show what is in force now.
pub fn show_bounds(shared: &Shared) {
    let settings = &shared.settings;
    shared.metrics.bounds(&Bounds {
        group_operations_max: settings.group_operations_max.get() as u64,
        in_flight_operations_max: shared.credits.operations_max(),
        tree_parallelism: settings.tree_parallelism.get() as u64,
        hash_parallelism: settings.hash_parallelism.get() as u64,
        proof_parallelism: settings.proof_parallelism.get() as u64,
        value_cache_bytes_max: shared.state.values.cache_bytes_max(),
        tree_bytes_max: settings.tree_bytes_max(),
    });
}

/// Records a decision of now, and counts it then: who sees the count finds the decision.
fn record(shared: &Shared, window_us: u64, change: Change, reason: Reason, seen: Seen) {
    let at_us = shared.metrics.uptime_us();
    shared
        .decisions
        .record(at_us, window_us, change.clone(), reason, seen);
    shared.metrics.decided(&change, reason);
}

/// What the controllers may do under a configuration.
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
        threads: threads(config.workers.threads) as u64,
        read_threads: threads(config.workers.read_threads) as u64,
        value_cache_bytes_min: SHARE_BYTES_MIN,
        tree_bytes_min: SHARE_BYTES_MIN,
    };
    (settings, limits)
}

/// The thread's own state.
pub struct Tuner {
    shared: Arc<Shared>,
    scope: (ControlSettings, Limits),
    governor: Governor,
    watch: Option<Watch>,
    number: u64,
    ended_us: u64,
    checkpoints: u64,
    before: Counters,
    latencies: Latencies,
}

impl Tuner {
    pub fn new(shared: Arc<Shared>, watch: Option<Watch>) -> Self {
        let scope = scope(&shared.config());
        let figures = shared.metrics.snapshot();
        Self {
            governor: Governor::new(&scope.0, &scope.1),
            scope,
            ended_us: shared.metrics.uptime_us(),
            before: Counters::of(&figures),
            checkpoints: figures.checkpoints,
            number: 0,
            latencies: Latencies::default(),
            shared,
            watch,
        }
    }

    /// Works until the sender of `stop` is gone.
    pub fn run(mut self, stop: &Receiver<()>) {
        let mut ended = Instant::now();
        loop {
            let window = Duration::from_millis(self.shared.config().control.window_ms);
            let left = (ended + window).saturating_duration_since(Instant::now());
            match stop.recv_timeout(left.min(LOOK_INTERVAL)) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            self.look();
            if ended.elapsed() >= window {
                ended = Instant::now();
                self.end_window_or_begin_anew();
            }
        }
    }

    /// Takes over what has changed in the configuration file.
    fn look(&mut self) {
        if let Some(new) = self.watch.as_mut().and_then(Watch::look) {
            // What was refused is recorded; there is nobody else to tell.
            let _ = reload(&self.shared, new);
        }
    }

    /// A controller that panics costs what it knew, not the engine.
    fn end_window_or_begin_anew(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.end_window())).is_err() {
            self.governor = Governor::new(&self.scope.0, &self.scope.1);
        }
    }

    fn end_window(&mut self) {
        // What is in force must not be replaced between being measured and being moved: whoever reloads meanwhile
        // waits, and has the last word.
        let shared = self.shared.clone();
        let reloading = shared.reloading.lock();
        let _one_by_one = reloading.unwrap_or_else(PoisonError::into_inner);
        let scope = scope(&shared.config());
        if scope != self.scope {
            self.governor.reconfigure(&scope.0, &scope.1);
            self.scope = scope;
        }
        let window = self.measure();
        shared.windows.push(window);
        self.governor.touch(shared.state.access_sampler.take());
        for proposal in self.governor.decide(&window, &self.latencies) {
            carry_out(&shared, &window, proposal);
        }
    }

    fn measure(&mut self) -> Window {
        let shared = &self.shared;
        let (settings, values) = (&shared.settings, &shared.state.values);
        let figures = shared.metrics.snapshot();
        let now_us = shared.metrics.uptime_us();
        let counters = Counters::of(&figures);
        let moved = counters.since(&self.before);
        self.number += 1;
        let mut window = Window {
            number: self.number,
            ended_us: now_us,
            length_us: now_us - self.ended_us,
            group_operations_max: settings.group_operations_max.get() as u64,
            in_flight_operations_max: shared.credits.operations_max(),
            tree_parallelism: settings.tree_parallelism.get() as u64,
            hash_parallelism: settings.hash_parallelism.get() as u64,
            proof_parallelism: settings.proof_parallelism.get() as u64,
            operations_waiting: figures.operations_waiting,
            groups_in_flight: figures.groups_in_flight,
            checkpoint_ran: shared.checkpoint_runs() || figures.checkpoints > self.checkpoints,
            value_cache_bytes_max: values.cache_bytes_max(),
            value_cache_near_bytes: values.cache_near_bytes(),
            tree_bytes_max: settings.tree_bytes_max(),
            tree_bytes: figures.tree_bytes,
            ..moved
        };
        let interval = &shared.metrics.interval;
        interval.end(&mut window, &mut self.latencies);
        self.checkpoints = figures.checkpoints;
        (self.before, self.ended_us) = (counters, now_us);
        window
    }
}

/// Puts what was proposed in force, and records it.
pub fn carry_out(shared: &Shared, window: &Window, proposal: Proposal) {
    let Proposal {
        change,
        reason,
        seen,
    } = proposal;
    let settings = &shared.settings;
    match &change {
        Change::GroupOperationsMax { to, .. } => settings.group_operations_max.set(*to as usize),
        Change::InFlightOperationsMax { to, .. } => shared.credits.set_operations_max(*to),
        Change::Parallelism { work, to, .. } => {
            let shards = match work {
                Work::Tree => &settings.tree_parallelism,
                Work::Hash => &settings.hash_parallelism,
                Work::Proof => &settings.proof_parallelism,
            };
            shards.set(*to as usize);
        }
        Change::ValueCacheBytes { from, to } => {
            let both = settings.tree_bytes_max() + from;
            shared.state.values.set_cache_bytes_max(*to);
            settings.set_tree_bytes_max(both.saturating_sub(*to).max(1));
        }
        Change::HotPrefixes { prefixes } => settings.set_hot_prefixes(prefixes),
        // Nobody proposes these: they are what reloading records.
        Change::Setting { .. } | Change::ReloadRefused { .. } => {}
    }
    show_bounds(shared);
    record(shared, window.length_us, change, reason, seen);
}

/// Counters of the engine that windows are differences of.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    submissions: u64,
    operations: u64,
    memory_hits: u64,
    cache_hits: u64,
    cache_misses: u64,
    cache_near_misses: u64,
    store_reads: u64,
    absent_reads: u64,
    proofs: u64,
    cells_evicted: u64,
    cells_restored: u64,
}

impl Counters {
    fn of(figures: &MetricsSnapshot) -> Self {
        Self {
            submissions: figures.submissions,
            operations: figures.operations,
            memory_hits: figures.memory_hits,
            cache_hits: figures.cache_hits,
            cache_misses: figures.cache_misses,
            cache_near_misses: figures.cache_near_misses,
            store_reads: figures.store_reads,
            absent_reads: figures.absent_reads,
            proofs: figures.keys_proven,
            cells_evicted: figures.cells_evicted,
            cells_restored: figures.cells_restored,
        }
    }

    fn since(&self, before: &Self) -> Window {
        let memory_hits = self.memory_hits - before.memory_hits;
        let value_cache_hits = self.cache_hits - before.cache_hits;
        let store_reads = self.store_reads - before.store_reads;
        let absent_reads = self.absent_reads - before.absent_reads;
        Window {
            submissions: self.submissions - before.submissions,
            operations_accepted: self.operations - before.operations,
            reads: memory_hits + value_cache_hits + store_reads + absent_reads,
            proofs: self.proofs - before.proofs,
            memory_hits,
            value_cache_hits,
            value_cache_misses: self.cache_misses - before.cache_misses,
            value_cache_near_misses: self.cache_near_misses - before.cache_near_misses,
            cells_evicted: self.cells_evicted - before.cells_evicted,
            cells_restored: self.cells_restored - before.cells_restored,
            ..Window::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_has_a_limit_of_its_own() {
        let mut config = Config::default();
        (config.workers.threads, config.workers.read_threads) = (1, 8);
        let (_, limits) = scope(&config);
        assert_eq!((limits.threads, limits.read_threads), (1, 8));
    }

    #[test]
    fn a_panic_of_what_makes_the_configuration_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        let mut watch = Watch::new(path.clone(), Box::new(|_| panic!("no such tenant")));
        std::fs::write(&path, "[group]\n").unwrap();
        assert!(watch.look().is_none());
        let error = watch.look().unwrap().unwrap_err();
        assert!(error.to_string().contains("no such tenant"), "{error}");
    }

    #[test]
    fn a_file_is_read_again_once_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        std::fs::write(&path, "[group]\nlinger_ms = 1\n").unwrap();
        let rebuild = |path: &Path| Config::layers().file(path)?.build();
        let mut watch = Watch::new(path.clone(), Box::new(rebuild));
        assert!(watch.look().is_none());
        // Another length: the time of a change may be too coarse to tell.
        std::fs::write(&path, "[group]\nlinger_ms = 22\n").unwrap();
        // It may be half written.
        assert!(watch.look().is_none());
        assert_eq!(watch.look().unwrap().unwrap().group.linger_ms, 22);
        assert!(watch.look().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(watch.look().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(watch.look().is_none() && watch.look().is_none());
        std::fs::write(&path, "[group]\nlinger = 1\n").unwrap();
        assert!(watch.look().is_none());
        assert!(watch.look().unwrap().is_err());
        assert!(watch.look().is_none());
    }
}
