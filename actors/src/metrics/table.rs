//! The table of metrics: each metric is declared once, with its help text, type, unit, name and labels.
//!
//! The macro makes of it [`TABLE`], the fields of [`MetricsSnapshot`] and [`StageMetrics`] with their documentation,
//! the series in [`Metrics`], and the functions that record into a single series (`=> event`).

use std::time::Instant;

use memory_stats::memory_stats;

use super::interval::Interval;
use super::metric::{Kind, Metric, Unit};
use super::process::file_backed_bytes;
use super::series::{Counter, Gauge, Histogram};
use super::timeline::Timeline;
use crate::decisions::Quantiles;
use crate::failure::Stage;

/// Returns the number that an event records: one, unless it has an argument.
macro_rules! amount {
    () => {
        1
    };
    ($amount:ident) => {
        $amount as u64
    };
}

macro_rules! table {
    (
        each stage { $($(#[doc = $stage_help:literal])+ $stage_field:ident: $stage_name:literal;)+ }
        $($kind:ident of $unit:ident in $type:ident {
            $($(#[doc = $help:literal])+
            $field:ident: $name:literal $([$($label:ident = $value:literal),+])?
            $(by $convert:ident)? $(=> $event:ident($($amount:ident: $number:ident)?))?;)+
        })+
    ) => {
        /// The rows of [`TABLE`].
        #[allow(non_camel_case_types)]
        pub(super) enum Row {
            $($stage_field,)+
            $($($field,)+)+
        }

        /// Every metric of an engine.
        ///
        /// ```
        /// use trunkline_actors::metrics::TABLE;
        /// for metric in TABLE {
        ///     println!("# HELP {} {}", metric.name, metric.help);
        /// }
        /// let submissions = TABLE.iter().find(|metric| metric.field == "submissions").unwrap();
        /// assert_eq!(submissions.name, "trunkline_submissions_total");
        /// ```
        pub const TABLE: &[Metric] = &[
            $(Metric {
                field: stringify!($stage_field),
                name: $stage_name,
                kind: Kind::Histogram,
                unit: Unit::Seconds,
                labels: &[("stage", "")],
                help: concat!($($stage_help),+).trim_ascii(),
            },)+
            $($(Metric {
                field: stringify!($field),
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($((stringify!($label), $value)),+)?],
                help: concat!($($help),+).trim_ascii(),
            },)+)+
        ];

        /// The figures of one stage.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StageMetrics {
            /// Name of the stage.
            pub name: &'static str,
            $($(#[doc = $stage_help])+ pub $stage_field: Quantiles,)+
        }

        /// The figures of an engine at one moment, since it was opened.
        ///
        /// ```
        /// use trunkline::{Batch, Config, Engine};
        ///
        /// # let directory = tempfile::tempdir()?;
        /// let engine = Engine::open_blocking(Config::in_directory(directory.path()))?;
        /// let mut batch = Batch::new();
        /// batch.put("alice", "10").put("bob", "7");
        /// engine.submit_blocking(batch)?.durable_blocking()?;
        ///
        /// let metrics = engine.metrics();
        /// assert_eq!((metrics.submissions, metrics.operations), (1, 2));
        /// println!("p99 until durable: {} µs", metrics.durable_us.p99);
        /// # engine.shutdown_blocking()?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct MetricsSnapshot {
            /// Name of the engine.
            pub engine: String,
            /// The five stages, in flow order.
            pub stages: [StageMetrics; 5],
            $($($(#[doc = $help])+ pub $field: $type,)+)+
        }

        /// Everything that one engine measures.
        pub struct Metrics {
            pub(super) engine: String,
            pub(super) opened_at: Instant,
            /// The measurements since the last window ended.
            pub interval: Interval,
            /// The times at which each stage worked on each version.
            pub timeline: Timeline,
            $(pub(super) $stage_field: [Histogram; 5],)+
            $($(pub(super) $field: $kind,)+)+
        }

        impl Metrics {
            /// Registers the metrics of an engine with the recorder that the process has installed, if any.
            pub fn new(engine: &str) -> Self {
                Self {
                    engine: engine.to_owned(),
                    opened_at: crate::runtime::clock::now(),
                    interval: Interval::default(),
                    timeline: Timeline::default(),
                    $($stage_field: Stage::ALL.map(|stage| {
                        Histogram::new(Row::$stage_field.metric(), engine, &[stage.name()])
                    }),)+
                    $($($field: $kind::new(Row::$field.metric(), engine, &[]),)+)+
                }
            }

            /// Returns the figures of now.
            pub fn snapshot(&self) -> MetricsSnapshot {
                let resident_bytes = memory_stats().map_or(0, |stats| stats.physical_mem);
                self.resident_bytes.record(resident_bytes as u64);
                self.program_bytes.record(file_backed_bytes());
                MetricsSnapshot {
                    engine: self.engine.clone(),
                    stages: Stage::ALL.map(|stage| StageMetrics {
                        name: stage.name(),
                        $($stage_field: self.$stage_field[stage as usize].get(),)+
                    }),
                    $($($field: $($convert)? (self.$field.get()),)+)+
                }
            }

            $($($(
                #[doc = concat!("Records `", stringify!($field), "`.")]
                pub fn $event(&self $(, $amount: $number)?) {
                    self.$field.record(amount!($($amount)?));
                }
            )?)+)+
        }
    };
}

fn is_set(value: u64) -> bool {
    value > 0
}

impl Row {
    pub(super) fn metric(self) -> &'static Metric {
        &TABLE[self as usize]
    }
}

table! {
    each stage {
        /// Time from when the stage before sent a message to when the stage took it up, microseconds.
        queue_wait_us: "trunkline_stage_queue_wait_seconds";
        /// Time from when the stage took up a message to when it forwarded it, microseconds.
        service_us: "trunkline_stage_service_seconds";
    }

    Histogram of Seconds in Quantiles {
        /// Time from the call of submit to its return, microseconds: admission, hashing and ordering.
        accepted_us: "trunkline_submission_seconds" [state = "accepted"];
        /// Time from acceptance to a version with digests, microseconds.
        hashed_us: "trunkline_submission_seconds" [state = "hashed"];
        /// Time from acceptance to a KZG root that covers the submission, microseconds.
        root_ready_us: "trunkline_submission_seconds" [state = "root_ready"];
        /// Time from acceptance to durability, microseconds.
        durable_us: "trunkline_submission_seconds" [state = "durable"];
        /// Time that a commit was held back so that checkpoints keep up, microseconds.
        held_back_us: "trunkline_held_back_seconds";
    }

    Histogram of Count in Quantiles {
        /// Operations of a group.
        group_operations: "trunkline_group_operations";
        /// Versions that one sync made durable. In the durability modes `interval` and `os` a version counts when it
        /// is synced, not when it is handed to the operating system.
        versions_per_sync: "trunkline_versions_per_sync" => versions_synced(versions: u64);
    }

    Gauge of Count in u64 {
        /// Groups sealed and not yet durable.
        groups_in_flight: "trunkline_groups_in_flight";
        /// Operations accepted and not yet sealed.
        operations_waiting: "trunkline_operations_waiting" => operations_waiting(operations: usize);
        /// Operations after which a group is sealed, as configured or adapted.
        group_operations_max: "trunkline_group_operations_max";
        /// Operations that may be accepted and not yet durable, as configured or adapted.
        in_flight_operations_max: "trunkline_in_flight_operations_max";
        /// Shards that applying a group is cut into, as configured or adapted.
        tree_parallelism: "trunkline_shards" [work = "tree"];
        /// Shards that hashing a version is cut into, as configured or adapted.
        hash_parallelism: "trunkline_shards" [work = "hash"];
        /// Shards that proofs and reads of many keys are cut into, as configured or adapted.
        proof_parallelism: "trunkline_shards" [work = "proof"];
        /// Keys present at the last durable version.
        keys: "trunkline_keys" => keys(keys: u64);
        /// Forks of versions that are held.
        forks: "trunkline_forks" => forks(forks: usize);
        /// Idempotency keys of durable submissions that are remembered.
        idempotency_keys: "trunkline_idempotency_keys" => idempotency_keys(keys: usize);
        /// Leaves of the tree that are in memory.
        tree_leaves: "trunkline_tree_leaves";
        /// Pages from whose digests the tree was opened; 0 if opening read all leaves.
        opened_pages: "trunkline_opened_pages" => opened_pages(pages: u64);
        /// Of the 128 slots of the tree, those whose leaves are still read back after opening.
        slots_to_restore: "trunkline_slots_to_restore" => slots_to_restore(slots: usize);
        /// The newest version that followers can read: it is synced, and in commit mode `eager` has its root.
        synced_version: "trunkline_synced_version" => synced_version(version: u64);
        /// The oldest version that the archive of versions has; 0 without one.
        past_oldest_version: "trunkline_past_oldest_version" => archived_oldest(version: u64);
        /// Versions of the primary that this replica knows of and has not made durable; 0 on a primary.
        replica_lag_versions: "trunkline_replica_lag_versions" => replica_lag(versions: u64);
    }

    Gauge of Bytes in u64 {
        /// Bytes that the value cache may take, as configured or adapted.
        value_cache_bytes_max: "trunkline_value_cache_bytes_max";
        /// Bytes that the tree may take, as configured or adapted; 0 if it has no bound.
        tree_bytes_max: "trunkline_tree_bytes_max";
        /// Bytes of values in memory that no checkpoint covers yet.
        unflushed_bytes: "trunkline_unflushed_bytes" => unflushed(bytes: usize);
        /// Bytes of log segments that are kept for cursors although a checkpoint covers them.
        log_held_bytes: "trunkline_log_held_bytes" => log_held(bytes: u64);
        /// Bytes that the archive of versions takes on disk.
        past_bytes: "trunkline_past_bytes" => archived(bytes: u64);
        /// Bytes of memory of the latest state of the tree: leaves, headers and digests.
        tree_bytes: "trunkline_memory_bytes" [owner = "tree"];
        /// Bytes of memory of changes on their way from the tree to the hasher, and of spare buffers for them.
        changes_bytes: "trunkline_memory_bytes" [owner = "changes"];
        /// Bytes of memory of older versions that can be read: replaced leaves and digests, records, openings.
        older_versions_bytes: "trunkline_memory_bytes" [owner = "older_versions"];
        /// Bytes of memory of keys and values that no checkpoint covers, or that are still read as they were before it.
        layers_bytes: "trunkline_memory_bytes" [owner = "layers"];
        /// Bytes of memory of accepted batches that are not part of a version yet.
        overlay_bytes: "trunkline_memory_bytes" [owner = "overlay"];
        /// Bytes of memory of the cache of values.
        value_cache_bytes: "trunkline_memory_bytes" [owner = "value_cache"];
        /// Bytes of memory of the leaf store: its cache of blocks, its filters and indexes.
        leaf_store_bytes: "trunkline_memory_bytes" [owner = "leaf_store"];
        /// Bytes of memory of forks of versions.
        fork_bytes: "trunkline_memory_bytes" [owner = "forks"] => fork_bytes(bytes: u64);
        /// Bytes of memory of versions that the next checkpoint archives.
        archive_buffer_bytes: "trunkline_memory_bytes" [owner = "archive"];
        /// Bytes of memory of the tables for KZG commitments.
        kzg_tables_bytes: "trunkline_memory_bytes" [owner = "kzg"];
        /// Bytes of memory of histories, idempotency keys, measurements and the log's buffer.
        bookkeeping_bytes: "trunkline_memory_bytes" [owner = "bookkeeping"];
        /// Bytes of resident memory that files back, as the code of the process does; 0 where the system does not report
        /// it.
        program_bytes: "trunkline_memory_bytes" [owner = "program"];
        /// Bytes of the log's buffer.
        log_buffer_bytes: "trunkline_log_buffer_bytes" => log_buffer(bytes: usize);
        /// Bytes of resident memory of the whole process; 0 where the system does not report it.
        resident_bytes: "trunkline_resident_bytes";
    }

    Counter of Count in u64 {
        /// Submissions accepted.
        submissions: "trunkline_submissions_total";
        /// Operations of accepted submissions.
        operations: "trunkline_operations_total";
        /// Batches that repeated a submission with its idempotency key, and so had no effect of their own.
        repeats: "trunkline_repeats_total" => repeated();
        /// Batches that were refused because a submission with other content had their idempotency key.
        idempotency_keys_reused: "trunkline_idempotency_keys_reused_total" => idempotency_key_reused();
        /// Submissions that the tree refused.
        refused: "trunkline_refused_total";
        /// Submissions that restored the state of an older version.
        reverts: "trunkline_reverts_total" => reverted();
        /// Forks that were committed.
        fork_commits: "trunkline_fork_commits_total" => fork_committed();
        /// Keys that newer keys on their paths displaced (collision policy `overwrite`).
        displaced: "trunkline_displaced_total";
        /// Versions that were pruned from the archive of versions.
        past_pruned: "trunkline_past_pruned_versions_total" => archived_pruned(versions: u64);
        /// Checkpoints finished.
        checkpoints: "trunkline_checkpoints_total" => checkpoint_finished();
        /// Reads that found their value in memory.
        memory_hits: "trunkline_memory_hits_total" => memory_hit();
        /// Reads that found their value in the value cache.
        cache_hits: "trunkline_cache_hits_total" => cache_hit();
        /// Reads of a single value that missed the value cache and went to the leaf store.
        cache_misses: "trunkline_cache_misses_total" => cache_miss();
        /// Cache misses of values that left the cache recently: a cache larger by an eighth would have had them.
        cache_near_misses: "trunkline_cache_near_misses_total" => cache_near_miss();
        /// Reads that went to the leaf store.
        store_reads: "trunkline_store_reads_total" => store_read();
        /// Reads of keys that the tree knows to be absent.
        absent_reads: "trunkline_absent_reads_total" => absent_read();
        /// Keys proven, present or absent.
        keys_proven: "trunkline_keys_proven_total" => keys_proven(keys: usize);
        /// Openings of one slot that a proof had to compute.
        openings_computed: "trunkline_openings_computed_total";
        /// Openings of one slot that a proof derived from an earlier version and the changes since.
        openings_moved: "trunkline_openings_moved_total";
        /// Openings of one slot that an earlier proof had computed at the same version.
        openings_reused: "trunkline_openings_reused_total";
        /// Openings of several slots together, each computed for one proof.
        aggregates_computed: "trunkline_aggregates_computed_total" => aggregate_computed();
        /// Times that the KZG tables were built because no valid file of them was found.
        kzg_tables_built: "trunkline_kzg_tables_built_total" => kzg_tables_built();
        /// Pages, of some 32 leaves each, that were evicted from memory.
        pages_evicted: "trunkline_pages_evicted_total";
        /// Pages that were read back from the leaf store.
        pages_restored: "trunkline_pages_restored_total";
        /// Decisions of the controllers, and settings that were reloaded or refused. The exported counter tells them
        /// apart by what they changed and why.
        decisions: "trunkline_decisions_total" [change = "", reason = ""];
        /// Decisions that are in memory alone because their file could not be written.
        decisions_unwritten: "trunkline_decisions_unwritten_total" => decision_unwritten();
        /// Configurations that were reloaded.
        reloads: "trunkline_reloads_total" => reloaded();
        /// Configurations that were refused while the engine ran; it kept the one before.
        reloads_refused: "trunkline_reloads_refused_total" => reload_refused();
    }

    Counter of Bytes in u64 {
        /// Bytes of effects and frames that were handed to the log.
        log_bytes: "trunkline_log_bytes_total" => log_appended(bytes: usize);
    }

    Gauge of Count in bool {
        /// 1 if the engine has failed and must be opened again. Shutting it down is not a failure.
        failed: "trunkline_failed" by is_set => failed();
    }
}
