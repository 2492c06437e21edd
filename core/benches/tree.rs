//! The tree: built from a sorted state, changed by batches, folded and read.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkline_core::batch::{BatchLimits, PreparedBatch};
use trunkline_core::hash::{Digest, hash};
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::tree::{self, Leaf, TreeHasher, TreeWriter};
use trunkline_testkit::fixture::{batches, keys};

/// Number of versions that can be read in addition to the newest, as in an engine.
const RETAINED_VERSIONS: u64 = 16;
/// Number of batches that are made in advance and applied in turn.
const BATCHES: u64 = 32;

fn build(criterion: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().build().expect("threads");
    for keys in [100_000, 1_000_000] {
        let leaves = leaves(keys);
        let mut group = criterion.benchmark_group("tree::build");
        group.throughput(Throughput::Elements(keys));
        group.bench_function(format!("keys={keys},threads=1"), |b| {
            b.iter_with_large_drop(|| tree::build(CollisionPolicy::Bucket, black_box(&leaves)));
        });
        let threads = pool.current_num_threads();
        group.bench_function(format!("keys={keys},threads={threads}"), |b| {
            let build = || tree::build_on(Some(&pool), CollisionPolicy::Bucket, black_box(&leaves));
            b.iter_with_large_drop(build);
        });
        group.finish();
    }
}

fn update(criterion: &mut Criterion) {
    for (keys, operations) in [
        (1_000_000, 1_000),
        (1_000_000, 10_000),
        (1_000_000, 100_000),
        (4_000_000, 10_000),
    ] {
        let mut rig = Rig::new(keys, operations);
        let name = format!("ops={operations},keys={keys}");
        for (area, part) in [("tree::apply", Part::Apply), ("tree::hash", Part::Hash)] {
            let mut group = criterion.benchmark_group(area);
            group.throughput(Throughput::Elements(operations));
            group.bench_function(&name, |b| b.iter_custom(|rounds| rig.time(rounds, part)));
            group.finish();
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Apply,
    Hash,
}

/// A tree whose present keys get new values, version after version.
struct Rig {
    writer: TreeWriter,
    hasher: TreeHasher,
    batches: Vec<PreparedBatch>,
    version: u64,
}

impl Rig {
    fn new(keys: u64, operations: u64) -> Self {
        let (writer, hasher) =
            tree::build(CollisionPolicy::Bucket, &leaves(keys)).expect("sorted leaves");
        let params = TreeParams::default();
        let batches = (0..BATCHES).map(|seed| {
            let batch = batches::batch(operations, keys, 7 + 13 * seed);
            let prepared = batch.prepare(&params, &BatchLimits::default(), None);
            prepared.expect("a batch within its limits")
        });
        Self {
            writer,
            hasher,
            batches: batches.collect(),
            version: 0,
        }
    }

    fn time(&mut self, rounds: u64, part: Part) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            self.version += 1;
            let batch = &self.batches[(self.version % BATCHES) as usize];
            let started_at = Instant::now();
            let applied = self.writer.apply(batch, self.version);
            let changes = self.writer.seal(self.version);
            let applied_at = Instant::now();
            let roots = self.hasher.hash(changes, None);
            let hashed_at = Instant::now();
            total += match part {
                Part::Apply => applied_at - started_at,
                Part::Hash => hashed_at - applied_at,
            };
            applied.expect("puts are not refused");
            black_box(roots);
            let oldest = self.version.saturating_sub(RETAINED_VERSIONS);
            self.writer.reader().retire(oldest);
        }
        total
    }
}

fn get(criterion: &mut Criterion) {
    const KEYS: u64 = 1_000_000;
    let leaves = leaves(KEYS);
    let (writer, _) = tree::build(CollisionPolicy::Bucket, &leaves).expect("sorted leaves");
    let reader = writer.reader();
    let params = TreeParams::default();
    let mut group = criterion.benchmark_group("tree::get");
    group.throughput(Throughput::Elements(1));
    for (name, first) in [("present", 0), ("absent", KEYS)] {
        let mut number = 0_u64;
        group.bench_function(format!("key={name},keys={KEYS}"), |b| {
            b.iter(|| {
                number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let key = keys::key(first + (number >> 33) % KEYS);
                black_box(reader.get(0, &params.key_hash(&key)))
            });
        });
    }
    group.finish();
}

/// Returns the leaves of the first keys, sorted.
fn leaves(count: u64) -> Vec<Leaf> {
    let params = TreeParams::default();
    let leaf = |number: u64| Leaf {
        key_hash: params.key_hash(&keys::key(number)),
        value_hash: digest(number),
        origin: 0,
    };
    let mut leaves: Vec<Leaf> = (0..count).map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key_hash);
    leaves
}

fn digest(number: u64) -> Digest {
    hash(&number.to_le_bytes())
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = build, update, get
}
criterion_main!(benches);
