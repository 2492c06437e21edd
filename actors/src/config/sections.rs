//! The sections of a configuration, in the order of a batch's way through the engine, as one table: each key with its
//! documentation, type, default, range (`in`), the key it must not fall below (`from`) and whether a running engine
//! takes a new value (`=> reloadable`).
//!
//! The last word of a name is the unit. `config/default.toml` and `docs/TUNING.md` repeat the table for users; tests
//! compare them.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trunkline_core::batch::BatchLimits;
use trunkline_core::params::{CollisionPolicy, Nonce, Salt, TreeParams};
use trunkline_core::store::idempotency_file::KEYED_SUBMISSIONS_MAX;

use super::InvalidSetting;
use super::text::{CollisionName, salt};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
/// Longest delay that may be configured, milliseconds.
const DELAY_MS_MAX: u64 = 60_000;
/// Largest bytes of keys and values of a batch or a group. This and the two limits below ensure that what is
/// accepted fits a frame of the log.
const BATCH_BYTES_MAX: u64 = 256 * MIB;
/// Largest number of operations of a batch.
const BATCH_OPERATIONS_MAX: u64 = 10_000_000;
/// Largest number of operations of a group.
const GROUP_OPERATIONS_MAX: u64 = 1_000_000;
/// Longest name of an engine, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest path, bytes: the limit of file systems.
const PATH_BYTES_MAX: usize = 4096;

macro_rules! key {
    ($section:ident $key:ident $($reloadable:ident)?) => {
        concat!(stringify!($section), ".", stringify!($key))
    };
}

macro_rules! sections {
    ($(
        $(#[$doc:meta])+
        $section:ident: $name:ident {
            $($(#[$key_doc:meta])+
            $key:ident: $type:ty = $default:expr
                $(, in $range:expr)? $(, from $floor:ident)? $(=> $reloadable:ident)?;)+
        }
    )+) => {
        $(
            $(#[$doc])+
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[$key_doc])+ pub $key: $type,)+
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { $($key: $default,)+ }
                }
            }
        )+

        /// Everything that can be configured about one engine.
        ///
        /// ```
        /// use trunkline::Config;
        /// let mut config = Config::default();
        /// config.group.linger_ms = 2;
        /// config.validate()?;
        ///
        /// let same = Config::layers().set("group.linger_ms=2")?.build()?;
        /// assert_eq!(config, same);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $($(#[$doc])+ pub $section: $name,)+
        }

        /// Keys that may change while an engine runs, as `section.key`. All others are static: they shape threads,
        /// files or the meaning of roots.
        ///
        /// ```
        /// use trunkline::config::RELOADABLE;
        /// assert!(RELOADABLE.contains(&"group.operations_max"));
        /// assert!(!RELOADABLE.contains(&"tree.salt"));
        /// ```
        pub const RELOADABLE: &[&str] = &[$($($(key!($section $key $reloadable),)?)+)+];

        impl Config {
            fn check_table(&self) -> Result<(), InvalidSetting> {
                $($(
                    $(check_range(key!($section $key), self.$section.$key as u64, $range)?;)?
                    $(check_floor(
                        (key!($section $key), self.$section.$key as u64),
                        (key!($section $floor), self.$section.$floor as u64),
                    )?;)?
                )+)+
                Ok(())
            }
        }
    };
}

