//! The sections of a configuration, in the order of a batch's way through the engine.
//!
//! Units stand last in names. Each section checks its own values; `config/default.toml` repeats
//! what is said here for those who never read Rust.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trunkline_core::batch::BatchLimits;
use trunkline_core::params::{CollisionPolicy, TreeParams};

use super::InvalidSetting;
use super::text::{CollisionName, salt};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
/// Longest delay that may be configured, milliseconds.
const DELAY_MS_MAX: u64 = 60_000;
/// Most bytes of keys and values of one batch or group, and most operations of a batch and of a
/// group: what is taken at the door must fit a frame of the log.
const BATCH_BYTES_MAX: u64 = 256 * MIB;
const BATCH_OPERATIONS_MAX: u64 = 10_000_000;
const GROUP_OPERATIONS_MAX: u64 = 1_000_000;
/// Longest name of an engine, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest path of a directory, bytes: what file systems take.
const PATH_BYTES_MAX: usize = 4096;

/// `[engine]`: its name and place.
///
/// ```
/// let engine = trunkline::config::EngineConfig::default();
/// assert_eq!(engine.name, "trunkline");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Label of its metrics and of its threads: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The directory that holds the state, created if missing; a relative path starts at the
    /// working directory.
    pub directory: PathBuf,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            name: "trunkline".to_owned(),
            directory: PathBuf::from("trunkline-data"),
        }
    }
}

impl EngineConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let directory = self.directory.to_string_lossy();
        check_text("engine.name", &self.name, NAME_BYTES_MAX)?;
        check_text("engine.directory", &directory, PATH_BYTES_MAX)
    }
}

/// `[tree]`: what the tree is. Fixed when a directory is created; opening one with other values is
/// an error, but for no salt, which takes the tree's own.
///
/// ```
/// let tree = trunkline::config::TreeConfig::default();
/// assert_eq!(tree.params(), trunkline_core::params::TreeParams::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TreeConfig {
    /// What happens to a key whose whole 56-bit path is taken: `bucket`, `overwrite` or `reject`.
    #[serde(with = "CollisionName")]
    pub collision: CollisionPolicy,
    /// Public salt that keys are hashed under: 64 hexadecimal digits, empty for none.
    #[serde(with = "salt")]
    pub salt: Option<[u8; 32]>,
}

impl TreeConfig {
    /// The parameters of the tree.
    pub fn params(&self) -> TreeParams {
        TreeParams {
            salt: self.salt,
            collision: self.collision,
        }
    }

    /// Checks the values: its types leave nothing to check.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        Ok(())
    }
}

/// `[submit]`: what is accepted. A batch above its limits is refused; what is in flight above its
/// limits makes callers wait.
///
/// ```
/// let submit = trunkline::config::SubmitConfig::default();
/// assert_eq!(submit.batch_limits().operations_max, 200_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubmitConfig {
    /// Operations and requirements of one batch: 1 to 10,000,000.
    pub batch_operations_max: usize,
    /// Bytes of keys and values of one batch: 1 to 256 MiB.
    pub batch_bytes_max: usize,
    /// Operations accepted and not yet durable: `batch_operations_max` to 2^32 - 1.
    pub in_flight_operations_max: usize,
    /// Bytes accepted and not yet durable: `batch_bytes_max` to 2^32 - 1.
    pub in_flight_bytes_max: usize,
}

impl Default for SubmitConfig {
    fn default() -> Self {
        let batch = BatchLimits::default();
        Self {
            batch_operations_max: batch.operations_max,
            batch_bytes_max: batch.bytes_max,
            in_flight_operations_max: 1_000_000,
            in_flight_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl SubmitConfig {
    /// The limits of one batch.
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            operations_max: self.batch_operations_max,
            bytes_max: self.batch_bytes_max,
        }
    }

    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let operations = self.batch_operations_max as u64;
        let bytes = self.batch_bytes_max as u64;
        let in_flight_operations = self.in_flight_operations_max as u64;
        let in_flight_bytes = self.in_flight_bytes_max as u64;
        let max = u64::from(u32::MAX);
        let key = "submit.batch_operations_max";
        check_range(key, operations, 1, BATCH_OPERATIONS_MAX)?;
        check_range("submit.batch_bytes_max", bytes, 1, BATCH_BYTES_MAX)?;
        let key = "submit.in_flight_operations_max";
        check_range(key, in_flight_operations, 1, max)?;
        check_floor(
            (key, in_flight_operations),
            ("submit.batch_operations_max", operations),
        )?;
        let key = "submit.in_flight_bytes_max";
        check_range(key, in_flight_bytes, 1, max)?;
        check_floor((key, in_flight_bytes), ("submit.batch_bytes_max", bytes))
    }
}

