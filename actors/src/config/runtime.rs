//! The settings in force while the engine runs: the configuration that was loaded last, and the settings that
//! controllers adapt. Work reads them once for each batch.
//!
//! Not here: admission, which keeps its own limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use trunkline_core::kzg::TABLES_BYTES;

use crate::config::{Config, ControlMode};

/// The reciprocal of the share of the budget that the tree gets in any case.
const TREE_PART_MIN: u64 = 8;

/// A number that is set rarely and read for each batch.
#[derive(Debug)]
pub struct RuntimeSetting(AtomicUsize);

impl RuntimeSetting {
    /// Returns a setting with this value.
    pub fn new(value: usize) -> Self {
        Self(AtomicUsize::new(value))
    }

    /// Returns the value in force.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the value.
    pub fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// The settings of a running engine.
#[derive(Debug)]
pub struct RuntimeSettings {
    config: RwLock<Arc<Config>>,
    /// Number of operations after which a group is sealed.
    pub group_operations_max: RuntimeSetting,
    /// Number of shards for applying a group.
    pub tree_parallelism: RuntimeSetting,
    /// Number of shards for hashing a version.
    pub hash_parallelism: RuntimeSetting,
    /// Number of shards for proofs and reads of many keys.
    pub proof_parallelism: RuntimeSetting,
    tree_bytes_max: AtomicU64,
    hot_prefixes: RwLock<Arc<[u16]>>,
}

/// Returns the number of shards for proofs: one for each thread that reads, if the configuration says 0.
pub fn proof_parallelism(config: &Config) -> usize {
    match config.workers.proof_parallelism {
        0 => threads(config.workers.read_threads),
        shards => shards,
    }
}

/// Returns the number of threads of a pool: one for each core, if the configuration says 0.
pub fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Returns the bytes that the tree may take at first; 0 if it has no bound. The store's cache and the tables for
/// commitments soon take their part of the budget.
pub fn tree_bytes_at_open(config: &Config) -> u64 {
    let budget_bytes = config.memory.budget_bytes;
    let others = config.store.cache_bytes + TABLES_BYTES as u64;
    budget_bytes - others.min(budget_bytes / 2)
}

impl RuntimeSettings {
    /// Returns the settings as configured.
    pub fn new(config: Config) -> Self {
        Self {
            group_operations_max: RuntimeSetting::new(config.group.operations_max),
            tree_parallelism: RuntimeSetting::new(config.workers.tree_parallelism),
            hash_parallelism: RuntimeSetting::new(config.workers.hash_parallelism),
            proof_parallelism: RuntimeSetting::new(proof_parallelism(&config)),
            tree_bytes_max: AtomicU64::new(tree_bytes_at_open(&config)),
            hot_prefixes: RwLock::default(),
            config: RwLock::new(Arc::new(config)),
        }
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    /// Puts another configuration in force. A changed value replaces an adapted one. An unchanged value stays as
    /// adapted, unless its controller was switched on or off.
    pub fn replace(&self, new: Config) {
        let old = std::mem::replace(&mut *self.config.write(), Arc::new(new.clone()));
        let (was, is) = (&old.workers, &new.workers);
        if old.control.mode != new.control.mode
            || old.group.operations_max != new.group.operations_max
        {
            self.group_operations_max.set(new.group.operations_max);
        }
        self.keep_within(&new);
        let resets = old.control.workers != new.control.workers;
        if resets || was.tree_parallelism != is.tree_parallelism {
            self.tree_parallelism.set(is.tree_parallelism);
        }
        if resets || was.hash_parallelism != is.hash_parallelism {
            self.hash_parallelism.set(is.hash_parallelism);
        }
        if resets || was.proof_parallelism != is.proof_parallelism {
            self.proof_parallelism.set(proof_parallelism(&new));
        }
    }

    /// Keeps an adapted cap of groups within the limits of its controller.
    fn keep_within(&self, config: &Config) {
        let (control, cap) = (&config.control, self.group_operations_max.get());
        if control.mode == ControlMode::Adaptive && cap != config.group.operations_max {
            let (min, max) = (control.group_operations_min, control.group_operations_max);
            let within = (cap as u64).clamp(min, max.max(min));
            self.group_operations_max.set(within as usize);
        }
    }

    /// Returns the limit on the bytes of the tree; 0 if there is none.
    pub fn tree_bytes_max(&self) -> u64 {
        self.tree_bytes_max.load(Ordering::Relaxed)
    }

    /// Gives the tree the rest of the budget after the bytes of the others, and at least an eighth of it.
    pub fn leave_to_tree(&self, others: u64) {
        let budget_bytes = self.config().memory.budget_bytes;
        let left = budget_bytes.saturating_sub(others);
        let bytes = left.max(budget_bytes / TREE_PART_MIN);
        let bytes = bytes.max(budget_bytes.min(1));
        self.tree_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Returns the prefixes of paths whose leaves stay in memory.
    pub fn hot_prefixes(&self) -> Arc<[u16]> {
        self.hot_prefixes.read().clone()
    }

    /// Sets the prefixes of paths whose leaves stay in memory.
    pub fn set_hot_prefixes(&self, prefixes: &[u16]) {
        *self.hot_prefixes.write() = Arc::from(prefixes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_value_replaces_an_adapted_one_and_an_unchanged_one_does_not() {
        let settings = RuntimeSettings::new(Config::default());
        settings.group_operations_max.set(5_000);
        settings.hash_parallelism.set(2);

        let mut new = Config::default();
        new.workers.hash_parallelism = 4;
        settings.replace(new.clone());
        assert_eq!(settings.group_operations_max.get(), 5_000);
        assert_eq!(settings.hash_parallelism.get(), 4);
        assert_eq!(*settings.config(), new);
    }

    #[test]
    fn an_adapted_cap_stays_within_narrower_limits() {
        let settings = RuntimeSettings::new(Config::default());
        settings.group_operations_max.set(150_000);
        let mut new = Config::default();
        new.control.group_operations_max = 30_000;
        settings.replace(new);
        assert_eq!(settings.group_operations_max.get(), 30_000);
    }

    #[test]
    fn a_setting_whose_controller_is_switched_off_returns_to_its_configured_value() {
        let settings = RuntimeSettings::new(Config::default());
        settings.group_operations_max.set(5_000);
        settings.hash_parallelism.set(2);
        let mut new = Config::default();
        new.control.mode = ControlMode::Fixed;
        settings.replace(new);
        assert_eq!(settings.group_operations_max.get(), 20_000);
        assert_eq!(settings.hash_parallelism.get(), 2);
    }

    #[test]
    fn the_tree_has_what_the_others_leave_of_the_budget() {
        let mut config = Config::default();
        assert_eq!(RuntimeSettings::new(config.clone()).tree_bytes_max(), 0);
        config.memory.budget_bytes = 1 << 30;
        let settings = RuntimeSettings::new(config);
        let at_open = settings.tree_bytes_max();
        assert!((900 << 20..1 << 30).contains(&at_open), "{at_open}");
        settings.leave_to_tree(1 << 29);
        assert_eq!(settings.tree_bytes_max(), 1 << 29);
        settings.leave_to_tree(u64::MAX);
        assert_eq!(settings.tree_bytes_max(), 1 << 27);
    }

    #[test]
    fn proofs_are_cut_for_each_thread_that_may_read() {
        let mut config = Config::default();
        config.workers.read_threads = 3;
        assert_eq!(proof_parallelism(&config), 3);
        config.workers.proof_parallelism = 8;
        assert_eq!(proof_parallelism(&config), 8);
    }
}
