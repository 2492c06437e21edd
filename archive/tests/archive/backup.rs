//! Backups: the objects that they write, and the cases that they refuse.

use trunkline::{Batch, Config, Engine};
use trunkline_archive::{BackupError, BasePolicy, BaseReason, Source, WriteError};

use crate::support::{Rig, memory_archive, objects, write, write_batch};

#[tokio::test]
async fn the_first_backup_makes_a_base_and_later_ones_segments() {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    let mut roots = rig.write(3);
    let first = rig.back_up(&archive).await.unwrap();
    let (base, reason) = first.base.unwrap();
    assert_eq!((base.version, reason), (3, BaseReason::None));
    assert_eq!((first.before, first.versions), (None, 0));
    for expected in [5, 6] {
        roots.extend(rig.write(expected - roots.len() as u64));
        let backup = rig.back_up(&archive).await.unwrap();
        assert_eq!((backup.base, backup.last.version), (None, expected));
        assert_eq!(
            backup.last.commit_id,
            roots[expected as usize - 1].commit_id
        );
    }
    let catalog = archive.catalog().await.unwrap();
    let names: Vec<_> = catalog
        .segments()
        .map(|name| (name.first_version, name.last_version, name.open_epoch))
        .collect();
    // Each opening for writing is an epoch.
    assert_eq!(names, [(4, 5, 2), (6, 6, 3)]);
    assert_eq!((catalog.bases().count(), catalog.epoch_max()), (1, 3));
    assert_eq!(catalog.others(), [""; 0]);
}

#[tokio::test]
async fn a_backup_without_new_versions_writes_nothing() {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    let before = objects(&rig.path("archive"));
    let backup = rig.back_up(&archive).await.unwrap();
    assert_eq!((backup.base, backup.versions), (None, 0));
    assert_eq!(objects(&rig.path("archive")), before);
}

#[tokio::test]
async fn a_base_is_made_when_it_is_asked_for() {
    let mut rig = Rig::new();
    let archive = memory_archive();
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    rig.write(2);
    let backup = archive
        .back_up(&rig.closed(), BasePolicy::Always, None)
        .await
        .unwrap();
    assert_eq!(backup.base.unwrap().1, BaseReason::Asked);
    assert_eq!(backup.versions, 2); // no version between the bases is lost
    assert_eq!(archive.catalog().await.unwrap().bases().count(), 2);
}

#[tokio::test]
async fn a_running_engine_is_backed_up() {
    let mut rig = Rig::new();
    let archive = memory_archive();
    let engine = rig.engine();
    write(&engine, &mut rig.random, 3);
    let source = Source::Engine(engine.clone());
    archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    let roots = write(&engine, &mut rig.random, 3);
    let backup = archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    assert_eq!(
        (backup.base, backup.versions, backup.last.version),
        (None, 3, 6)
    );
    drop(source);
    engine.shutdown_blocking().unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, roots[2]);
}

#[tokio::test]
async fn an_empty_tree_has_a_base_of_version_0() {
    let mut rig = Rig::new();
    let archive = memory_archive();
    rig.write(0);
    let backup = rig.back_up(&archive).await.unwrap();
    assert_eq!(backup.base.unwrap().0.version, 0);
    let roots = rig.write(2);
    rig.back_up(&archive).await.unwrap();
    assert_eq!(rig.restored(&archive, Some(1)).await.1, roots[0]);
    assert_eq!(rig.restored(&archive, Some(0)).await.1.version, 0);
}

fn trimming(rig: &Rig) -> Config {
    let mut config = rig.config("tree");
    config.checkpoint.bytes_max = 4096;
    config.checkpoint.unflushed_bytes_max = 8192;
    config.log.segment_bytes_max = 4096;
    config
}

/// Writes until the log lacks a version.
fn trim(engine: &Engine, version: u64) {
    while !matches!(
        engine.feed(version).try_next(),
        Err(trunkline::FeedError::Gap { .. })
    ) {
        let mut batch = Batch::new();
        batch.put("long", vec![7; 1000]);
        write_batch(engine, batch);
    }
}

#[tokio::test]
async fn a_gap_is_named_and_a_new_base_continues_behind_it() {
    let rig = Rig::new();
    let archive = memory_archive();
    let engine = Engine::open_blocking(trimming(&rig)).unwrap();
    let source = Source::Engine(engine.clone());
    archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    trim(&engine, 1);
    let refused = archive.back_up(&source, BasePolicy::Never, None).await;
    let Err(BackupError::NeedsBase(BaseReason::Gap { first: 1, last })) = refused else {
        panic!("{refused:?}");
    };
    let backup = archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    assert_eq!(backup.base.unwrap().1, BaseReason::Gap { first: 1, last });
    assert_eq!(backup.versions, 0);
    let newest = engine.snapshot().root();
    drop(source);
    engine.shutdown_blocking().unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, newest);
}

#[tokio::test]
async fn a_cursor_keeps_the_log_until_it_is_archived() {
    let rig = Rig::new();
    let archive = memory_archive();
    let engine = Engine::open_blocking(trimming(&rig)).unwrap();
    let source = Source::Engine(engine.clone());
    archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    engine.set_cursor("archive", 0).unwrap();
    for _ in 0..100 {
        let mut batch = Batch::new();
        batch.put("long", vec![7; 1000]);
        write_batch(&engine, batch);
    }
    assert!(engine.metrics().checkpoints > 0);
    let backup = archive
        .back_up(&source, BasePolicy::Never, None)
        .await
        .unwrap();
    assert_eq!(backup.versions, 100);
}

#[tokio::test]
async fn an_archive_of_another_tree_is_refused() {
    let (mut one, mut other) = (Rig::new(), Rig::new());
    let archive = memory_archive();
    one.write(1);
    one.back_up(&archive).await.unwrap();
    other.write(1);
    let refused = other.back_up(&archive).await;
    assert!(matches!(
        refused,
        Err(BackupError::Write(WriteError::OtherTree { .. }))
    ));
}

#[tokio::test]
async fn values_and_segments_of_many_megabytes_are_archived_in_parts() {
    let rig = Rig::new();
    let archive = rig.local_archive();
    let engine = rig.engine();
    let source = Source::Engine(engine.clone());
    let mut state = 1_u64;
    let mut value = || {
        // The bytes do not compress.
        let mut bytes = Vec::with_capacity(5 << 20);
        while bytes.len() < 5 << 20 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes
    };
    let mut put = |key: String| {
        let mut batch = Batch::new();
        batch.put(key, value());
        write_batch(&engine, batch)
    };
    for key in 0..3 {
        put(format!("key {key}"));
    }
    archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    let roots: Vec<_> = (3..8).map(|key| put(format!("key {key}"))).collect();
    archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    drop(source);
    engine.shutdown_blocking().unwrap();
    let names = objects(&rig.path("archive"));
    let with = |part: &str| {
        names
            .iter()
            .filter(|name| name.to_str().unwrap().contains(part))
            .count()
    };
    assert_eq!((with("leaves-"), with("segments/")), (2, 2));
    for root in [roots[1], roots[4]] {
        assert_eq!(rig.restored(&archive, Some(root.version)).await.1, root);
    }
}