/// `[group]`: how submissions become versions. A group is sealed when it is full, when it has
/// lingered, or when fewer groups than allowed are in flight. A submission is never split: one
/// above the limits is a group of its own.
///
/// ```
/// assert_eq!(trunkline::config::GroupConfig::default().linger_ms, 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupConfig {
    /// Operations after which a group is sealed: 1 to 1,000,000.
    pub operations_max: usize,
    /// Bytes of keys and values after which a group is sealed: 1 to 256 MiB.
    pub bytes_max: usize,
    /// How long a group waits for more submissions, milliseconds: 0 (not at all) to 60,000.
    pub linger_ms: u64,
    /// Groups between ingest and durable at the same time: 1 to 1024.
    pub in_flight_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            operations_max: 20_000,
            bytes_max: 32 * 1024 * 1024,
            linger_ms: 0,
            in_flight_max: 4,
        }
    }
}

impl GroupConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let operations = self.operations_max as u64;
        check_range("group.operations_max", operations, 1, GROUP_OPERATIONS_MAX)?;
        check_range("group.bytes_max", self.bytes_max as u64, 1, BATCH_BYTES_MAX)?;
        check_range("group.linger_ms", self.linger_ms, 0, DELAY_MS_MAX)?;
        check_range("group.in_flight_max", self.in_flight_max as u64, 1, 1024)
    }
}

/// `[workers]`: threads, beside the one of each stage.
///
/// ```
/// assert_eq!(trunkline::config::WorkersConfig::default().threads, 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkersConfig {
    /// Threads of the engine's own pool, for work of commits: 0 (one for each core) to 1024.
    pub threads: usize,
    /// Threads of the pool that proofs and reads of many keys have to themselves: 0 (one for each core)
    /// to 1024.
    pub read_threads: usize,
    /// Shards that applying a submission to the tree is cut into: 1 (no parallel work) to 128 (one a
    /// slot).
    pub tree_parallelism: usize,
    /// Shards that hashing a version is cut into: 1 (no parallel work) to 128 (one a slot).
    pub hash_parallelism: usize,
    /// Shards that proofs one by one and reads of very many keys are cut into, for each call: 0 (as many as
    /// there are threads to read) to 128.
    pub proof_parallelism: usize,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            read_threads: 0,
            tree_parallelism: 1,
            hash_parallelism: 1,
            proof_parallelism: 0,
        }
    }
}

impl WorkersConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let shards = self.proof_parallelism as u64;
        check_range("workers.threads", self.threads as u64, 0, 1024)?;
        check_range("workers.read_threads", self.read_threads as u64, 0, 1024)?;
        check_range(
            "workers.tree_parallelism",
            self.tree_parallelism as u64,
            1,
            128,
        )?;
        check_range(
            "workers.hash_parallelism",
            self.hash_parallelism as u64,
            1,
            128,
        )?;
        check_range("workers.proof_parallelism", shards, 0, 128)
    }
}

/// When a version gets its KZG root.
///
/// ```
/// use trunkline::config::{KzgConfig, KzgMode};
/// assert_eq!(KzgConfig::default().mode, KzgMode::Eager);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KzgMode {
    /// Every version before it is durable.
    #[default]
    Eager,
    /// Versions are passed on without one while commitments are behind.
    Coalesce,
    /// Only when one is asked for.
    OnDemand,
}

/// `[kzg]`: when KZG roots are computed, and what with.
///
/// ```
/// assert_eq!(trunkline::config::KzgConfig::default().coalesce_versions_max, 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KzgConfig {
    /// `eager`, `coalesce` or `on_demand`.
    pub mode: KzgMode,
    /// With `coalesce`: versions that may go without a KZG root in a row: 1 to 1,000,000.
    pub coalesce_versions_max: u64,
    /// The file that the KZG tables are kept in (6 MiB, made if missing or damaged), for engines to
    /// share; empty: `KZG-TABLES` in the engine's directory.
    pub tables_path: PathBuf,
}

