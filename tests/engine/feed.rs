//! The feed: durable versions in order, for followers of the engine.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::history::MountainRange;
use trunkline::core::store::effect::decode_effects;
use trunkline::core::store::log::LogEntry;
use trunkline::{CursorError, Engine, FeedError};

use crate::support::{Rig, put, puts, submit, until, without_hanging};

fn trimming() -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.checkpoint.unflushed_bytes_max = 8192;
        config.log.segment_bytes_max = 4096;
    })
}

/// Returns the keys and values of a version's effects.
fn effects(engine: &Engine, entry: &LogEntry) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let params = engine.params();
    let effects = decode_effects(&params, &entry.effects).unwrap();
    let pair = |effect: &trunkline::core::store::effect::Effect<'_>| {
        (effect.key.to_vec(), effect.change.map(<[u8]>::to_vec))
    };
    effects.iter().map(pair).collect()
}

#[test]
fn every_version_comes_once_in_order_with_its_record_root_and_effects() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let mut feed = engine.feed(0);
        let mut parent = None;
        for version in 1..=20 {
            let durable = put(&engine, "key", &version.to_string());
            let entry = feed.next().unwrap().unwrap();
            assert_eq!(entry.record.version, version);
            assert_eq!(entry.record.commit_id(), durable.commit_id);
            assert_eq!(entry.kzg_root, durable.kzg_root);
            assert!(parent.is_none_or(|parent| parent == entry.record.parent));
            parent = Some(durable.commit_id);
            let put = (b"key".to_vec(), Some(version.to_string().into_bytes()));
            assert_eq!(effects(&engine, &entry), [put]);
        }
        assert!(feed.try_next().unwrap().is_none());
        let again: Vec<_> = engine
            .feed(1)
            .take(20)
            .map(|entry| entry.unwrap().record.version)
            .collect();
        assert_eq!(again, (1..=20).collect::<Vec<_>>());
    });
}

/// In mode `os` a receipt comes before the sync.
#[test]
fn nothing_that_is_not_synced_is_in_the_feed() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.durability.mode = DurabilityMode::Os);
        let engine = rig.open();
        let mut feed = engine.feed(1);
        put(&engine, "key", "value");
        assert_eq!(engine.snapshot().version(), 1);
        assert!(feed.try_next().unwrap().is_none());
        assert_eq!(engine.synced_version(), 0);
        engine.drain_blocking().unwrap();
        assert_eq!(feed.try_next().unwrap().unwrap().record.version, 1);
    });
}

#[test]
fn the_end_of_a_feed_is_the_end_of_the_engine_behind_everything_synced() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.kzg.mode = KzgMode::OnDemand);
        let engine = rig.open();
        let mut feed = engine.feed(1);
        let receipts: Vec<_> = (0..50)
            .map(|key| engine.put_blocking(format!("{key}"), "v").unwrap())
            .collect();
        engine.shutdown_blocking().unwrap();
        let newest = receipts.last().unwrap().durable_blocking().unwrap().version;
        let versions: Vec<_> = feed
            .by_ref()
            .map(|entry| entry.unwrap().record.version)
            .collect();
        assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
        assert!(feed.next().is_none());
    });
}

#[test]
fn a_failure_of_the_engine_ends_the_feed_with_its_cause() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "key", "value");
        let mut feed = engine.feed(1);
        rig.disk.syncs.fail(Some(std::io::ErrorKind::StorageFull));
        let receipt = engine.put_blocking("other", "value").unwrap();
        assert!(receipt.durable_blocking().is_err());
        assert_eq!(feed.next().unwrap().unwrap().record.version, 1);
        assert!(matches!(feed.next(), Some(Err(FeedError::Engine(_)))));
        assert!(feed.next().is_none());
    });
}

#[test]
fn a_stream_is_pending_at_the_end_and_woken_by_the_next_version() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let mut feed = pin!(engine.feed(1));
        let waker = Waker::noop();
        assert!(
            feed.as_mut()
                .poll_next(&mut Context::from_waker(waker))
                .is_pending()
        );
        let next = std::thread::spawn({
            let engine = engine.clone();
            move || engine.feed(1).next().unwrap().unwrap().record.version
        });
        put(&engine, "key", "value");
        assert_eq!(next.join().unwrap(), 1);
        let Poll::Ready(Some(Ok(entry))) = feed.as_mut().poll_next(&mut Context::from_waker(waker))
        else {
            panic!("a version is there");
        };
        assert_eq!(entry.record.version, 1);
    });
}

/// Fills the log until checkpoints have trimmed its beginning.
fn trim_the_beginning(engine: &Engine) {
    let mut version = 0;
    while engine.feed(1).try_next().is_ok() {
        version = put(engine, "key", &"x".repeat(3000 + version as usize % 7)).version;
        assert!(version < 1000, "the log is never trimmed");
    }
}

