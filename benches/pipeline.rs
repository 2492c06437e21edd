//! Measures each stage of the pipeline alone, the engine end to end, and how close the engine comes to its stages.
//!
//! `cargo bench --bench pipeline [-- ROUNDS]`. In each round the same batches pass one stage after the other on one
//! thread, and then an engine. A pipeline is at most as fast as its slowest stage, and as all cores are with the
//! processor time of all stages. The last line says how close the engine comes to that. Figures are medians over the
//! rounds. `benches/peers` measures other engines, and `benches/ladder` the gain of each optimisation.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;
use trunkline::{Config, Engine};
use trunkline_core::batch::{Batch, BatchLimits, PreparedBatch};
use trunkline_core::hash::{Digest, ZERO};
use trunkline_core::kzg::{CommitmentPoint, Committer, Setup, Slot, SlotChange, slot_value};
use trunkline_core::params::{TreeParams, WIDTH};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::OsDisk;
use trunkline_core::store::effect::{Effect, encode_effects};
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::leaves::{LeafChange, LeafRef, LeafStore};
use trunkline_core::store::log::{CommitLog, EntryHead, LogOptions, LogPosition};
use trunkline_core::tree::{self, Roots, SealedChanges, TreeHasher, TreeWriter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const BATCH: u64 = 10_000;
const BATCHES: u64 = 100;
/// The number of submissions in a group, and of groups in a checkpoint, as in an engine under this load.
const GROUP_BATCHES: usize = 2;
const CHECKPOINT_GROUPS: usize = 25;
const IN_FLIGHT: usize = 8;
const RETAINED_VERSIONS: u64 = 16;
const STAGES: [&str; 6] = ["submit", "tree", "hash", "kzg", "persist", "checkpoint"];

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds = words.find_map(|word| word.parse().ok()).unwrap_or(5_usize);
    let mut passes: Vec<Pass> = Vec::new();
    for round in 0..rounds {
        let pass = Pass {
            stages: stages_alone(),
            engine: engine(),
        };
        println!("round {}: {}", round + 1, pass.summary());
        passes.push(pass);
    }
    report(&passes);
}

/// The time of one put, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    wall_ns: f64,
    cpu_ns: f64,
}

/// The figures of one round.
struct Pass {
    stages: [Cost; STAGES.len()],
    engine: Cost,
}

impl Pass {
    /// Returns the least time of one put that the stages allow.
    fn bound_ns(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slowest = self.stages.iter().map(|stage| stage.wall_ns);
        let shared: f64 = self.stages.iter().map(|stage| stage.cpu_ns).sum();
        slowest.fold(shared / cores as f64, f64::max)
    }

    fn part_of_bound(&self) -> f64 {
        self.bound_ns() / self.engine.wall_ns
    }

    fn summary(&self) -> String {
        format!(
            "engine {:.0}k puts/s, the stages allow {:.0}k, so {:.2} of it",
            1e6 / self.engine.wall_ns,
            1e6 / self.bound_ns(),
            self.part_of_bound(),
        )
    }
}

fn report(passes: &[Pass]) {
    println!("{:<36} {:>10} {:>10}", "", "wall ns", "cpu ns");
    for (place, stage) in STAGES.iter().enumerate() {
        let cost = |of: fn(&Cost) -> f64| median(passes.iter().map(|pass| of(&pass.stages[place])));
        let name = format!("pipeline::{stage}/batch={BATCH}");
        let (wall, cpu) = (cost(|cost| cost.wall_ns), cost(|cost| cost.cpu_ns));
        println!("{name:<36} {wall:>10.0} {cpu:>10.0}");
    }
    let wall = median(passes.iter().map(|pass| pass.engine.wall_ns));
    let cpu = median(passes.iter().map(|pass| pass.engine.cpu_ns));
    let name = format!("pipeline::engine/batch={BATCH}");
    println!("{name:<36} {wall:>10.0} {cpu:>10.0}");
    let bound = median(passes.iter().map(Pass::bound_ns));
    println!(
        "{:<36} {bound:>10.0}",
        format!("pipeline::bound/batch={BATCH}")
    );
    let part = median(passes.iter().map(Pass::part_of_bound));
    println!(
        "{:<36} {part:>10.2}",
        format!("pipeline::part_of_bound/batch={BATCH}")
    );
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Does some work and adds its time to a cost.
fn timed<T>(cost: &mut Cost, work: impl FnOnce() -> T) -> T {
    let (cpu, started_at) = (cpu_seconds(), Instant::now());
    let done = work();
    cost.wall_ns += started_at.elapsed().as_nanos() as f64;
    cost.cpu_ns += (cpu_seconds() - cpu) * 1e9;
    done
}

/// Returns the processor time of all threads of the process, with a resolution of a hundredth of a second at best.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Returns 32 pseudo-random bytes for a number (SplitMix64: Steele, Lea, Flood 2014). Cheap, since the time is part of
/// what is measured.
fn bytes(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = number.wrapping_mul(0xd134_2543_de82_ef95);
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    bytes
}

/// Returns batch `number` of the updates, in which present and fresh keys alternate.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::with_capacity(BATCH as usize, BATCH as usize * 64);
    for put in number * BATCH..(number + 1) * BATCH {
        // The factor is odd, so no present key is repeated before all were used.
        let present = (put / 2).wrapping_mul(0x9e37_79b9) % KEYS;
        let key = if put % 2 == 0 { present } else { KEYS + put };
        batch.put(bytes(key), bytes(put + (1 << 40)));
    }
    batch
}