impl Default for KzgConfig {
    fn default() -> Self {
        Self {
            mode: KzgMode::default(),
            coalesce_versions_max: 64,
            tables_path: PathBuf::new(),
        }
    }
}

impl KzgConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let key = "kzg.coalesce_versions_max";
        check_range(key, self.coalesce_versions_max, 1, 1_000_000)?;
        match self.tables_path.to_string_lossy() {
            path if path.is_empty() => Ok(()),
            path => check_text("kzg.tables_path", &path, PATH_BYTES_MAX),
        }
    }
}

/// What has happened to a version that is called durable.
///
/// ```
/// use trunkline::config::{DurabilityConfig, DurabilityMode};
/// assert_eq!(DurabilityConfig::default().mode, DurabilityMode::Sync);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityMode {
    /// The device has confirmed it: it survives a loss of power.
    #[default]
    Sync,
    /// The operating system has it, and syncs follow at an interval: a loss of power may take the
    /// last interval.
    Interval,
    /// The operating system has it: it survives a crash of the process alone.
    Os,
}

/// `[durability]`: when a version counts as durable. Receipts say which they got.
///
/// ```
/// assert_eq!(trunkline::config::DurabilityConfig::default().interval_ms, 50);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DurabilityConfig {
    /// `sync`, `interval` or `os`.
    pub mode: DurabilityMode,
    /// With `interval`: time between syncs, milliseconds: 1 to 60,000.
    pub interval_ms: u64,
}

impl Default for DurabilityConfig {
    fn default() -> Self {
        Self {
            mode: DurabilityMode::default(),
            interval_ms: 50,
        }
    }
}

impl DurabilityConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let key = "durability.interval_ms";
        check_range(key, self.interval_ms, 1, DELAY_MS_MAX)
    }
}

/// `[log]`: the commit log.
///
/// ```
/// assert_eq!(trunkline::config::LogConfig::default().segment_bytes_max, 32 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Bytes after which a new segment is begun: 4 KiB to 16 GiB. A record is never split, so a
    /// segment may be longer by one record.
    pub segment_bytes_max: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes_max: 32 * MIB,
        }
    }
}

impl LogConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let key = "log.segment_bytes_max";
        check_range(key, self.segment_bytes_max, 4 * KIB, 16 * GIB)
    }
}

/// `[checkpoint]`: when leaves go from the log into the store.
///
/// ```
/// let checkpoint = trunkline::config::CheckpointConfig::default();
/// assert!(checkpoint.unflushed_bytes_max > checkpoint.bytes_max);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Bytes of leaves not yet in the store, or of commit log since the last checkpoint began, that
    /// start one: 4 KiB to 1 TiB.
    pub bytes_max: u64,
    /// As many bytes of either at which commits wait for the checkpoint; they are held back a little
    /// before: `bytes_max` to 1 TiB.
    pub unflushed_bytes_max: u64,
    /// How far checkpoints, and the threads of the store, stand back behind commits: steps of
    /// `nice`, 0 (not at all) to 19. Of effect on Linux.
    pub nice: u8,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            bytes_max: 128 * MIB,
            unflushed_bytes_max: 512 * MIB,
            nice: 5,
        }
    }
}

impl CheckpointConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let (start, wait) = ("checkpoint.bytes_max", "checkpoint.unflushed_bytes_max");
        check_range(start, self.bytes_max, 4 * KIB, 1024 * GIB)?;
        check_range(wait, self.unflushed_bytes_max, 4 * KIB, 1024 * GIB)?;
        check_floor((wait, self.unflushed_bytes_max), (start, self.bytes_max))?;
        check_range("checkpoint.nice", u64::from(self.nice), 0, 19)
    }
}

/// Where leaves live in the long run.
///
/// ```
/// use trunkline::config::{StoreConfig, StoreKind};
/// assert_eq!(StoreConfig::default().kind, StoreKind::Fjall);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In a fjall database beside the log.
    #[default]
    Fjall,
    /// In memory: the log is never trimmed and replayed whole on opening.
    Log,
}