#[test]
fn a_feed_that_fell_behind_gets_a_gap_that_names_the_oldest_version() {
    without_hanging(|| {
        let rig = trimming();
        let engine = rig.open();
        trim_the_beginning(&engine);
        let Some(Err(FeedError::Gap { wanted: 1, oldest })) = engine.feed(1).next() else {
            panic!("the beginning was trimmed");
        };
        assert_eq!(
            engine.feed(oldest).next().unwrap().unwrap().record.version,
            oldest
        );
    });
}

#[test]
fn a_cursor_holds_the_log_until_it_moves_on_also_across_a_restart() {
    without_hanging(|| {
        let rig = trimming();
        let engine = rig.open();
        engine.set_cursor("replica", 0).unwrap();
        let fill = |engine: &Engine| {
            let before = engine.metrics().checkpoints;
            while engine.metrics().checkpoints < before + 3 {
                put(engine, "key", &"x".repeat(3000));
            }
            engine.drain_blocking().unwrap();
        };
        fill(&engine);
        until(|| engine.metrics().log_held_bytes > 0);
        assert_eq!(engine.feed(1).next().unwrap().unwrap().record.version, 1);
        engine.shutdown_blocking().unwrap();

        let engine = rig.open();
        assert_eq!(engine.cursors()[0].version, 0);
        fill(&engine);
        let newest = engine.synced_version();
        let mut history = MountainRange::default();
        for entry in engine.feed(1).take(newest as usize) {
            let entry = entry.unwrap();
            history.append(
                &trunkline::core::history::HISTORY,
                &entry.record.commit_id(),
            );
        }
        assert_eq!(history.count(), newest);
        engine.set_cursor("replica", newest).unwrap();
        trim_the_beginning(&engine);
        assert!(!engine.cursors()[0].is_gap);
        assert!(engine.remove_cursor("replica").unwrap());
        assert!(!engine.remove_cursor("replica").unwrap());
    });
}

#[test]
fn a_cursor_beyond_the_bound_becomes_a_gap_and_holds_nothing() {
    without_hanging(|| {
        let mut rig = trimming();
        rig.config.log.held_bytes_max = 20_000;
        let engine = rig.open();
        engine.set_cursor("slow", 0).unwrap();
        trim_the_beginning(&engine);
        let cursor = &engine.cursors()[0];
        assert!(cursor.is_gap && cursor.version == 0);
        until(|| {
            put(&engine, "key", &"x".repeat(3000));
            engine.metrics().log_held_bytes == 0
        });
    });
}

#[test]
fn bad_cursors_are_refused_and_change_nothing() {
    let rig = Rig::new();
    let engine = rig.open();
    put(&engine, "key", "value");
    put(&engine, "key", "other");
    assert!(matches!(
        engine.set_cursor("Not a name", 1),
        Err(CursorError::Name(_))
    ));
    let ahead = engine.set_cursor("a", 3);
    assert!(matches!(
        ahead,
        Err(CursorError::Ahead {
            version: 3,
            synced: 2
        })
    ));
    engine.set_cursor("a", 2).unwrap();
    let behind = engine.set_cursor("a", 1);
    assert!(matches!(
        behind,
        Err(CursorError::Behind { version: 1, now: 2 })
    ));
    for index in 1..64 {
        engine.set_cursor(&format!("b{index}"), 0).unwrap();
    }
    assert!(matches!(
        engine.set_cursor("c", 0),
        Err(CursorError::TooMany)
    ));
    rig.disk.syncs.fail(Some(std::io::ErrorKind::StorageFull));
    assert!(matches!(
        engine.remove_cursor("a"),
        Err(CursorError::File { .. })
    ));
    rig.disk.syncs.fail(None);
    assert_eq!(engine.cursors().len(), 64);
    assert_eq!(engine.cursors()[0].version, 2);
}

#[test]
fn a_feed_that_nobody_reads_holds_up_nothing() {
    without_hanging(|| {
        let rig = trimming();
        let engine = rig.open();
        let unread: Vec<_> = (0..100).map(|_| engine.feed(1)).collect();
        for round in 0..50 {
            submit(
                &engine,
                puts((0..100).map(|key| (format!("{key}"), format!("{round}")))),
            );
        }
        drop(unread);
    });
}

struct Ignoring;

impl Wake for Ignoring {
    fn wake(self: Arc<Self>) {}
}

/// A caller that waits with a time limit on an idle engine does so repeatedly.
#[test]
fn a_feed_that_is_dropped_while_it_waits_leaves_nothing() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let woken = Arc::new(Ignoring);
        let waker = Waker::from(woken.clone());
        let mut feed = engine.feed(1);
        for _ in 0..3 {
            let mut dropped = engine.feed(1);
            let mut context = Context::from_waker(&waker);
            assert!(
                std::pin::Pin::new(&mut dropped)
                    .poll_next(&mut context)
                    .is_pending()
            );
            drop(dropped);
            // A wait on a feed that is kept can be dropped, too.
            let mut waiting = Box::pin(feed.next_entry());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        drop((feed, waker));
        assert_eq!(Arc::strong_count(&woken), 1);
    });
}
