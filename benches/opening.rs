//! Measures opening a directory, with page digests and by reading all leaves, and what a checkpoint takes to write them.
//!
//! `cargo bench --bench opening [-- ROUNDS [KEYS]]`. A directory with keys of 8 and values of 32 bytes is made and closed.
//! In each round processes of their own open it, with the file `PAGES` and without, in turns: one reads a key as
//! `trunkline get` does, another one opens an engine, makes a put durable, and waits until every leaf is back. Each tells
//! the time and the most memory that it took. The files are in the page cache. 10,000,000 keys take 2 GB on the disk.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use trunkline::core::batch::path_order;
use trunkline::core::hash::hash;
use trunkline::core::params::CollisionPolicy;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::pages_file::{PAGES_FILE, PagesOf, prepare};
use trunkline::core::tree::{self, Leaf};
use trunkline::{Batch, Config, Engine, ReadOnly};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 10_000;
const IN_FLIGHT: usize = 8;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, mode, directory, ..] = &words[..]
        && word == "child"
    {
        return child(mode, Path::new(directory));
    }
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default);
    let (rounds, keys) = (number(0, 3), number(1, 1_000_000));
    write_digests(keys);
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    fill(directory.path(), keys);
    let (file, away) = (
        directory.path().join(PAGES_FILE),
        directory.path().with_extension("away"),
    );
    for round in 1..=rounds {
        for mode in ["get", "engine"] {
            println!(
                "round {round}, {mode}, page digests: {}",
                run(mode, directory.path())
            );
            // An engine that is closed makes a checkpoint only if there is much to store.
            std::fs::rename(&file, &away).expect("there is a file");
            println!(
                "round {round}, {mode}, all leaves:   {}",
                run(mode, directory.path())
            );
            std::fs::rename(&away, &file).expect("it was moved");
        }
    }
}

/// Measures the part of a checkpoint that writes page digests.
fn write_digests(keys: u64) {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let key_hashes: Vec<[u8; 32]> = (0..keys).map(|key| hash(&key.to_be_bytes())).collect();
    let leaf = |place: u32| Leaf {
        key_hash: key_hashes[place as usize],
        value_hash: [7; 32],
        origin: 0,
    };
    let leaves: Vec<Leaf> = path_order(&key_hashes).map(leaf).collect();
    let (writer, _) = tree::build(CollisionPolicy::Bucket, &leaves).expect("they are in order");
    let reader = writer.reader();
    let of = PagesOf {
        tree_id: [0; 32],
        version: 0,
        commit_id: [0; 32],
    };
    let begun = Instant::now();
    let pages = |slot| reader.pages_at(0, slot).ok();
    prepare(&OsDisk, directory.path(), &of, pages).expect("it can be written");
    let elapsed = begun.elapsed();
    let path = directory.path().join(format!("{PAGES_FILE}.tmp"));
    let bytes = std::fs::metadata(path).expect("it was written").len();
    println!(
        "{keys} keys: page digests of {:.1} MB ({:.2} B a key), written and synced in {:.0} ms",
        bytes as f64 / 1e6,
        bytes as f64 / keys as f64,
        ms(elapsed)
    );
}

fn fill(directory: &Path, keys: u64) {
    let engine = Engine::open_blocking(Config::in_directory(directory)).expect("a new directory");
    let mut receipts = VecDeque::new();
    for first in (0..keys).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for key in first..(first + BATCH).min(keys) {
            batch.put(key.to_be_bytes(), [7; 32]);
        }
        receipts.push_back(engine.submit_blocking(batch).expect("the engine works"));
        if receipts.len() > IN_FLIGHT {
            let receipt = receipts.pop_front().expect("there are some");
            receipt.durable_blocking().expect("the engine works");
        }
    }
    engine.shutdown_blocking().expect("the engine works");
}

fn run(mode: &str, directory: &Path) -> String {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let output = command.arg("child").arg(mode).arg(directory).output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn child(mode: &str, directory: &Path) {
    let begun = Instant::now();
    let key = 7_u64.to_be_bytes();
    if mode == "get" {
        let tree = ReadOnly::open(directory).expect("it opens");
        let opened = begun.elapsed();
        assert!(tree.snapshot().get(&key).expect("it can be read").is_some());
        let read = begun.elapsed();
        let (opened, read) = (ms(opened), ms(read));
        println!(
            "opened in {opened:.0} ms, read in {read:.0} ms, {:.0} MB at most",
            peak_mb()
        );
        return;
    }
    let engine = Engine::open_blocking(Config::in_directory(directory)).expect("it opens");
    let opened = begun.elapsed();
    let (pages, at_once) = (engine.metrics().opened_pages, peak_mb());
    let receipt = engine.put_blocking(key, "7").expect("the engine works");
    receipt.durable_blocking().expect("the engine works");
    let durable = begun.elapsed();
    while engine.metrics().slots_to_restore > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!(
        "opened in {:.0} ms with {at_once:.0} MB ({pages} pages), a put durable at {:.0} ms, all back at {:.0} ms with {:.0} MB",
        ms(opened),
        ms(durable),
        ms(begun.elapsed()),
        peak_mb()
    );
    engine.shutdown_blocking().expect("the engine works");
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns the most memory that the process has taken, megabytes.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}
