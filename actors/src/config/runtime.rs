//! What may change while the engine runs: the configuration as it was reloaded last, and what the
//! controllers have moved away from it.
//!
//! Whoever does work asks here for each batch; nothing is asked for an operation. Not here: what is changed
//! when (`tuner`), and credit, which bounds itself (`credit`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::config::{Config, ControlMode};

/// A number that is set rarely and read for each batch.
#[derive(Debug)]
pub struct RuntimeSetting(AtomicUsize);

impl RuntimeSetting {
    pub fn new(value: usize) -> Self {
        Self(AtomicUsize::new(value))
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// The settings of a running engine.
#[derive(Debug)]
pub struct RuntimeSettings {
    config: RwLock<Arc<Config>>,
    /// Operations after which a group is sealed.
    pub group_operations_max: RuntimeSetting,
    pub tree_parallelism: RuntimeSetting,
    pub hash_parallelism: RuntimeSetting,
    pub proof_parallelism: RuntimeSetting,
    /// Bytes that the tree may take, 0 if it has no bound.
    tree_bytes_max: AtomicU64,
    /// Parts of the key space that stay in memory.
    hot_prefixes: RwLock<Arc<[u16]>>,
}

/// Shards that proofs are cut into if the configuration leaves it open: one for each thread.
pub fn proof_parallelism(config: &Config) -> usize {
    match config.workers.proof_parallelism {
        0 => threads(config.workers.read_threads),
        shards => shards,
    }
}

/// Threads of a pool, if 0 stands for one for each core.
pub fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

impl RuntimeSettings {
    pub fn new(config: Config) -> Self {
        Self {
            group_operations_max: RuntimeSetting::new(config.group.operations_max),
            tree_parallelism: RuntimeSetting::new(config.workers.tree_parallelism),
            hash_parallelism: RuntimeSetting::new(config.workers.hash_parallelism),
            proof_parallelism: RuntimeSetting::new(proof_parallelism(&config)),
            tree_bytes_max: AtomicU64::new(config.memory.budget_bytes),
            hot_prefixes: RwLock::new(Arc::from([])),
            config: RwLock::new(Arc::new(config)),
        }
    }

    /// The configuration of now.
    pub fn config(&self) -> Arc<Config> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Another configuration from now on. What it says anew counts again, whatever was moved; what it says as
    /// before stays where it was moved to, unless nobody moves it any more.
    pub fn replace(&self, new: Config) {
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *config, Arc::new(new.clone()));
        drop(config);
        let comes_to_rest = old.control.mode != new.control.mode;
        if comes_to_rest || old.group.operations_max != new.group.operations_max {
            self.group_operations_max.set(new.group.operations_max);
        }
        self.keep_within(&new);
        let pieces_rest = old.control.workers != new.control.workers;
        if pieces_rest || old.workers.tree_parallelism != new.workers.tree_parallelism {
            self.tree_parallelism.set(new.workers.tree_parallelism);
        }
        if pieces_rest || old.workers.hash_parallelism != new.workers.hash_parallelism {
            self.hash_parallelism.set(new.workers.hash_parallelism);
        }
        if pieces_rest || old.workers.proof_parallelism != new.workers.proof_parallelism {
            self.proof_parallelism.set(proof_parallelism(&new));
        }
    }

    /// A cap that was moved stays within what the controllers may choose now.
    fn keep_within(&self, config: &Config) {
        let (control, cap) = (&config.control, self.group_operations_max.get());
        if control.mode == ControlMode::Adaptive && cap != config.group.operations_max {
            let (min, max) = (control.group_operations_min, control.group_operations_max);
            let within = (cap as u64).clamp(min, max.max(min));
            self.group_operations_max.set(within as usize);
        }
    }

    pub fn tree_bytes_max(&self) -> u64 {
        self.tree_bytes_max.load(Ordering::Relaxed)
    }

    pub fn set_tree_bytes_max(&self, bytes: u64) {
        self.tree_bytes_max.store(bytes, Ordering::Relaxed);
    }

    pub fn hot_prefixes(&self) -> Arc<[u16]> {
        let prefixes = self.hot_prefixes.read();
        prefixes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_hot_prefixes(&self, prefixes: &[u16]) {
        let hot = self.hot_prefixes.write();
        *hot.unwrap_or_else(PoisonError::into_inner) = Arc::from(prefixes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_counts_and_an_old_one_stays_where_it_was_moved_to() {
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
    fn a_moved_cap_stays_within_narrower_bounds() {
        let settings = RuntimeSettings::new(Config::default());
        settings.group_operations_max.set(150_000);
        let mut new = Config::default();
        new.control.group_operations_max = 30_000;
        settings.replace(new);
        assert_eq!(settings.group_operations_max.get(), 30_000);
    }

    #[test]
    fn what_is_moved_no_more_goes_back_to_its_configured_value() {
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
    fn proofs_are_cut_for_each_thread_that_may_read() {
        let mut config = Config::default();
        config.workers.read_threads = 3;
        assert_eq!(proof_parallelism(&config), 3);
        config.workers.proof_parallelism = 8;
        assert_eq!(proof_parallelism(&config), 8);
    }
}
