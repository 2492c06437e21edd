//! Continuous archiving. Where ages and waits matter, time is virtual: it advances as soon as nothing else can be done.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use trunkline::core::store::archive::part::LEAVES_BYTES;
use trunkline::{Batch, Config, Engine};
use trunkline_archive::{
    Archive, Archiver, ArchiverError, ArchiverOptions, BaseReason, object_store,
};

use crate::faulty::{Fault, Faulty};
use crate::support::{Rig, key, memory_archive, write, write_batch};

/// An age that no test reaches.
const NEVER: Duration = Duration::from_secs(1 << 30);

fn options(age_max: Duration) -> ArchiverOptions {
    ArchiverOptions {
        age_max,
        ..ArchiverOptions::default()
    }
}

fn trimming(rig: &Rig, held_bytes_max: u64) -> Engine {
    let mut config: Config = rig.config("tree");
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = 8192;
    config.log.segment_bytes_max = 4096;
    config.log.held_bytes_max = held_bytes_max;
    Engine::open_blocking(config).unwrap()
}

fn long(bytes: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put("long", vec![bytes; 1000]);
    batch
}

#[tokio::test(start_paused = true)]
async fn versions_are_archived_when_they_are_old_enough() {
    let mut rig = Rig::new();
    let (engine, archive) = (rig.engine(), memory_archive());
    let archiver = Archiver::start(
        engine.clone(),
        archive.clone(),
        options(Duration::from_secs(5)),
    );
    assert!(archiver.archived(0).await);
    let roots = write(&engine, &mut rig.random, 3);
    assert!(archiver.archived(3).await);
    // The log is released as it is archived, not only at the end.
    while engine.cursors()[0].version < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let status = archiver.stop().await.unwrap();
    assert_eq!(status.archived.unwrap().commit_id, roots[2].commit_id);
    assert_eq!(status.base.unwrap().1, BaseReason::None);
    assert_eq!(engine.cursors()[0].version, 3);
    engine.shutdown_blocking().unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, roots[2]);
}

#[tokio::test]
async fn stopping_archives_what_is_left_and_the_next_archiver_continues() {
    let mut rig = Rig::new();
    let (engine, archive) = (rig.engine(), memory_archive());
    let mut last = None;
    for round in 1..=3 {
        let archiver = Archiver::start(engine.clone(), archive.clone(), options(NEVER));
        assert!(archiver.archived((round - 1) * 2).await);
        last = write(&engine, &mut rig.random, 2).pop();
        engine.drain_blocking().unwrap();
        let status = archiver.stop().await.unwrap();
        assert_eq!(status.archived.unwrap().version, round * 2);
        assert_eq!(status.base.is_some(), round == 1);
    }
    engine.shutdown_blocking().unwrap();
    assert_eq!(archive.catalog().await.unwrap().bases().count(), 1);
    assert_eq!(rig.restored(&archive, None).await.1, last.unwrap());
}

#[tokio::test]
async fn a_full_segment_is_written_whatever_its_age() {
    let rig = Rig::new();
    let (engine, archive) = (rig.engine(), memory_archive());
    let archiver = Archiver::start(engine.clone(), archive.clone(), options(NEVER));
    assert!(archiver.archived(0).await);
    let mut state = 1_u64;
    for name in ["a", "b"] {
        let random = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_le_bytes()
        });
        let value: Vec<u8> = random.take(1_100_000).flatten().collect();
        let mut batch = Batch::new();
        batch.put(name, value);
        write_batch(&engine, batch);
    }
    assert!(archiver.archived(2).await);
    archiver.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_archiver_outlasts_a_store_that_does_not_answer() {
    let rig = Rig::new();
    let engine = trimming(&rig, 1 << 30);
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), Fault::Refused, 0..3));
    let archive = Archive::on(faulty.clone(), "x".into());
    let archiver = Archiver::start(
        engine.clone(),
        archive.clone(),
        options(Duration::from_secs(1)),
    );
    write_batch(&engine, long(0));
    assert!(archiver.archived(1).await);
    assert!(archiver.status().failures >= 3);
    faulty.fail(true);
    let before = archiver.status().failures;
    // Checkpoints are made, and the log stays.
    while engine.metrics().checkpoints < 5 || archiver.status().failures == before {
        write_batch(&engine, long(1));
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(archiver.status().failing.is_some());
    let last = write_batch(&engine, long(2));
    faulty.fail(false);
    assert!(archiver.archived(last.version).await);
    let status = archiver.stop().await.unwrap();
    assert!(status.failing.is_none());
    engine.shutdown_blocking().unwrap();
    assert_eq!(archive.catalog().await.unwrap().bases().count(), 1);
    assert_eq!(rig.restored(&archive, None).await.1, last);
    assert_eq!(rig.restored(&archive, Some(2)).await.1.version, 2);
}

