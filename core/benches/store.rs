//! The commit log, with and without syncs, and the leaf store's ingestion, on the disk that holds the target directory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use trunkline_core::hash::Digest;
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::OsDisk;
use trunkline_core::store::effect::encode_effects;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::leaves::{Leaf, LeafChange, LeafStore};
use trunkline_core::store::log::{CommitLog, LogEntry, LogOptions, LogPosition};
use trunkline_testkit::fixture::{effects, keys};

fn log(criterion: &mut Criterion) {
    for operations in [1_000, 10_000, 100_000] {
        let effects = encoded_effects(operations);
        for synced in [true, false] {
            let mut group = criterion.benchmark_group("store::append");
            group.throughput(Throughput::Elements(operations));
            let mut rig = LogRig::new(effects.clone());
            group.bench_function(format!("ops={operations},synced={synced}"), |b| {
                b.iter_custom(|rounds| rig.append(rounds, synced));
            });
            group.finish();
        }
    }
}

/// A log to which the same effects are appended, version after version.
struct LogRig {
    log: CommitLog,
    record: CommitRecord,
    effects: Bytes,
    _directory: TempDir,
}

impl LogRig {
    fn new(effects: Bytes) -> Self {
        let directory = directory();
        let tree_id = TreeParams::default().tree_id();
        let record = CommitRecord::genesis(tree_id);
        let options = LogOptions {
            segment_bytes_max: 16 << 20,
            ..LogOptions::new([7; 32])
        };
        let (log, _) = CommitLog::open(
            Arc::new(OsDisk),
            &directory.path().join("log"),
            tree_id,
            LogPosition::of(&record),
            options,
            |_| Ok::<(), Infallible>(()),
        )
        .expect("an empty directory");
        Self {
            log,
            record,
            effects,
            _directory: directory,
        }
    }

    fn append(&mut self, rounds: u64, synced: bool) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            let entry = self.next();
            let start = Instant::now();
            self.log.append(&entry).expect("the next version");
            if synced {
                self.log.sync().expect("a disk that works");
            } else {
                self.log.flush().expect("a disk that works");
            }
            total += start.elapsed();
        }
        // The space before it is returned to the disk.
        self.log.sync().expect("a disk that works");
        let trimmed = self.log.trim(self.record.version);
        trimmed.expect("a disk that works");
        total
    }

    fn next(&mut self) -> LogEntry {
        self.record = CommitRecord {
            version: self.record.version + 1,
            parent: self.record.commit_id(),
            ..self.record.clone()
        };
        LogEntry {
            record: self.record.clone(),
            kzg_root: Some([0xc0; 48]),
            outcomes: Bytes::new(),
            effects: self.effects.clone(),
        }
    }
}

fn encoded_effects(count: u64) -> Bytes {
    let mut bytes = Vec::new();
    encode_effects(effects::effects(&effects::puts(count)), &mut bytes).expect("ascending effects");
    bytes.into()
}

fn leaves(criterion: &mut Criterion) {
    for count in [10_000, 100_000] {
        let directory = directory();
        let store = FjallLeafStore::open(directory.path(), &FjallOptions::default());
        let store = store.expect("an empty directory");
        let mut group = criterion.benchmark_group("store::ingest");
        group.throughput(Throughput::Elements(count));
        let mut first = 0;
        group.bench_function(format!("leaves={count}"), |b| {
            b.iter_batched(
                || {
                    first += count;
                    leaves_of(first, count)
                },
                |leaves| {
                    let mut changes = leaves.iter().map(|(key_hash, leaf)| LeafChange {
                        key_hash: *key_hash,
                        leaf: Some(leaf.borrowed()),
                    });
                    let ingested = store.ingest(&mut changes);
                    ingested.and_then(|()| store.sync()).expect("a disk");
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

/// Returns leaves of new keys, ascending.
fn leaves_of(first: u64, count: u64) -> Vec<(Digest, Leaf)> {
    let params = TreeParams::default();
    let leaf = |number: u64| Leaf {
        key: keys::key(number),
        value: keys::value(number),
    };
    let hashed = |number: u64| (params.key_hash(&keys::key(number)), leaf(number));
    let mut leaves: Vec<_> = (first..first + count).map(hashed).collect();
    leaves.sort_unstable_by_key(|(key_hash, _)| *key_hash);
    leaves
}

/// Returns a directory on a real disk, which the system's temporary directory may not be.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = log, leaves
}
criterion_main!(benches);
