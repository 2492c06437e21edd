//! Measures the cost of `versions.archive`: puts a second and bytes written a put, with it and without it.
//!
//! `cargo bench --bench past [-- ROUNDS [KEYS [PUTS]]]`. Each round fills a tree, and then updates its keys at random
//! in batches of 10,000 with values of 32 bytes, once without the archive and once with it, in turns. A side ends when
//! its engine is shut down, and its bytes are those that the process made the kernel write. With the archive, old
//! versions are then read and proven.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use trunkline::core::proof::{Expected, verify};
use trunkline::{Batch, Config, Engine, TopKind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 10_000;
const IN_FLIGHT: usize = 8;
/// The number of old versions that are opened, and of keys that are read and proven in each.
const VERSIONS: u64 = 20;
const KEYS_OF_EACH: u64 = 50;

/// The figures of one side.
#[derive(Clone, Copy)]
struct Side {
    puts_per_s: f64,
    bytes_per_put: f64,
    archive_bytes_per_put: f64,
}

fn main() {
    let words = std::env::args().skip(1);
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let (rounds, keys, puts) = (number(0, 3), number(1, 1_000_000), number(2, 1_000_000));
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let without = measure(false, keys, puts);
        let with = measure(true, keys, puts);
        ratios.push(with.puts_per_s / without.puts_per_s);
        println!(
            "round {round}: without {:.0}k puts/s, {:.0} B a put; with {:.0}k ({:.2} x), {:.0} B a put ({:.0} B of them stay)",
            without.puts_per_s / 1e3,
            without.bytes_per_put,
            with.puts_per_s / 1e3,
            with.puts_per_s / without.puts_per_s,
            with.bytes_per_put,
            with.archive_bytes_per_put,
        );
    }
    ratios.sort_by(f64::total_cmp);
    let of = |part: usize| ratios[part * (ratios.len() - 1) / 2];
    println!(
        "with / without: least {:.2}, median {:.2}, greatest {:.2}",
        of(0),
        of(1),
        of(2)
    );
}

fn measure(archive: bool, keys: u64, puts: u64) -> Side {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let engine = open(directory.path(), archive);
    let mut next = 0;
    write(&engine, keys / BATCH, |_| {
        next += 1;
        next - 1
    });
    engine.shutdown_blocking().expect("the engine works");
    drop(engine);

    let engine = open(directory.path(), archive);
    let (before, first) = (engine.metrics().past_bytes, engine.snapshot().version() + 1);
    let (bytes, began) = (written_bytes(), Instant::now());
    write(&engine, puts / BATCH, |seed| random(seed) % keys);
    let puts = (puts / BATCH * BATCH) as f64;
    let puts_per_s = puts / began.elapsed().as_secs_f64();
    let archived = engine.metrics().past_bytes - before;
    let kept = engine.kept_versions(first, usize::MAX);
    let kept = kept.expect("the archive works");
    let stored = kept.iter().filter(|version| version.is_archived).count();
    let share = stored as f64 / kept.len() as f64;
    if archive {
        read_old(&engine, keys);
    }
    engine.shutdown_blocking().expect("the engine works");
    drop(engine);
    Side {
        puts_per_s,
        bytes_per_put: (written_bytes() - bytes) as f64 / puts,
        archive_bytes_per_put: archived as f64 / (puts * share),
    }
}

fn open(directory: &Path, archive: bool) -> Engine {
    let mut config = Config::in_directory(directory);
    config.versions.archive = archive;
    config.versions.archive_bytes_max = 0;
    Engine::open_blocking(config).expect("the directory works")
}

/// Commits batches of keys, some of them in flight, and waits until the last one is durable.
fn write(engine: &Engine, batches: u64, mut key: impl FnMut(u64) -> u64) {
    let mut receipts = VecDeque::new();
    for number in 0..batches {
        let mut batch = Batch::new();
        for place in 0..BATCH {
            let seed = number * BATCH + place;
            let value = [random(seed).to_le_bytes(); 4];
            batch.put(key(seed).to_be_bytes(), value.as_flattened());
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

/// Reads and proves keys of versions throughout the archive, and prints the times.
fn read_old(engine: &Engine, keys: u64) {
    let (newest, mut opened, mut read, mut proven) = (engine.snapshot().version(), 0.0, 0.0, 0.0);
    for place in 0..VERSIONS {
        let began = Instant::now();
        let snapshot = engine
            .snapshot_at(newest * place / VERSIONS)
            .expect("everything is kept");
        opened += began.elapsed().as_secs_f64();
        let some: Vec<[u8; 8]> = (0..KEYS_OF_EACH)
            .map(|seed| (random(seed + place) % keys).to_be_bytes())
            .collect();
        let began = Instant::now();
        for key in &some {
            snapshot.get(key).expect("the archive works");
        }
        read += began.elapsed().as_secs_f64();
        let began = Instant::now();
        for key in &some {
            let proof = snapshot.prove([key], TopKind::Hash);
            let trusted = Expected::CommitId(snapshot.commit_id());
            let proof = proof.expect("the archive works");
            verify(&proof, &trusted).expect("the proof holds");
        }
        proven += began.elapsed().as_secs_f64();
    }
    let all = (VERSIONS * KEYS_OF_EACH) as f64;
    println!(
        "an old version: opened in {:.1} ms, a key read in {:.0} µs, proven in {:.0} µs",
        opened / VERSIONS as f64 * 1e3,
        read / all * 1e6,
        proven / all * 1e6
    );
}

/// Returns a number derived from a seed (SplitMix64).
fn random(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns the bytes that this process made the kernel write; 0 if the system does not count them.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