sections! {
    /// `[engine]`: name and place of the engine.
    engine: EngineConfig {
        /// Label of the engine's metrics and name of its threads: 1 to 64 bytes, no control characters.
        name: String = "trunkline".to_owned();
        /// The directory that holds the state, created if missing. A relative path starts at the working directory.
        directory: PathBuf = PathBuf::from("trunkline-data");
    }

    /// `[tree]`: parameters of the tree, fixed when a directory is created. Opening a directory with other values is
    /// an error, except that no salt stands for the salt of the tree.
    tree: TreeConfig {
        /// Treatment of a key whose whole 56-bit path is taken: `bucket`, `overwrite` or `reject`.
        #[serde(with = "CollisionName")]
        collision: CollisionPolicy = CollisionPolicy::default();
        /// Public salt that keys are hashed under: 64 hexadecimal digits, empty for none.
        #[serde(with = "salt")]
        salt: Option<[u8; 32]> = None;
    }

    /// `[submit]`: limits of admission. A batch above its limits is refused; callers wait while the limits of what is
    /// in flight are reached.
    submit: SubmitConfig {
        /// Operations and requirements of one batch: 1 to 10,000,000.
        batch_operations_max: usize = BatchLimits::default().operations_max,
            in 1..=BATCH_OPERATIONS_MAX => reloadable;
        /// Bytes of keys and values of one batch: 1 to 256 MiB.
        batch_bytes_max: usize = BatchLimits::default().bytes_max,
            in 1..=BATCH_BYTES_MAX => reloadable;
        /// Operations accepted and not yet durable: `batch_operations_max` to 2^32 - 1.
        in_flight_operations_max: usize = 1_000_000,
            in 1..=u64::from(u32::MAX), from batch_operations_max => reloadable;
        /// Bytes accepted and not yet durable: `batch_bytes_max` to 2^32 - 1.
        in_flight_bytes_max: usize = 256 * 1024 * 1024,
            in 1..=u64::from(u32::MAX), from batch_bytes_max => reloadable;
        /// Idempotency keys of durable submissions that are remembered: 1 to 1,000,000. A primary and its replicas should
        /// have the same.
        idempotency_keys_max: usize = 100_000, in 1..=KEYED_SUBMISSIONS_MAX as u64;
    }

    /// `[group]`: the grouping of submissions into versions. A group is sealed when it is full, when it has
    /// lingered, or when fewer groups than allowed are in flight. A submission is never split: one above the limits is
    /// a group of its own.
    group: GroupConfig {
        /// Operations after which a group is sealed: 1 to 1,000,000.
        operations_max: usize = 20_000, in 1..=GROUP_OPERATIONS_MAX => reloadable;
        /// Bytes of keys and values after which a group is sealed: 1 to 256 MiB.
        bytes_max: usize = 32 * 1024 * 1024, in 1..=BATCH_BYTES_MAX => reloadable;
        /// Time for which a group waits for more submissions, milliseconds: 0 (not at all) to 60,000.
        linger_ms: u64 = 0, in 0..=DELAY_MS_MAX => reloadable;
        /// Groups that are between ingest and durable at the same time: 1 to 1024.
        in_flight_max: usize = 4, in 1..=1024 => reloadable;
    }

    /// `[workers]`: threads besides the one of each stage, and the shards that work is cut into for them.
    workers: WorkersConfig {
        /// Threads of the pool for the work of commits: 0 (one for each core) to 1024.
        threads: usize = 0, in 0..=1024;
        /// Threads of the separate pool for proofs and reads of many keys: 0 (one for each core) to 1024.
        read_threads: usize = 0, in 0..=1024;
        /// Threads that apply a submission to the tree, if `control.workers` is `fixed`: 1 (no parallel work) to 128.
        tree_parallelism: usize = 1, in 1..=128 => reloadable;
        /// Threads that hash a version, if `control.workers` is `fixed`: 1 (no parallel work) to 128.
        hash_parallelism: usize = 1, in 1..=128 => reloadable;
        /// Shards that each call for single proofs or for very many keys is cut into: 0 (one for each thread that
        /// reads) to 128.
        proof_parallelism: usize = 0, in 0..=128 => reloadable;
    }

    /// `[kzg]`: when KZG roots are computed, and with which tables.
    kzg: KzgConfig {
        /// `eager`, `coalesce` or `on_demand`.
        mode: KzgMode = KzgMode::default();
        /// With `coalesce`: versions in a row that may have no KZG root: 1 to 1,000,000.
        coalesce_versions_max: u64 = 64, in 1..=1_000_000 => reloadable;
        /// The file of the KZG tables (6 MiB, created if missing or damaged), which engines may share. Empty:
        /// `KZG-TABLES` in the engine's directory.
        tables_path: PathBuf = PathBuf::new();
    }

    /// `[durability]`: when a version counts as durable. Receipts state the mode.
    durability: DurabilityConfig {
        /// `sync`, `interval` or `os`.
        mode: DurabilityMode = DurabilityMode::default();
        /// With `interval`: time between syncs, milliseconds: 1 to 60,000.
        interval_ms: u64 = 50, in 1..=DELAY_MS_MAX;
    }

    /// `[log]`: the commit log.
    log: LogConfig {
        /// Bytes after which a new segment begins: 4 KiB to 16 GiB. A record is never split, so a segment may be
        /// longer by one record.
        segment_bytes_max: u64 = 32 * MIB, in 4 * KIB..=16 * GIB;
        /// Bytes of segments that are kept for the cursors of followers although a checkpoint covers them. A cursor that
        /// is further behind loses its place. 0 to 1 TiB.
        held_bytes_max: u64 = GIB, in 0..=TIB => reloadable;
    }

    /// `[checkpoint]`: when leaves move from the log into the store.
    checkpoint: CheckpointConfig {
        /// Bytes that start a checkpoint: of leaves not yet in the store, or of commit log since the last checkpoint
        /// began. 4 KiB to 1 TiB.
        bytes_max: u64 = 128 * MIB, in 4 * KIB..=TIB => reloadable;
        /// Bytes of either at which commits wait for the checkpoint; they are slowed down shortly before. `bytes_max`
        /// to 1 TiB.
        unflushed_bytes_max: u64 = 512 * MIB, in 4 * KIB..=TIB, from bytes_max => reloadable;
        /// Steps of `nice` by which the priority of checkpoints and of the store's threads is below that of commits:
        /// 0 (none) to 19. Effective on Linux.
        nice: u8 = 5, in 0..=19;
    }

    /// `[store]`: the permanent store of the leaves.
    store: StoreConfig {
        /// `fjall`, or `log` for no store.
        kind: StoreKind = StoreKind::default();
        /// With `fjall`: bytes of its block cache: 0 to 1 TiB.
        cache_bytes: u64 = 64 * MIB, in 0..=TIB;
        /// With `fjall`: its threads for flushing and compaction: 1 to 64.
        worker_threads: usize = 1, in 1..=64;
        /// Keep an index of keys in byte order, for reads of ranges. Fixed when the directory is created.
        key_order: bool = false;
    }

    /// `[memory]`: the memory of the engine.
    memory: MemoryConfig {
        /// Bytes that the engine may take in memory, in all: 0 (what it needs, about 120 a key for the tree alone) to
        /// 1 TiB. The tree has what caches, older versions and batches leave of it, an eighth at least. Leaves that did
        /// not change for long are evicted and read from the store when a batch touches them again. About 3 bytes a
        /// key stay in memory: a smaller budget cannot be met. Needs a store.
        budget_bytes: u64 = 0, in 0..=TIB;
        /// Let bytes of the budget move between the tree and the value cache, to where they save more reads. The
        /// cache starts with `cache.value_bytes_max`; both keys must be set.
        shared: bool = false;
    }

    /// `[cache]`: the cache of values that were read from the store.
    cache: CacheConfig {
        /// Bytes of values that are kept for the next read: 0 (none) to 1 TiB.
        value_bytes_max: u64 = 64 * MIB, in 0..=TIB => reloadable;
    }

    /// `[versions]`: the versions that stay readable, in memory and on disk.
    versions: VersionsConfig {
        /// Latest versions that can be read and proven without holding a snapshot: 1 to 1,000,000.
        retain_versions: u64 = 16, in 1..=1_000_000 => reloadable;
        /// Versions that a snapshot may fall behind before reads through it fail: `retain_versions` to
        /// 1,000,000,000. This bounds the cost of a forgotten snapshot.
        snapshot_versions_behind_max: u64 = 4096,
            in 1..=1_000_000_000, from retain_versions => reloadable;
        /// Bytes that all older versions may take in memory, approximately: 0 to 1 TiB. Above it the oldest are
        /// dropped, even if they are retained or held by a snapshot.
        retained_bytes_max: u64 = GIB, in 0..=TIB => reloadable;
        /// Bytes that all forks of versions may take in memory: 0 (no forks) to 1 TiB.
        fork_bytes_max: u64 = 256 * MIB, in 0..=TIB => reloadable;
        /// Keep versions readable on disk when memory no longer keeps them. Needs `store.kind = "fjall"`.
        archive: bool = false;
        /// Versions that the archive keeps at least, if there were so many: 0 to 1,000,000,000,000. Older ones are pruned
        /// by eighths. 0: no bound.
        archive_versions_max: u64 = 0, in 0..=1_000_000_000_000 => reloadable;
        /// Time since a version became durable after which the archive prunes it, by eighths, seconds: 0 to
        /// 10,000,000,000. 0: no bound.
        archive_age_max_s: u64 = 0, in 0..=10_000_000_000 => reloadable;
        /// Bytes that the archive may take on disk: 0 to 1,024 TiB. Above it the oldest eighth is pruned. 0: no bound.
        archive_bytes_max: u64 = 64 * GIB, in 0..=1024 * TIB => reloadable;
    }

    /// `[control]`: the settings that the engine adapts to its measurements. Every change is recorded with its reason.
    control: ControlConfig {
        /// `adaptive`: `group.operations_max` moves to the highest throughput, and `submit.in_flight_operations_max`
        /// falls while the latency is above its target. `fixed`: both keep their values.
        mode: ControlMode = ControlMode::Adaptive => reloadable;
        /// Target of the 99th percentile of the latency from acceptance to durability, milliseconds: 1 to 60,000.
        target_p99_ms: u64 = 250, in 1..=DELAY_MS_MAX => reloadable;
        /// Smallest cap of a group's operations that may be chosen: 1 to 1,000,000.
        group_operations_min: u64 = 256, in 1..=GROUP_OPERATIONS_MAX => reloadable;
        /// Largest cap of a group's operations that may be chosen: `group_operations_min` to 1,000,000.
        group_operations_max: u64 = 200_000,
            in 1..=GROUP_OPERATIONS_MAX, from group_operations_min => reloadable;
        /// `adaptive`: groups are cut into a shard for each free core, and the shards of proofs follow the
        /// measurements. `fixed`: all shards are as `[workers]` says.
        workers: ControlMode = ControlMode::Adaptive => reloadable;
        /// Time for which the engine measures before it decides, milliseconds: 10 to 60,000.
        window_ms: u64 = 500, in 10..=DELAY_MS_MAX => reloadable;
        /// Decisions that are kept in memory: 16 to 65,536.
        decisions_kept: usize = 1024, in 16..=65_536;
    }

    /// `[server]`: the network service of `trunkline serve`. An embedded engine ignores it.
    server: ServerConfig {
        /// Address and port to listen on; empty for none. Beyond loopback it needs `tokens_path` or
        /// `tls_client_ca_path`.
        listen: String = "127.0.0.1:7460".to_owned();
        /// Unix socket to listen on; empty for none.
        socket_path: PathBuf = PathBuf::new();
        /// File of the certificate chain (PEM) for `listen`; empty for no TLS.
        tls_certificate_path: PathBuf = PathBuf::new();
        /// File of the certificate's private key (PEM).
        tls_key_path: PathBuf = PathBuf::new();
        /// File of the authorities (PEM) that a client's certificate must be signed by; empty for clients without one.
        tls_client_ca_path: PathBuf = PathBuf::new();
        /// File of bearer tokens with their scopes; empty for none.
        tokens_path: PathBuf = PathBuf::new();
        /// Host names that browsers may use for the service, separated by commas. The names of loopback always are.
        hosts: String = String::new();
        /// Connections at the same time: 1 to 65,536.
        connections_max: usize = 1024, in 1..=65_536;
        /// Bytes of one message: 4 KiB to 1 GiB.
        message_bytes_max: usize = 80 * 1024 * 1024, in 4 * KIB..=GIB;
        /// Requests at the same time: 1 to 65,536.
        requests_in_flight_max: usize = 1024, in 1..=65_536;
        /// Bytes of messages that are received or waited for at the same time: `message_bytes_max` to 2^32 - 1.
        request_bytes_in_flight_max: usize = 512 * 1024 * 1024,
            in 4 * KIB..=u64::from(u32::MAX), from message_bytes_max;
        /// Bytes of a request's body that a client may send before the request is admitted and read: 4 KiB to 16 MiB.
        stream_window_bytes: u32 = 16 * 1024, in 4 * 1024..=16 * 1024 * 1024;
        /// Feeds and live pages at the same time: 0 to 65,536.
        streams_max: usize = 64, in 0..=65_536;
        /// Keys of one read or proof: 1 to 1,000,000.
        keys_max: usize = 10_000, in 1..=1_000_000;
        /// Deadline of requests that name none, milliseconds: 1 to 3,600,000.
        deadline_ms: u64 = 10_000, in 1..=3_600_000;
        /// Longest deadline that a request may name, milliseconds: `deadline_ms` to 3,600,000.
        deadline_ms_max: u64 = 60_000, in 1..=3_600_000, from deadline_ms;
        /// Time for which a stop waits for requests in flight, milliseconds: 0 to 3,600,000.
        drain_ms: u64 = 20_000, in 0..=3_600_000;
    }
}