/// `[store]`: where leaves go.
///
/// ```
/// assert_eq!(trunkline::config::StoreConfig::default().cache_bytes, 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `fjall`, or `log` for no store at all.
    pub kind: StoreKind,
    /// With `fjall`: its block cache, bytes: 0 to 1 TiB.
    pub cache_bytes: u64,
    /// With `fjall`: its threads for flushing and compaction: 1 to 64.
    pub worker_threads: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::default(),
            cache_bytes: 64 * MIB,
            worker_threads: 1,
        }
    }
}

impl StoreConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        check_range("store.cache_bytes", self.cache_bytes, 0, 1024 * GIB)?;
        check_range("store.worker_threads", self.worker_threads as u64, 1, 64)
    }
}

/// `[memory]`: what the tree may take in memory.
///
/// ```
/// use trunkline::config::{MemoryConfig, StoreKind};
/// let bounded = MemoryConfig { budget_bytes: 1 << 30, shared: false };
/// assert!(bounded.validate(StoreKind::Fjall).is_ok());
/// assert!(bounded.validate(StoreKind::Log).is_err()); // nothing to read them from again
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Bytes that the tree may take: 0 (as many as it needs, about 120 a key) to 1 TiB. Leaves that did
    /// not change for long leave memory beyond it and are read from the store again when a batch touches
    /// them. Digests and headers stay, about 49 bytes a key: below that no budget can be kept.
    pub budget_bytes: u64,
    /// Whether the tree's budget and that of the cache of values are one, which moves to where it saves
    /// more reads: `cache.value_bytes_max` and `budget_bytes` are what each begins with. Needs both.
    pub shared: bool,
}

impl MemoryConfig {
    /// Checks the values, which need a store to read leaves from again.
    pub fn validate(&self, store: StoreKind) -> Result<(), InvalidSetting> {
        let key = "memory.budget_bytes";
        if self.shared {
            check_range(key, self.budget_bytes, MIB, 1024 * GIB)?;
        }
        check_range(key, self.budget_bytes, 0, 1024 * GIB)?;
        if self.budget_bytes > 0 && store == StoreKind::Log {
            return Err(InvalidSetting::NeedsStore {
                key,
                found: self.budget_bytes,
            });
        }
        Ok(())
    }

    /// Checks that there are two to share a budget.
    pub fn validate_shared(&self, cache: &CacheConfig) -> Result<(), InvalidSetting> {
        match self.shared {
            true => check_range(
                "cache.value_bytes_max",
                cache.value_bytes_max,
                1,
                1024 * GIB,
            ),
            false => Ok(()),
        }
    }
}

/// `[cache]`: what was read from the store and is kept in memory.
///
/// ```
/// assert_eq!(trunkline::config::CacheConfig::default().value_bytes_max, 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Bytes of values read from the store that are kept for the next read: 0 (none) to 1 TiB.
    pub value_bytes_max: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            value_bytes_max: 64 * MIB,
        }
    }
}

impl CacheConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        check_range("cache.value_bytes_max", self.value_bytes_max, 0, 1024 * GIB)
    }
}

/// `[versions]`: which versions stay readable in memory.
///
/// ```
/// assert_eq!(trunkline::config::VersionsConfig::default().retain_versions, 16);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VersionsConfig {
    /// Last versions that can be read and proven without holding a snapshot: 1 to 1,000,000.
    pub retain_versions: u64,
    /// How far a snapshot may fall behind before reads through it fail, versions:
    /// `retain_versions` to 1,000,000,000. It bounds what a forgotten snapshot costs.
    pub snapshot_versions_behind_max: u64,
    /// What older versions may cost in memory together, about: 0 to 1 TiB, bytes. Beyond it the oldest
    /// are dropped, retained or held.
    pub retained_bytes_max: u64,
}

impl Default for VersionsConfig {
    fn default() -> Self {
        Self {
            retain_versions: 16,
            snapshot_versions_behind_max: 4096,
            retained_bytes_max: 1 << 30,
        }
    }
}

impl VersionsConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let retain = ("versions.retain_versions", self.retain_versions);
        let behind = (
            "versions.snapshot_versions_behind_max",
            self.snapshot_versions_behind_max,
        );
        check_range(retain.0, retain.1, 1, 1_000_000)?;
        check_range(behind.0, behind.1, 1, 1_000_000_000)?;
        let bytes = self.retained_bytes_max;
        check_range("versions.retained_bytes_max", bytes, 0, 1 << 40)?;
        check_floor(behind, retain)
    }
}

