//! Measures the index of keys and reverts.
//!
//! `cargo bench --bench ranges -- index [ROUNDS [KEYS]]` puts new keys in random order in batches of 10,000 with values of
//! 32 bytes, with `store.key_order` and without it, in turns: puts a second, and bytes written a put until the engine is
//! shut down. With the index, ranges are then read, from memory and after reopening.
//!
//! `cargo bench --bench ranges -- revert [KEYS]` reverts a tree to a version that a number of versions with a number of
//! changed keys each followed: kept in memory, and archived.

use std::collections::VecDeque;
use std::time::Instant;

use trunkline::{Batch, Config, Engine, KeyRange, Snapshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 10_000;
const IN_FLIGHT: usize = 8;
/// Pages that are read from places all over the keys, and entries of each.
const PAGES: u64 = 2_000;
const PAGE_ENTRIES: usize = 100;
/// Versions after the one that is reverted to, and keys that each of them changes.
const CHANGES: [(u64, u64); 6] = [
    (1, 1),
    (1, 100),
    (1, 10_000),
    (100, 1),
    (100, 100),
    (10, 10_000),
];
/// Reverts of each kind.
const REVERTS: usize = 5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let is_asked = |name: &str| words.iter().any(|word| word == name);
    if is_asked("index") || !is_asked("revert") {
        index(number(0, 3), number(1, 1_000_000));
    }
    if is_asked("revert") {
        reverts(number(0, 1_000_000));
    }
}

fn index(rounds: u64, keys: u64) {
    for round in 1..=rounds {
        let (without, bytes_without) = insert(false, keys);
        let (with, bytes_with) = insert(true, keys);
        println!(
            "round {round}: without {:.0}k puts/s, {bytes_without:.0} B a put; with the index {:.0}k ({:.2} x), {bytes_with:.0} B",
            without / 1e3,
            with / 1e3,
            with / without,
        );
    }
}

/// Returns puts a second and bytes written a put.
fn insert(key_order: bool, keys: u64) -> (f64, f64) {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let mut config = Config::in_directory(directory.path());
    config.store.key_order = key_order;
    let engine = open(&config);
    let (bytes, began) = (written_bytes(), Instant::now());
    for_batches(&engine, keys / BATCH, |batch, seed| {
        batch.put(key(seed), value(seed));
    });
    let puts = (keys / BATCH * BATCH) as f64;
    let puts_per_s = puts / began.elapsed().as_secs_f64();
    if key_order {
        read_ranges(&engine.snapshot(), "just written");
    }
    engine.shutdown_blocking().expect("the engine works");
    let bytes_per_put = (written_bytes() - bytes) as f64 / puts;
    if key_order {
        let engine = open(&config);
        read_ranges(&engine.snapshot(), "reopened");
        engine.shutdown_blocking().expect("the engine works");
    }
    (puts_per_s, bytes_per_put)
}

fn read_ranges(snapshot: &Snapshot, when: &str) {
    let first = Instant::now();
    let page = |seed: u64| {
        let from = KeyRange::new(&key(seed)[..]..).entries_max(PAGE_ENTRIES);
        snapshot
            .range(&from)
            .expect("the index works")
            .entries
            .len()
    };
    page(0);
    let first_ms = first.elapsed().as_secs_f64() * 1e3;
    let began = Instant::now();
    let entries: usize = (0..PAGES).map(page).sum();
    let pages_per_s = PAGES as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let all = snapshot.range_iter(KeyRange::all()).count();
    let walked_per_s = all as f64 / began.elapsed().as_secs_f64();
    println!(
        "  {when}: first page {first_ms:.1} ms, then {pages_per_s:.0} pages/s of {:.0} entries; all {all} keys at {:.0}k a second",
        entries as f64 / PAGES as f64,
        walked_per_s / 1e3,
    );
}

fn reverts(keys: u64) {
    println!(
        "versions | keys changed by each | kept in memory, ms | archived, ms (least / median / greatest)"
    );
    let (kept, archived) = (Reverts::new(false, keys), Reverts::new(true, keys));
    for (versions, changed) in CHANGES {
        let times = [&kept, &archived].map(|side| side.measure(versions, changed));
        let [kept, archived] = times.map(|times| {
            let [least, median, greatest] = [0, REVERTS / 2, REVERTS - 1].map(|place| times[place]);
            format!("{least:.2} / {median:.2} / {greatest:.2}")
        });
        println!("{versions} | {changed} | {kept} | {archived}");
    }
}