impl TreeConfig {
    /// Returns the parameters of a tree with this nonce.
    pub fn params(&self, nonce: Nonce) -> TreeParams {
        TreeParams {
            nonce,
            salt: self.salt.map(Salt::new),
            collision: self.collision,
        }
    }
}

impl Config {
    /// Returns the limits of versions, of which those in memory may take a quarter of the memory budget, and 16 MiB in any
    /// case.
    pub fn versions_within_budget(&self) -> VersionsConfig {
        let mut versions = self.versions.clone();
        if self.memory.budget_bytes > 0 {
            let most = (self.memory.budget_bytes / 4).max(16 * MIB);
            versions.retained_bytes_max = versions.retained_bytes_max.min(most);
        }
        versions
    }

    /// Returns the bytes at which a checkpoint starts and those at which commits wait for it: at most an eighth and a
    /// quarter of the memory budget, and 4 and 8 MiB in any case.
    pub fn checkpoint_within_budget(&self) -> (u64, u64) {
        let CheckpointConfig {
            bytes_max,
            unflushed_bytes_max,
            ..
        } = self.checkpoint;
        match self.memory.budget_bytes {
            0 => (bytes_max, unflushed_bytes_max),
            budget_bytes => {
                let most = (budget_bytes / 8).max(4 * MIB);
                (bytes_max.min(most), unflushed_bytes_max.min(2 * most))
            }
        }
    }
}