/// Whether something keeps its configured value or is moved by what the engine measures.
///
/// ```
/// use trunkline::config::{ControlConfig, ControlMode};
/// assert_eq!(ControlConfig::default().workers, ControlMode::Fixed);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlMode {
    /// It keeps its configured value.
    #[default]
    Fixed,
    /// It begins with its configured value and is moved.
    Adaptive,
}

/// `[control]`: what the engine moves by itself, and what for. Every move is recorded with its reason.
///
/// ```
/// assert_eq!(trunkline::config::ControlConfig::default().window_ms, 500);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// `fixed` or `adaptive`: whether `group.operations_max` is moved to where most becomes durable, and
    /// `submit.in_flight_operations_max` lowered while the latency is above its target.
    pub mode: ControlMode,
    /// 99th percentile that the latency from acceptance to durability should not exceed, milliseconds:
    /// 1 to 60,000.
    pub target_p99_ms: u64,
    /// Least operations of a group's cap: 1 to 1,000,000.
    pub group_operations_min: u64,
    /// Greatest operations of a group's cap: `group_operations_min` to 1,000,000.
    pub group_operations_max: u64,
    /// `fixed` or `adaptive`: whether the shards of `[workers]` are tried larger and smaller.
    pub workers: ControlMode,
    /// How long the engine measures before it decides, milliseconds: 10 to 60,000.
    pub window_ms: u64,
    /// Decisions that are kept in memory: 16 to 65,536.
    pub decisions_kept: usize,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            mode: ControlMode::Adaptive,
            target_p99_ms: 250,
            group_operations_min: 256,
            group_operations_max: 200_000,
            workers: ControlMode::Fixed,
            window_ms: 500,
            decisions_kept: 1024,
        }
    }
}

impl ControlConfig {
    /// Checks the values.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let least = ("control.group_operations_min", self.group_operations_min);
        let greatest = ("control.group_operations_max", self.group_operations_max);
        check_range("control.target_p99_ms", self.target_p99_ms, 1, DELAY_MS_MAX)?;
        check_range(least.0, least.1, 1, GROUP_OPERATIONS_MAX)?;
        check_range(greatest.0, greatest.1, 1, GROUP_OPERATIONS_MAX)?;
        check_floor(greatest, least)?;
        check_range("control.window_ms", self.window_ms, 10, DELAY_MS_MAX)?;
        let kept = self.decisions_kept as u64;
        check_range("control.decisions_kept", kept, 16, 65_536)
    }
}

fn check_range(key: &'static str, found: u64, min: u64, max: u64) -> Result<(), InvalidSetting> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(InvalidSetting::Range {
        key,
        found,
        min,
        max,
    })
}

fn check_floor(
    (key, found): (&'static str, u64),
    (floor_key, floor): (&'static str, u64),
) -> Result<(), InvalidSetting> {
    if found >= floor {
        return Ok(());
    }
    Err(InvalidSetting::BelowOther {
        key,
        found,
        floor_key,
        floor,
    })
}

fn check_text(key: &'static str, found: &str, bytes_max: usize) -> Result<(), InvalidSetting> {
    if (1..=bytes_max).contains(&found.len()) && !found.contains(char::is_control) {
        return Ok(());
    }
    Err(InvalidSetting::Text {
        key,
        found: found.to_owned(),
        bytes_max,
    })
}

#[cfg(test)]
mod tests {
    use trunkline_core::outcome::OUTCOME_BYTES;
    use trunkline_core::store::log::{EFFECTS_BYTES_MAX, OUTCOMES_BYTES_MAX};

    use super::*;

    #[test]
    fn what_is_taken_at_the_door_fits_a_frame_of_the_log() {
        // Beside key and value, an effect has a length of up to 2 bytes and one of up to 4.
        let operations = BATCH_OPERATIONS_MAX.max(GROUP_OPERATIONS_MAX);
        let effects = BATCH_BYTES_MAX + 6 * operations + 10;
        assert!(effects <= EFFECTS_BYTES_MAX as u64);
        // A submission has an operation or a requirement, or metadata, which ends its group.
        let outcomes = (GROUP_OPERATIONS_MAX + 1) * OUTCOME_BYTES as u64;
        assert!(outcomes <= OUTCOMES_BYTES_MAX as u64);
    }
}
