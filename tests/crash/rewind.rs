//! A directory is rewound to an earlier version, and then follows another primary.

use std::path::Path;

use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::store::log::LogPosition;
use trunkline::{Batch, Config, Engine, IdempotencyKey, OpenError, Rewind, RewindError};
use trunkline_testkit::patience::HANGS_AFTER;

fn config(directory: &Path) -> Config {
    let mut config = Config::in_directory(directory);
    config.log.segment_bytes_max = 4096;
    config
}

/// Commits versions at an engine in a directory, and returns their positions.
fn commit(engine: &Engine, values: impl Iterator<Item = u64>) -> Vec<LogPosition> {
    let put = |value: u64| {
        let receipt = engine.put_blocking(format!("{}", value % 5), format!("{value:0300}"));
        let durable = receipt.unwrap().durable_blocking().unwrap();
        LogPosition {
            version: durable.version,
            commit_id: durable.commit_id,
        }
    };
    values.map(put).collect()
}

#[test]
fn the_versions_behind_are_read_and_then_gone() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("old"));
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let positions = commit(&engine, 0..60);
    let params = engine.params();
    engine.set_cursor("kept", 30).unwrap();
    engine.set_cursor("ahead", 50).unwrap();
    let kept = engine
        .feed(1)
        .take(40)
        .map(Result::unwrap)
        .collect::<Vec<_>>();
    engine.shutdown_blocking().unwrap();

    // Another primary continued from version 40.
    let key = SecretKey::generate([7; 32]);
    let other = self::config(&directory.path().join("new"));
    let builder = Engine::builder(other.clone()).params(&params);
    let replica = builder.open_replica_blocking(vec![key.public()]).unwrap();
    for entry in kept {
        replica.apply_blocking(Frame::sign(entry, &key)).unwrap();
    }
    let promoted = replica.promote_blocking(0).unwrap();
    commit(&promoted, 100..110);

    let rewind = Rewind::begin(&config).unwrap();
    assert_eq!(rewind.last(), positions[59]);
    let lost: Vec<_> = rewind
        .entries_after(40)
        .map(|entry| entry.unwrap().record.version)
        .collect();
    assert_eq!(lost, (41..=60).collect::<Vec<_>>());
    rewind.finish(positions[39]).unwrap();
    let report = trunkline::check(&config.engine.directory).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.verified, Some(positions[39]));

    let rejoined = Engine::builder(config.clone())
        .open_replica_blocking(vec![key.public()])
        .unwrap();
    assert_eq!(rejoined.position(), positions[39]);
    let cursors = rejoined.cursors();
    assert_eq!(cursors.len(), 1);
    assert_eq!((cursors[0].name.as_str(), cursors[0].version), ("kept", 30));
    for entry in promoted.feed(41).take(10) {
        rejoined
            .apply_blocking(Frame::sign(entry.unwrap(), &key))
            .unwrap();
    }
    rejoined.wait_for_blocking(50, HANGS_AFTER).unwrap();
    assert_eq!(rejoined.snapshot().root(), promoted.snapshot().root());
    rejoined.shutdown_blocking().unwrap();
    assert!(
        trunkline::check(&config.engine.directory)
            .unwrap()
            .is_sound()
    );
    let again = Engine::builder(config)
        .open_replica_blocking(vec![key.public()])
        .unwrap();
    assert_eq!(again.snapshot().root(), promoted.snapshot().root());
}

#[test]
fn a_version_that_is_not_there_or_below_the_checkpoint_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = 8192;
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let positions = commit(&engine, 0..60);
    let refused = Rewind::begin(&config).unwrap_err();
    assert!(matches!(refused, OpenError::Lock(_)));
    engine.shutdown_blocking().unwrap();

    let finish = |to| Rewind::begin(&config).unwrap().finish(to).unwrap_err();
    assert!(matches!(
        finish(positions[0]),
        RewindError::Checkpoint { to: 1, .. }
    ));
    let other = LogPosition {
        commit_id: [9; 32],
        ..positions[59]
    };
    assert!(matches!(
        finish(other),
        RewindError::NotThere { version: 60, .. }
    ));
    let engine = Engine::open_blocking(config.clone()).unwrap();
    assert_eq!(engine.snapshot().version(), 60);
    engine.shutdown_blocking().unwrap();

    // A rewind to the last version: the directory becomes a replica's.
    let rewind = Rewind::begin(&config).unwrap();
    assert_eq!(rewind.positions().last(), Some(&positions[59]));
    assert!(rewind.positions()[0].version > 1);
    rewind.finish(positions[59]).unwrap();
    let refused = Engine::open_blocking(config).unwrap_err();
    assert!(matches!(refused, OpenError::IsReplica { .. }));
}

#[test]
fn a_submission_behind_the_version_is_forgotten_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = Engine::open_blocking(config.clone()).unwrap();
    let submit = |engine: &Engine, key: u64| {
        let mut batch = Batch::new();
        batch.put(format!("of {key}"), "x");
        batch.idempotency_key(IdempotencyKey::new(&key.to_le_bytes()).unwrap());
        let receipt = engine.submit_blocking(batch).unwrap();
        let durable = receipt.durable_blocking().unwrap();
        (receipt.is_repeat(), durable)
    };
    let durable: Vec<_> = (0..10).map(|key| submit(&engine, key).1).collect();
    engine.shutdown_blocking().unwrap();
    let to = LogPosition {
        version: durable[5].version,
        commit_id: durable[5].commit_id,
    };
    Rewind::begin(&config).unwrap().finish(to).unwrap();

    let builder = Engine::builder(config.clone());
    let replica = builder.open_replica_blocking(vec![]).unwrap();
    let (snapshot, keyed) = replica.snapshot_with_keys();
    assert_eq!((snapshot.version(), keyed.len()), (to.version, 6));
    drop(snapshot);
    let engine = replica.promote_blocking(0).unwrap();
    for key in 0..10 {
        assert_eq!(submit(&engine, key).0, key < 6);
    }
    engine.shutdown_blocking().unwrap();
}