/// A tree whose older versions are kept in memory, or archived.
struct Reverts {
    _directory: tempfile::TempDir,
    engine: Engine,
    is_archived: bool,
    keys: u64,
}

impl Reverts {
    fn new(is_archived: bool, keys: u64) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let mut config = Config::in_directory(directory.path());
        config.versions.archive = is_archived;
        config.submit.in_flight_operations_max = 1_000_000;
        let engine = open(&config);
        for_batches(&engine, keys / BATCH, |batch, seed| {
            batch.put(key(seed), value(seed));
        });
        engine.shutdown_blocking().expect("the engine works");
        config.checkpoint.bytes_max = 1 << 20;
        config.checkpoint.unflushed_bytes_max = 64 << 20;
        config.versions.retain_versions = if is_archived { 2 } else { 1_000 };
        Self {
            _directory: directory,
            engine: open(&config),
            is_archived,
            keys,
        }
    }

    /// Returns milliseconds until reverts are accepted, ascending.
    fn measure(&self, versions: u64, changed: u64) -> Vec<f64> {
        let mut times: Vec<f64> = (0..REVERTS as u64)
            .map(|round| self.revert(round, versions, changed))
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn revert(&self, round: u64, versions: u64, changed: u64) -> f64 {
        let engine = &self.engine;
        let to = engine.snapshot();
        let (version, state_digest) = (to.version(), to.record().state_digest);
        drop(to);
        for number in 0..versions {
            let mut batch = Batch::new();
            for place in 0..changed {
                let seed = random(round << 40 | number << 20 | place);
                batch.put(key(seed % self.keys), value(seed));
            }
            commit(engine, batch);
        }
        if self.is_archived {
            // Until the versions are in the archive and no longer in the layers: one key more.
            let before = engine.metrics().checkpoints;
            while engine.metrics().checkpoints < before + 2 {
                let mut batch = Batch::new();
                batch.put(
                    "filler",
                    random(engine.snapshot().version())
                        .to_le_bytes()
                        .repeat(8_000),
                );
                commit(engine, batch);
            }
        }
        let began = Instant::now();
        let receipt = engine
            .revert_to_blocking(version)
            .expect("the version is kept");
        let accepted_ms = began.elapsed().as_secs_f64() * 1e3;
        let durable = receipt.durable_blocking().expect("the engine works");
        assert_eq!(durable.state_digest, state_digest);
        accepted_ms
    }
}

fn open(config: &Config) -> Engine {
    let mut config = config.clone();
    config.versions.archive_bytes_max = 0;
    Engine::open_blocking(config).expect("the directory works")
}

fn commit(engine: &Engine, batch: Batch) {
    let receipt = engine.submit_blocking(batch).expect("the engine works");
    receipt.durable_blocking().expect("the engine works");
}

/// Commits batches, some in flight, and waits until the last one is durable.
fn for_batches(engine: &Engine, batches: u64, mut add: impl FnMut(&mut Batch, u64)) {
    let mut receipts = VecDeque::new();
    for number in 0..batches {
        let mut batch = Batch::new();
        for place in 0..BATCH {
            add(&mut batch, number * BATCH + place);
        }
        receipts.push_back(engine.submit_blocking(batch).expect("the engine works"));
        if receipts.len() > IN_FLIGHT {
            let oldest = receipts.pop_front().expect("there is one");
            oldest.durable_blocking().expect("the engine works");
        }
    }
    for receipt in receipts {
        receipt.durable_blocking().expect("the engine works");
    }
}

/// Returns a key of 16 bytes whose place in byte order does not follow from its seed.
fn key(seed: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random(seed).to_be_bytes());
    key[8..].copy_from_slice(&seed.to_be_bytes());
    key
}

fn value(seed: u64) -> [u8; 32] {
    let mut value = [0; 32];
    for (place, chunk) in value.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&random(seed ^ (place as u64) << 60).to_le_bytes());
    }
    value
}

/// Returns a number that follows from a seed (SplitMix64).
fn random(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns the bytes that this process made the kernel write; 0 where the system does not tell.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