impl SubmitConfig {
    /// Returns the limits of one revert, or of one commit of a fork: it is alone in the pipeline, so it may use the whole
    /// in-flight limit, if that fits an entry of the log.
    pub fn resolved_limits(&self) -> BatchLimits {
        BatchLimits {
            operations_max: self
                .in_flight_operations_max
                .min(BATCH_OPERATIONS_MAX as usize),
            bytes_max: self.in_flight_bytes_max.min(BATCH_BYTES_MAX as usize),
        }
    }

    /// Returns the limits of one batch.
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            operations_max: self.batch_operations_max,
            bytes_max: self.batch_bytes_max,
        }
    }
}

/// The time at which a version gets its KZG root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KzgMode {
    /// Every version, before it is durable.
    #[default]
    Eager,
    /// Versions are committed without one while commitments are behind.
    Coalesce,
    /// Only on request.
    OnDemand,
}

/// The failures that a durable version survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityMode {
    /// The device has confirmed it: it survives a power loss.
    #[default]
    Sync,
    /// The operating system has it, and syncs follow at an interval: a power loss may lose the last interval.
    Interval,
    /// The operating system has it: it survives a crash of the process only.
    Os,
}

/// The permanent store of the leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In a fjall database next to the log.
    #[default]
    Fjall,
    /// In memory only: the log is never trimmed, and replayed from its start on open.
    Log,
}