/// Returns batch `number` of the keys that are present before the updates.
fn preload(number: u64) -> Batch {
    let mut batch = Batch::with_capacity(BATCH as usize, BATCH as usize * 64);
    for key in number * BATCH..(number + 1) * BATCH {
        batch.put(bytes(key), bytes(key));
    }
    batch
}

fn prepared(batch: Batch) -> PreparedBatch {
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    prepared.expect("a batch within its limits")
}

/// Passes all batches through one stage, then all through the next one.
fn stages_alone() -> [Cost; STAGES.len()] {
    let [
        mut submit,
        mut tree,
        mut hash,
        mut kzg,
        mut persist,
        mut checkpoint,
    ] = [Cost::default(); STAGES.len()];
    let batches: Vec<PreparedBatch> = timed(&mut submit, || {
        (0..BATCHES).map(|number| prepared(batch(number))).collect()
    });
    let groups: Vec<&[PreparedBatch]> = batches.chunks(GROUP_BATCHES).collect();

    let (mut writer, mut hasher) = preloaded_tree();
    let first = KEYS / BATCH;
    let mut versions = Vec::with_capacity(groups.len());
    // Tree and hash alternate, since the tree keeps the digests that a version replaced until it is retired.
    for (version, group) in (first + 1..).zip(&groups) {
        let changes = timed(&mut tree, || apply(&mut writer, group, version));
        versions.push(timed(&mut hash, || {
            let roots = hasher.hash(changes, None);
            writer
                .reader()
                .retire(version.saturating_sub(RETAINED_VERSIONS));
            roots
        }));
    }

    let committer = Committer::new(&Setup::ceremony().expect("the ceremony's points"));
    timed(&mut kzg, || commit(&committer, &versions));
    let mut log = Log::new();
    timed(&mut persist, || {
        groups.iter().for_each(|group| log.append(group))
    });
    timed(&mut checkpoint, || move_leaves(&groups));
    [submit, tree, hash, kzg, persist, checkpoint].map(for_one_put)
}

fn for_one_put(cost: Cost) -> Cost {
    let puts = (BATCHES * BATCH) as f64;
    Cost {
        wall_ns: cost.wall_ns / puts,
        cpu_ns: cost.cpu_ns / puts,
    }
}

fn preloaded_tree() -> (TreeWriter, TreeHasher) {
    let policy = TreeParams::default().collision;
    let (mut writer, mut hasher) = tree::build(policy, &[]).expect("no leaves are sorted");
    for number in 0..KEYS / BATCH {
        let batch = [prepared(preload(number))];
        let changes = apply(&mut writer, &batch, number + 1);
        hasher.hash(changes, None);
        writer.reader().retire(number + 1);
    }
    (writer, hasher)
}

fn apply(writer: &mut TreeWriter, group: &[PreparedBatch], version: u64) -> SealedChanges {
    for batch in group {
        writer.apply(batch, version).expect("puts are not refused");
    }
    writer.seal(version)
}

fn commit(committer: &Committer, versions: &[Roots]) {
    let mut old: [Digest; WIDTH] = [ZERO; WIDTH];
    let mut point = CommitmentPoint::IDENTITY;
    for roots in versions {
        let new = &roots.slots;
        let changed = Slot::all().filter(|slot| old[slot.index()] != new[slot.index()]);
        let changes: Vec<SlotChange> = changed
            .map(|slot| SlotChange {
                slot,
                old: slot_value(&old[slot.index()]),
                new: slot_value(&new[slot.index()]),
            })
            .collect();
        point = committer.update(&point, &changes);
        std::hint::black_box(point.to_bytes());
        old.copy_from_slice(&new[..]);
    }
}

