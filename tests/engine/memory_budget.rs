//! The memory budget that leaves and values share.

use std::cell::RefCell;

use bytes::Bytes;
use trunkline::Engine;
use trunkline::decisions::{Change, Evidence, Reason, Window};
use trunkline_testkit::random::Random;

use crate::support::{Rig, puts, submit, until, without_hanging};

const KEYS: u64 = 400;
/// Size of about half of the values in bytes.
const VALUE_BYTES: u64 = 64 << 10;
const BUDGET_BYTES: u64 = 32 << 20;

fn value(key: u64) -> Bytes {
    format!("{key:0128}").into()
}

/// Opens an engine whose leaf store has all values, and whose cache has no room for them.
fn engine(rig: &Rig) -> Engine {
    let engine = rig.open();
    let pairs = (0..KEYS).map(|key| (key.to_le_bytes(), value(key)));
    submit(&engine, puts(pairs));
    until(|| engine.metrics().checkpoints >= 1);
    engine
}

fn rig() -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.control.window_ms = 10;
        config.cache.value_bytes_max = VALUE_BYTES;
        config.memory.budget_bytes = BUDGET_BYTES;
        config.memory.shared = true;
    })
}

/// Returns the changes of the value cache's size.
fn moves(engine: &Engine) -> Vec<(u64, u64)> {
    let decisions = engine.decisions_since(0);
    let moves = decisions.iter().filter_map(|decision| {
        let Change::ValueCacheBytes { from, to } = decision.change else {
            return None;
        };
        assert_eq!(decision.reason, Reason::MarginalHits);
        let evidence = decision.seen.evidence;
        assert!(matches!(evidence, Some(Evidence::Bytes { near_bytes, .. }) if near_bytes > 0));
        Some((from, to))
    });
    moves.collect()
}

/// Reads random keys until the value cache gets some of the tree's memory.
fn read_until_moved(engine: &Engine) {
    let random = RefCell::new(Random(1));
    until(|| {
        for _ in 0..256 {
            let key = random.borrow_mut().below(KEYS);
            let found = engine.get(&key.to_le_bytes()).unwrap();
            assert_eq!(found, Some(value(key)));
        }
        !moves(engine).is_empty()
    });
}

/// Returns the first complete window after now.
fn next_window(engine: &Engine) -> Window {
    let last = engine.windows_since(0).last().map_or(0, |last| last.number);
    // The current window may have begun before the last call.
    until(|| engine.windows_since(last + 1).last().is_some());
    engine.windows_since(last + 1)[0]
}

#[test]
fn memory_moves_to_values_that_are_read_from_the_store_repeatedly() {
    without_hanging(|| {
        let rig = rig();
        let engine = engine(&rig);
        read_until_moved(&engine);
        next_window(&engine);

        let (moves, windows) = (moves(&engine), engine.windows_since(0));
        assert_eq!(moves[0].0, VALUE_BYTES);
        assert!(moves[0].1 > VALUE_BYTES, "{moves:?}");
        assert!(moves.windows(2).all(|pair| pair[0].1 == pair[1].0));
        for window in &windows {
            let tree = window.tree_bytes_max;
            assert!((BUDGET_BYTES / 8..BUDGET_BYTES).contains(&tree), "{tree}");
        }
        let last = windows.last().map(|last| last.value_cache_bytes_max);
        assert_eq!(last, moves.last().map(|last| last.1));

        // All values fit now.
        let read_all = || {
            for key in 0..KEYS {
                assert_eq!(engine.get(&key.to_le_bytes()).unwrap(), Some(value(key)));
            }
        };
        read_all();
        let before = engine.metrics().store_reads;
        read_all();
        assert_eq!(engine.metrics().store_reads, before);
    });
}

#[test]
fn a_reloaded_size_of_the_cache_replaces_the_adapted_one() {
    without_hanging(|| {
        let rig = rig();
        let engine = engine(&rig);
        read_until_moved(&engine);
        let mut config = rig.config.clone();
        config.cache.value_bytes_max = 8 << 20;
        engine.reload(config).unwrap();
        assert_eq!(next_window(&engine).value_cache_bytes_max, 8 << 20);
    });
}