/// The source of a setting's value: the configuration, or the engine's measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlMode {
    /// It keeps its configured value.
    #[default]
    Fixed,
    /// It starts with its configured value and is adapted.
    Adaptive,
}

impl Config {
    /// Checks every value, and the values that depend on each other.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        self.check_table()?;
        let directory = self.engine.directory.to_string_lossy();
        check_text("engine.name", &self.engine.name, NAME_BYTES_MAX)?;
        check_text("engine.directory", &directory, PATH_BYTES_MAX)?;
        let tables = self.kzg.tables_path.to_string_lossy();
        if !tables.is_empty() {
            check_text("kzg.tables_path", &tables, PATH_BYTES_MAX)?;
        }
        let (budget, budget_bytes) = ("memory.budget_bytes", self.memory.budget_bytes);
        if self.memory.shared {
            check_range(budget, budget_bytes, MIB..=TIB)?;
            check_range("cache.value_bytes_max", self.cache.value_bytes_max, 1..=TIB)?;
        }
        if budget_bytes > 0 && self.store.kind == StoreKind::Log {
            let (key, found) = (budget, budget_bytes);
            return Err(InvalidSetting::NeedsStore { key, found });
        }
        Ok(())
    }
}

fn check_range(
    key: &'static str,
    found: u64,
    range: RangeInclusive<u64>,
) -> Result<(), InvalidSetting> {
    if range.contains(&found) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
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
    use trunkline_core::outcome::OUTCOME_BYTES_MAX;
    use trunkline_core::store::log::{EFFECTS_BYTES_MAX, OUTCOMES_BYTES_MAX};

    use super::*;

    #[test]
    fn what_is_accepted_fits_a_frame_of_the_log() {
        // In addition to key and value, an effect has a length of up to 2 bytes and one of up to 4.
        let operations = BATCH_OPERATIONS_MAX.max(GROUP_OPERATIONS_MAX);
        let effects = BATCH_BYTES_MAX + 6 * operations + 10;
        assert!(effects <= EFFECTS_BYTES_MAX as u64);
        // A submission has an operation or a requirement, or metadata, which ends its group.
        let outcomes = (GROUP_OPERATIONS_MAX + 1) * OUTCOME_BYTES_MAX as u64;
        assert!(outcomes <= OUTCOMES_BYTES_MAX as u64);
    }
}
