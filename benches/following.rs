//! Measures the cost of following for a primary, and the speed at which a replica catches up, reads and is promoted.
//!
//! `cargo bench --bench following [-- ROUNDS]`. In each round a primary commits the same batches twice, alone and with
//! a follower that reads, signs, encodes and drops every frame; then a replica applies the whole backlog with the
//! primary stopped, follows a second one while a thread reads from it, and is promoted. Figures are medians over the
//! rounds.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use trunkline::core::frame::{Compression, Frame, SecretKey};
use trunkline::{Batch, Config, Engine, Replica};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const PUTS: u64 = 1_000_000;
const BATCH: u64 = 10_000;
const IN_FLIGHT: usize = 8;
const PATIENCE: Duration = Duration::from_secs(600);

/// The figures of one round.
#[derive(Clone, Copy, Default)]
struct Figures {
    alone_puts_per_s: f64,
    alone_cpu_ns: f64,
    followed_puts_per_s: f64,
    followed_cpu_ns: f64,
    caught_up_puts_per_s: f64,
    replica_reads_per_s: f64,
    promotion_ms: f64,
}

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds = words.find_map(|word| word.parse().ok()).unwrap_or(5_usize);
    let mut all = Vec::new();
    for round in 1..=rounds {
        let figures = measure();
        println!("round {round}: {}", summary(&figures));
        all.push(figures);
    }
    let of = |get: fn(&Figures) -> f64| median(all.iter().map(get));
    let medians = Figures {
        alone_puts_per_s: of(|figures| figures.alone_puts_per_s),
        alone_cpu_ns: of(|figures| figures.alone_cpu_ns),
        followed_puts_per_s: of(|figures| figures.followed_puts_per_s),
        followed_cpu_ns: of(|figures| figures.followed_cpu_ns),
        caught_up_puts_per_s: of(|figures| figures.caught_up_puts_per_s),
        replica_reads_per_s: of(|figures| figures.replica_reads_per_s),
        promotion_ms: of(|figures| figures.promotion_ms),
    };
    println!("medians: {}", summary(&medians));
}

fn summary(figures: &Figures) -> String {
    format!(
        "primary alone {:.0}k puts/s, {:.0} ns of processor time a put; followed {:.0}k, {:.0} ns ({:+.1} %); \
         catching up {:.0}k ({:.2} x the primary alone); {:.0}k reads/s of a replica that follows; promoted in {:.0} ms",
        figures.alone_puts_per_s / 1e3,
        figures.alone_cpu_ns,
        figures.followed_puts_per_s / 1e3,
        figures.followed_cpu_ns,
        (figures.followed_cpu_ns / figures.alone_cpu_ns - 1.0) * 100.0,
        figures.caught_up_puts_per_s / 1e3,
        figures.caught_up_puts_per_s / figures.alone_puts_per_s,
        figures.replica_reads_per_s / 1e3,
        figures.promotion_ms,
    )
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn measure() -> Figures {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let key = SecretKey::generate([7; 32]);
    let mut figures = Figures::default();

    let engine = open(&directory.path().join("alone"));
    fill(&engine);
    let (wall, cpu) = timed(|| update(&engine, 1));
    figures.alone_puts_per_s = PUTS as f64 / wall;
    figures.alone_cpu_ns = cpu / PUTS as f64 * 1e9;
    engine.shutdown_blocking().expect("the engine works");

    let engine = open(&directory.path().join("primary"));
    // The backlog must be complete when the replica begins.
    engine.set_cursor("replica", 0).expect("the cursor fits");
    fill(&engine);
    let from = engine.synced_version() + 1;
    let (wall, cpu) = std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&engine, from, &key));
        let cost = timed(|| {
            update(&engine, 1);
            // The rest of the follower's work is part of its cost.
            STOP_AT.store(engine.synced_version(), Ordering::Release);
            engine.put_blocking("last", "x").expect("the engine works");
            follower.join().expect("the follower ends");
        });
        STOP_AT.store(u64::MAX, Ordering::Release);
        cost
    });
    figures.followed_puts_per_s = PUTS as f64 / wall;
    figures.followed_cpu_ns = cpu / PUTS as f64 * 1e9;

    let backlog = frames(&engine, &key);
    let replica = Engine::builder(config(&directory.path().join("replica")))
        .params(&engine.params())
        .open_replica_blocking(vec![key.public()])
        .expect("the directory is new");
    let filled = (KEYS / BATCH) as usize;
    let (fill_frames, update_frames) = backlog.split_at(backlog.len().min(filled));
    apply(&replica, fill_frames);
    let (wall, _) = timed(|| apply(&replica, update_frames));
    figures.caught_up_puts_per_s = puts_of(update_frames) / wall;
    figures.replica_reads_per_s = reads_while_following(&engine, &replica, &key);
    engine.shutdown_blocking().expect("the engine works");

    let (wall, _) = timed(|| {
        let promoted = replica.promote_blocking(0).expect("the replica works");
        let receipt = promoted
            .put_blocking("first", "x")
            .expect("the engine works");
        receipt.durable_blocking().expect("the engine works");
        promoted.shutdown_blocking().expect("the engine works");
    });
    figures.promotion_ms = wall * 1e3;
    figures
}