/// Creates a commit log on the disk of the target directory.
struct Log {
    log: CommitLog,
    record: CommitRecord,
    _directory: TempDir,
}

impl Log {
    fn new() -> Self {
        let directory = directory();
        let tree_id = TreeParams::default().tree_id();
        let record = CommitRecord::genesis(tree_id);
        let (log, _) = CommitLog::open(
            Arc::new(OsDisk),
            &directory.path().join("log"),
            tree_id,
            LogPosition::of(&record),
            LogOptions::new([7; 32]),
            |_| Ok::<(), Infallible>(()),
        )
        .expect("an empty directory");
        Self {
            log,
            record,
            _directory: directory,
        }
    }

    fn append(&mut self, group: &[PreparedBatch]) {
        self.record = CommitRecord {
            version: self.record.version + 1,
            parent: self.record.commit_id(),
            ..self.record.clone()
        };
        let head = EntryHead {
            record: &self.record,
            kzg_root: Some(&[0xc0; 48]),
            outcomes: &[],
        };
        let effects = merged(group);
        let encode = |out: &mut Vec<u8>| encode_effects(effects.iter().copied(), out);
        self.log
            .append_with(&head, encode)
            .expect("the next version");
        self.log.sync().expect("a disk that works");
    }
}

/// Returns the effects of several batches in path order, the last one for each key.
fn merged(group: &[PreparedBatch]) -> Vec<Effect<'_>> {
    let mut merged: Vec<Effect<'_>> = Vec::new();
    for batch in group.iter().rev() {
        let writes = batch.writes.iter().enumerate();
        merged.extend(writes.map(|(place, write)| Effect {
            key_hash: write.key_hash,
            key: batch.key(place),
            change: batch.value(place),
        }));
    }
    merged.sort_by_key(|effect| effect.key_hash);
    merged.dedup_by_key(|effect| effect.key_hash);
    merged
}

/// Moves the leaves of all groups to a leaf store, checkpoint by checkpoint.
fn move_leaves(groups: &[&[PreparedBatch]]) {
    let directory = directory();
    let store = FjallLeafStore::open(&directory.path().join("leaves"), &FjallOptions::default());
    let store = store.expect("an empty directory");
    for groups in groups.chunks(CHECKPOINT_GROUPS) {
        let batches: Vec<&PreparedBatch> = groups.iter().flat_map(|group| group.iter()).collect();
        let mut order: Vec<(&Digest, usize, usize)> = Vec::new();
        for (place, batch) in batches.iter().enumerate().rev() {
            let writes = batch.writes.iter().enumerate();
            order.extend(writes.map(|(write, of)| (&of.key_hash, place, write)));
        }
        order.sort_by_key(|(key_hash, ..)| *key_hash);
        order.dedup_by_key(|(key_hash, ..)| *key_hash);
        let mut changes = order
            .into_iter()
            .map(|(key_hash, place, write)| LeafChange {
                key_hash: *key_hash,
                leaf: batches[place].value(write).map(|value| LeafRef {
                    key: batches[place].key(write),
                    value,
                }),
            });
        store.ingest(&mut changes).expect("a disk that works");
        store.sync().expect("a disk that works");
    }
}

/// Passes the same batches through an engine with its default configuration.
fn engine() -> Cost {
    let directory = directory();
    let engine = Engine::open_blocking(Config::in_directory(directory.path().join("state")));
    let engine = engine.expect("an empty directory");
    drive(&engine, (0..KEYS / BATCH).map(preload));
    let mut cost = Cost::default();
    timed(&mut cost, || drive(&engine, (0..BATCHES).map(batch)));
    engine.shutdown_blocking().expect("a disk that works");
    for_one_put(cost)
}

fn drive(engine: &Engine, batches: impl Iterator<Item = Batch>) {
    let mut in_flight = VecDeque::new();
    for batch in batches {
        in_flight.push_back(engine.submit_blocking(batch).expect("an engine that works"));
        if in_flight.len() == IN_FLIGHT {
            land(&mut in_flight);
        }
    }
    while !in_flight.is_empty() {
        land(&mut in_flight);
    }
}

fn land(in_flight: &mut VecDeque<trunkline::Receipt>) {
    let oldest = in_flight.pop_front().expect("one in flight");
    oldest.durable_blocking().expect("an engine that works");
}

fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}
