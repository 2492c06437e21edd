//! The log stays short, since checkpoints trim it even if no leaf changes.

use trunkline::config::DurabilityMode;
use trunkline::core::store::disk::Disk;
use trunkline::core::store::log::LOG_DIRECTORY;
use trunkline::{Batch, Engine, Outcome, Requirement};

use crate::support::{Rig, put, puts, submit, until, without_hanging};

fn rig() -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.checkpoint.unflushed_bytes_max = 8192;
        config.log.segment_bytes_max = 4096;
    })
}

fn log_bytes(rig: &Rig) -> u64 {
    let directory = rig.config.engine.directory.join(LOG_DIRECTORY);
    let names = rig.disk.list(&directory).unwrap();
    let lengths = names.iter().map(|name| {
        let file = rig.disk.open(&directory.join(name)).unwrap();
        file.length().unwrap()
    });
    lengths.sum()
}

/// Returns a batch whose requirement is not met.
fn refused() -> Batch {
    let mut batch = puts([("key", "other")]);
    batch.require("key", Requirement::Absent);
    batch
}

fn submit_some(engine: &Engine) {
    for _ in 0..20 {
        let (_, durable) = submit(engine, refused());
        assert!(matches!(durable.outcome, Outcome::Refused(_)));
    }
}

#[test]
fn the_log_stays_short_when_every_submission_is_refused() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        put(&engine, "key", "value");
        for _ in 0..10 {
            let before = engine.metrics().checkpoints;
            submit_some(&engine);
            until(|| engine.metrics().checkpoints > before);
        }
        engine.drain_blocking().unwrap();
        assert!(engine.metrics().log_bytes > 60_000);
        // The limit consists of the log that a checkpoint covers, the log written meanwhile, the active segment, and
        // spare segments.
        assert!(log_bytes(&rig) < 40_000, "{}", log_bytes(&rig));
        let last = engine.snapshot().root();
        engine.shutdown_blocking().unwrap();
        let engine = rig.open();
        assert_eq!(engine.snapshot().root(), last);
        assert_eq!(engine.get(b"key").unwrap(), Some("value".into()));
    });
}

/// Each engine writes too little for a checkpoint, but the log grows.
#[test]
fn the_log_stays_short_when_the_engine_is_reopened_repeatedly() {
    without_hanging(|| {
        let rig = rig();
        put(&rig.open(), "key", "value");
        let mut checkpoints = 0;
        for _ in 0..10 {
            let engine = rig.open();
            for _ in 0..3 {
                submit(&engine, refused());
            }
            engine.shutdown_blocking().unwrap();
            checkpoints += engine.metrics().checkpoints;
        }
        assert!(checkpoints > 0);
    });
}

/// While commits wait for a checkpoint, no interval can end.
#[test]
fn what_was_acknowledged_is_synced_before_commits_wait_for_a_checkpoint() {
    without_hanging(|| {
        let mut rig = rig();
        rig.config.durability.mode = DurabilityMode::Interval;
        rig.config.durability.interval_ms = 60_000;
        // A new segment would also be a sync.
        rig.config.log.segment_bytes_max = 1 << 20;
        let engine = rig.open();
        rig.leaves.ingestions.close();
        put(&engine, "first", &"x".repeat(5000));
        rig.leaves.ingestions.wait_for_a_waiter();
        let syncs_before = rig.disk.syncs.passed();
        put(&engine, "second", &"x".repeat(5000));
        until(|| rig.disk.syncs.passed() > syncs_before);
        rig.leaves.ingestions.open();
    });
}