fn config(directory: &Path) -> Config {
    let mut config = Config::in_directory(directory);
    config.log.held_bytes_max = 8 << 30;
    config
}

fn open(directory: &Path) -> Engine {
    Engine::open_blocking(config(directory)).expect("the directory is new")
}

/// Returns the time and the processor time of some work, seconds.
fn timed(work: impl FnOnce()) -> (f64, f64) {
    let cpu_seconds = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (cpu, began) = (cpu_seconds(), Instant::now());
    work();
    (began.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

fn fill(engine: &Engine) {
    submit_all(
        engine,
        (0..KEYS / BATCH).map(|batch| batch * BATCH..(batch + 1) * BATCH),
        0,
    );
}

/// Puts `PUTS` values, half of them to new keys.
fn update(engine: &Engine, round: u64) {
    let batches = (0..PUTS / BATCH).map(|batch| {
        let start = batch * BATCH;
        start + KEYS / 2..start + KEYS / 2 + BATCH
    });
    submit_all(engine, batches, round);
    engine.drain_blocking().expect("the engine works");
}

fn submit_all(engine: &Engine, batches: impl Iterator<Item = std::ops::Range<u64>>, round: u64) {
    let mut in_flight = VecDeque::new();
    for keys in batches {
        let mut batch = Batch::new();
        for number in keys {
            batch.put(bytes(number), bytes(number ^ round << 40));
        }
        if in_flight.len() == IN_FLIGHT {
            let receipt: trunkline::Receipt = in_flight.pop_front().expect("some are in flight");
            receipt.durable_blocking().expect("the engine works");
        }
        in_flight.push_back(engine.submit_blocking(batch).expect("the engine works"));
    }
    for receipt in in_flight {
        receipt.durable_blocking().expect("the engine works");
    }
}

/// The version at which a follower stops.
static STOP_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Reads, signs and encodes every version, like a primary that publishes them.
fn follow(engine: &Engine, from: u64, key: &SecretKey) {
    for entry in engine.feed(from) {
        let entry = entry.expect("the log is there");
        let version = entry.record.version;
        let frame = Frame::sign(entry, key).encode(Compression::None);
        std::hint::black_box(frame.expect("it fits"));
        if version >= STOP_AT.load(Ordering::Acquire) {
            return;
        }
    }
}

/// Returns all versions as they arrive at a replica.
fn frames(engine: &Engine, key: &SecretKey) -> Vec<Bytes> {
    engine.drain_blocking().expect("the engine works");
    let entries = engine.feed(1).take(engine.synced_version() as usize);
    let encode = |entry: Result<_, trunkline::FeedError>| {
        let frame = Frame::sign(entry.expect("the log is there"), key);
        Bytes::from(frame.encode(Compression::None).expect("it fits"))
    };
    entries.map(encode).collect()
}

fn apply(replica: &Replica, frames: &[Bytes]) {
    for bytes in frames {
        let frame = Frame::decode(bytes).expect("it was encoded");
        replica
            .apply_blocking(frame)
            .expect("the primary committed it");
    }
    let last = replica.last_taken().version;
    let waited = replica.wait_for_blocking(last, PATIENCE);
    waited.expect("the replica works");
}

fn puts_of(frames: &[Bytes]) -> f64 {
    let decoded = frames
        .iter()
        .map(|bytes| Frame::decode(bytes).expect("it was encoded"));
    // A put of 32 bytes and 32 bytes takes 67 bytes.
    decoded
        .map(|frame| frame.entry.effects.len() as f64 / 67.0)
        .sum()
}

/// Returns the reads a second of one thread, while the replica follows a primary at full speed.
fn reads_while_following(engine: &Engine, replica: &Replica, key: &SecretKey) -> f64 {
    let from = replica.last_taken().version + 1;
    let is_done = AtomicBool::new(false);
    let began = Instant::now();
    let reads = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reads = 0_u64;
            while !is_done.load(Ordering::Relaxed) {
                let value = replica
                    .get(&bytes(reads % KEYS))
                    .expect("the replica works");
                assert!(value.is_some(), "the key was put");
                reads += 1;
            }
            reads
        });
        let writing = scope.spawn(|| update(engine, 2));
        let mut applied = from;
        for entry in engine.feed(from) {
            let frame = Frame::sign(entry.expect("the log is there"), key);
            replica
                .apply_blocking(frame)
                .expect("the primary committed it");
            applied += 1;
            if writing.is_finished() && applied > engine.synced_version() {
                break;
            }
        }
        is_done.store(true, Ordering::Relaxed);
        reading.join().expect("the reader ends")
    });
    reads as f64 / began.elapsed().as_secs_f64()
}

/// Returns 32 pseudo-random bytes for a number (SplitMix64: Steele, Lea, Flood 2014).
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