#[tokio::test(start_paused = true)]
async fn an_archiver_makes_a_base_if_the_log_was_trimmed_beyond_its_cursor() {
    let rig = Rig::new();
    let engine = trimming(&rig, 0);
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), Fault::Refused, 0..0));
    let archive = Archive::on(faulty.clone(), "x".into());
    let archiver = Archiver::start(
        engine.clone(),
        archive.clone(),
        options(Duration::from_secs(1)),
    );
    assert!(archiver.archived(0).await);
    faulty.fail(true);
    while engine.metrics().checkpoints < 20 {
        write_batch(&engine, long(1));
    }
    // The archiver has not run yet: it then finds that versions are gone.
    let last = write_batch(&engine, long(2));
    faulty.fail(false);
    assert!(archiver.archived(last.version).await);
    let status = archiver.stop().await.unwrap();
    assert!(matches!(
        status.base.unwrap().1,
        BaseReason::Gap { first: 1, .. }
    ));
    engine.shutdown_blocking().unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, last);
}

#[tokio::test]
async fn an_engine_that_is_shut_down_first_is_archived_to_its_end() {
    let mut rig = Rig::new();
    let (engine, archive) = (rig.engine(), memory_archive());
    let archiver = Archiver::start(engine.clone(), archive.clone(), options(NEVER));
    assert!(archiver.archived(0).await);
    let last = write(&engine, &mut rig.random, 3).pop();
    engine.shutdown_blocking().unwrap();
    assert!(archiver.archived(3).await);
    archiver.stop().await.unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, last.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_base_whose_snapshot_expires_is_begun_again() {
    let rig = Rig::new();
    let mut config = rig.config("tree");
    config.versions.retain_versions = 1;
    config.versions.snapshot_versions_behind_max = 1;
    let engine = Engine::open_blocking(config).unwrap();
    // There are more parts than may be in flight.
    for key in 0..8 {
        let mut batch = Batch::new();
        batch.put([key], vec![key; LEAVES_BYTES]);
        write_batch(&engine, batch);
    }
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), Fault::Refused, 0..0));
    let (writer, mut left) = (engine.clone(), 5);
    faulty.before_puts(move |object| {
        if left > 0 && object.as_ref().ends_with("leaves-000000") {
            left = 0;
            for byte in 0..5 {
                write_batch(&writer, long(byte));
            }
        }
    });
    let archive = Archive::on(faulty, "x".into());
    let archiver = Archiver::start(engine.clone(), archive.clone(), options(NEVER));
    assert!(archiver.archived(13).await);
    let status = archiver.stop().await.unwrap();
    assert_eq!((status.failures, status.base.unwrap().0.version), (1, 13));
    let last = engine.snapshot().root();
    engine.shutdown_blocking().unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, last);
    // The parts of the first attempt are not a base.
    assert_eq!(archive.catalog().await.unwrap().unfinished().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_while_the_store_does_not_answer_is_an_error() {
    let rig = Rig::new();
    let engine = rig.engine();
    let faulty = Arc::new(Faulty::new(
        Arc::new(InMemory::new()),
        Fault::Refused,
        0..u64::MAX,
    ));
    let archive = Archive::on(faulty, "x".into());
    let archiver = Archiver::start(engine, archive, ArchiverOptions::default());
    while archiver.status().failures == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(archiver.status().archived.is_none());
    assert!(matches!(
        archiver.stop().await,
        Err(ArchiverError::Stopped { .. })
    ));
}

#[tokio::test]
async fn what_an_archiver_signs_is_authentic() {
    let mut rig = Rig::new();
    let (engine, archive) = (rig.engine(), memory_archive());
    let options = ArchiverOptions {
        key: Some(key()),
        ..options(NEVER)
    };
    let archiver = Archiver::start(engine.clone(), archive.clone(), options);
    assert!(archiver.archived(0).await);
    write(&engine, &mut rig.random, 2);
    engine.drain_blocking().unwrap();
    archiver.stop().await.unwrap();
    let trust = trunkline_archive::Trust {
        keys: vec![key().public()],
        ..Default::default()
    };
    let restored = archive
        .restore(None, &rig.config("restored"), &trust)
        .await
        .unwrap();
    assert_eq!(restored.shown, trunkline_archive::Shown::Authentic);
}
