//! Restoring: every version, the trusted values, and the refusals.

use trunkline::core::frame::SecretKey;
use trunkline::core::record::Root;
use trunkline::{Batch, Engine, IdempotencyKey, KeyRange, OpenError, ReadError, ReadOnly};
use trunkline_archive::{
    Archive, BasePolicy, FrameReader, RestoreError, RouteError, Shown, Source, Trust,
};

use crate::support::{Rig, key, memory_archive, objects, root_in};

/// Makes an archive with a base of version 2 and segments up to 6.
async fn archived(key: Option<SecretKey>) -> (Rig, Archive, Vec<Root>) {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    let mut roots = rig.write(2);
    archive
        .back_up(&rig.closed(), BasePolicy::IfNeeded, key.clone())
        .await
        .unwrap();
    for _ in 0..2 {
        roots.extend(rig.write(2));
        archive
            .back_up(&rig.closed(), BasePolicy::IfNeeded, key.clone())
            .await
            .unwrap();
    }
    (rig, archive, roots)
}

#[tokio::test]
async fn every_archived_version_is_restored_with_its_commit_id() {
    let (rig, archive, roots) = archived(None).await;
    for root in &roots[1..] {
        let (restored, found) = rig.restored(&archive, Some(root.version)).await;
        assert_eq!(found, *root);
        assert_eq!(restored.position.commit_id, root.commit_id);
        assert_eq!(restored.shown, Shown::Consistent);
    }
    let (restored, found) = rig.restored(&archive, None).await;
    assert_eq!((restored.base.version, found), (2, roots[5]));
}

#[tokio::test]
async fn a_restored_directory_keeps_an_index_of_keys_if_its_own_configuration_asks() {
    let (rig, archive, roots) = archived(None).await;
    for key_order in [true, false] {
        let name = format!("restored-{key_order}");
        let mut config = rig.config(&name);
        config.store.key_order = key_order;
        let restored = archive.restore(None, &config, &Trust::default()).await;
        assert_eq!(restored.unwrap().position.commit_id, roots[5].commit_id);
        let tree = ReadOnly::open(&rig.path(&name)).unwrap();
        let snapshot = tree.snapshot();
        let ordered: Result<Vec<_>, _> = snapshot.range_iter(KeyRange::all()).collect();
        if key_order {
            let mut all: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
            all.sort();
            assert_eq!(ordered.unwrap(), all);
        } else {
            assert!(matches!(ordered, Err(ReadError::NoKeyOrder)));
        }
        drop((snapshot, tree));
        let report = trunkline::check(&rig.path(&name)).unwrap();
        assert!(report.is_sound());
        config.store.key_order = !key_order;
        let builder = Engine::builder(config);
        let refused = builder.open_replica_blocking(vec![]).unwrap_err();
        assert!(
            matches!(refused, OpenError::OtherKeyOrder { recorded, .. } if recorded == key_order)
        );
    }
}

#[tokio::test]
async fn a_revert_is_restored_like_any_version() {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    let roots = rig.write(3);
    let builder = Engine::builder(rig.config("tree")).keep_from(1);
    let engine = builder.open_blocking().unwrap();
    let receipt = engine.revert_to_blocking(1).unwrap();
    let durable = receipt.durable_blocking().unwrap();
    assert_eq!(durable.state_digest, roots[0].state_digest);
    engine.shutdown_blocking().unwrap();
    rig.back_up(&archive).await.unwrap();
    let (restored, found) = rig.restored(&archive, None).await;
    assert_eq!(restored.position.commit_id, durable.commit_id);
    assert_eq!(found.state_digest, roots[0].state_digest);
}

#[tokio::test]
async fn what_is_restored_is_a_replica_that_writes_in_a_higher_epoch() {
    let (rig, archive, roots) = archived(None).await;
    let config = rig.config("restored");
    let restored = archive
        .restore(Some(3), &config, &Trust::default())
        .await
        .unwrap();
    assert_eq!(restored.epoch_max, 3);
    let refused = Engine::open_blocking(config.clone());
    assert!(matches!(refused, Err(OpenError::IsReplica { .. })));
    let replica = Engine::builder(config)
        .open_replica_blocking(vec![])
        .unwrap();
    assert_eq!(replica.snapshot().root(), roots[2]);
    // The archived epochs are unknown here.
    let engine = replica.promote_blocking(0).unwrap();
    let durable = engine
        .put_blocking("a", "b")
        .unwrap()
        .durable_blocking()
        .unwrap();
    let snapshot = engine.snapshot_at(durable.version).unwrap();
    assert!(snapshot.record().open_epoch > restored.epoch_max);
    assert_eq!(snapshot.record().parent, roots[2].commit_id);
}

fn with_key(key: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(format!("of {key}"), "x");
    batch.idempotency_key(IdempotencyKey::new(key.as_bytes()).unwrap());
    batch
}

/// Submits a batch with a key, waits until it is durable, and returns whether it was a repeat.
fn submit(engine: &Engine, key: &str) -> bool {
    let receipt = engine.submit_blocking(with_key(key)).unwrap();
    receipt.durable_blocking().unwrap();
    receipt.is_repeat()
}

#[tokio::test]
async fn submissions_before_the_base_and_after_it_are_remembered() {
    let rig = Rig::new();
    let archive = rig.local_archive();
    for key in ["in the base", "in a segment", "later"] {
        let engine = rig.engine();
        assert!(!submit(&engine, key));
        let running = Source::Engine(engine.clone());
        if key == "in the base" {
            let base = archive.back_up(&running, BasePolicy::Always, None).await;
            assert!(base.unwrap().base.is_some());
        }
        drop(running);
        engine.shutdown_blocking().unwrap();
        rig.back_up(&archive).await.unwrap();
    }
    // A base of a closed directory has the same keys.
    let closed = rig.closed();
    archive
        .back_up(&closed, BasePolicy::Always, None)
        .await
        .unwrap();
    drop(closed);
    assert!(
        archive
            .verify(None, &Trust::default())
            .await
            .unwrap()
            .is_whole()
    );
    for version in [2, 3] {
        let config = rig.config("restored");
        let trust = Trust::default();
        let restored = archive
            .restore(Some(version), &config, &trust)
            .await
            .unwrap();
        assert_eq!(restored.base.version, if version == 2 { 1 } else { 3 });
        let builder = Engine::builder(config);
        let replica = builder.open_replica_blocking(vec![]).unwrap();
        let engine = replica.promote_blocking(0).unwrap();
        assert!(submit(&engine, "in the base"));
        assert!(submit(&engine, "in a segment"));
        assert_eq!(submit(&engine, "later"), version == 3);
        engine.shutdown_blocking().unwrap();
        std::fs::remove_dir_all(rig.path("restored")).unwrap();
    }
}

#[tokio::test]
async fn a_version_before_or_after_the_archive_is_refused_by_name() {
    let (rig, archive, _) = archived(None).await;
    let config = rig.config("restored");
    let restore = async |version| {
        archive
            .restore(Some(version), &config, &Trust::default())
            .await
            .unwrap_err()
    };
    let RestoreError::Route(before) = restore(1).await else {
        panic!()
    };
    assert_eq!(
        before,
        RouteError::BeforeBases {
            wanted: 1,
            oldest: 2
        }
    );
    let RestoreError::Route(after) = restore(7).await else {
        panic!()
    };
    assert_eq!(after, RouteError::AfterEnd { wanted: 7, last: 6 });
    assert!(!rig.path("restored").exists());
}

#[tokio::test]
async fn a_hole_is_named_and_a_new_base_mends_it() {
    let (mut rig, archive, _) = archived(None).await;
    let segments = objects(&rig.path("archive/segments"));
    std::fs::remove_file(&segments[0]).unwrap();
    let config = rig.config("restored");
    let error = archive
        .restore(None, &config, &Trust::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no segment with the versions 3 to 4"),
        "{error}"
    );
    assert!(error.to_string().contains("backup --base"), "{error}");
    let roots = rig.write(1);
    archive
        .back_up(&rig.closed(), BasePolicy::Always, None)
        .await
        .unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, roots[0]);
}

#[tokio::test]
async fn a_directory_with_files_is_left_alone() {
    let (rig, archive, _) = archived(None).await;
    std::fs::create_dir(rig.path("restored")).unwrap();
    let restore = async || {
        archive
            .restore(None, &rig.config("restored"), &Trust::default())
            .await
    };
    std::fs::write(rig.path("restored/note"), "mine").unwrap();
    assert!(matches!(
        restore().await,
        Err(RestoreError::NotEmpty { .. })
    ));
    assert_eq!(objects(&rig.path("restored")).len(), 1);
    std::fs::remove_file(rig.path("restored/note")).unwrap();
    restore().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_restore_leaves_no_target_and_is_made_again() {
    let (rig, archive, roots) = archived(None).await;
    // The remains of a killed restore: a directory with another name, at an older version.
    let other = rig.config("restored.restoring");
    archive
        .restore(Some(3), &other, &Trust::default())
        .await
        .unwrap();
    std::fs::create_dir(rig.path("restored.restoring.unfinished")).unwrap();
    assert!(
        matches!(
            Engine::builder(rig.config("restored")).open_replica_blocking(vec![]),
            Ok(replica) if replica.position().version == 0
        ) || !rig.path("restored").exists()
    );
    std::fs::remove_dir_all(rig.path("restored")).unwrap();
    assert_eq!(rig.restored(&archive, None).await.1, roots[5]);
    assert!(!rig.path("restored.restoring").exists());
    assert!(!rig.path("restored.restoring.unfinished").exists());
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_not_taken_for_an_interrupted_restore() {
    let (rig, archive, _) = archived(None).await;
    std::fs::create_dir(rig.path("restored.restoring")).unwrap();
    std::fs::write(rig.path("restored.restoring/thesis"), "mine").unwrap();
    let config = rig.config("restored");
    let refused = archive.restore(None, &config, &Trust::default()).await;
    assert!(
        matches!(refused, Err(RestoreError::NotEmpty { path }) if path.ends_with("restored.restoring"))
    );
    assert!(rig.path("restored.restoring/thesis").exists());
}

#[tokio::test]
async fn a_replica_catches_up_from_the_frames_of_an_archive() {
    let (rig, archive, roots) = archived(Some(key())).await;
    let config = rig.config("restored");
    archive
        .restore(Some(2), &config, &Trust::default())
        .await
        .unwrap();
    let builder = Engine::builder(config);
    let replica = builder.open_replica_blocking(vec![key().public()]).unwrap();
    let reader = FrameReader::new(archive);
    let frames = async |from, until| reader.frames(from, until).await.unwrap();
    // A part of the requested versions could be those that another primary replaced.
    assert!(frames(3, 7).await.is_empty());
    assert!(frames(7, 7).await.is_empty());
    while replica.last_taken().version < 6 {
        for frame in frames(replica.last_taken().version + 1, 6).await {
            replica.apply(frame).await.unwrap();
        }
    }
    let versions = frames(3, 4).await;
    assert_eq!(versions.last().unwrap().entry.record.version, 4);
    replica.wait_for(6).await.unwrap();
    assert_eq!(replica.snapshot().root(), roots[5]);
    // A replica is backed up like an engine.
    let source = Source::Replica(replica.clone());
    let again = memory_archive();
    again
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    replica.shutdown_blocking().unwrap();
    drop((source, replica));
    std::fs::remove_dir_all(rig.path("restored")).unwrap();
    assert_eq!(rig.restored(&again, None).await.1, roots[5]);
}

#[tokio::test]
async fn a_base_can_be_made_of_the_archive_itself() {
    let (rig, archive, roots) = archived(None).await;
    let config = rig.config("restored");
    archive
        .restore(None, &config, &Trust::default())
        .await
        .unwrap();
    let source = Source::directory(&rig.path("restored")).unwrap();
    let backup = archive
        .back_up(&source, BasePolicy::Always, None)
        .await
        .unwrap();
    assert_eq!((backup.versions, backup.base.unwrap().0.version), (0, 6));
    drop(source);
    std::fs::remove_dir_all(rig.path("restored")).unwrap();
    let (restored, root) = rig.restored(&archive, None).await;
    assert_eq!((restored.base.version, root), (6, roots[5]));
}

#[tokio::test]
async fn a_trusted_commit_id_shows_that_a_version_is_authentic() {
    let (rig, archive, roots) = archived(None).await;
    let trust = |commit_id| Trust {
        commit_id: Some(commit_id),
        ..Trust::default()
    };
    let config = rig.config("restored");
    let other = archive
        .restore(Some(4), &config, &trust(roots[4].commit_id))
        .await;
    assert!(matches!(other, Err(RestoreError::OtherCommit { .. })));
    assert!(!rig.path("restored").exists());
    let restored = archive
        .restore(Some(4), &config, &trust(roots[3].commit_id))
        .await
        .unwrap();
    assert_eq!(restored.shown, Shown::Authentic);
    assert_eq!(root_in(&rig.path("restored")), roots[3]);
}

#[tokio::test]
async fn a_trusted_key_shows_that_signed_versions_are_authentic() {
    let (rig, archive, _) = archived(Some(key())).await;
    let trust = |key: SecretKey| Trust {
        keys: vec![key.public()],
        ..Trust::default()
    };
    let config = rig.config("restored");
    let forged = archive
        .restore(None, &config, &trust(SecretKey::generate([8; 32])))
        .await;
    assert!(matches!(
        forged,
        Err(RestoreError::Signature { version: 3, .. })
    ));
    // The base itself is not signed, and no frame of its version is archived.
    let base_alone = archive.restore(Some(2), &config, &trust(key())).await;
    assert!(
        matches!(base_alone, Err(RestoreError::NotSigned { version: 2 })),
        "{base_alone:?}"
    );
    assert!(!rig.path("restored").exists());
    let restored = archive.restore(None, &config, &trust(key())).await.unwrap();
    assert_eq!(restored.shown, Shown::Authentic);
}

#[tokio::test]
async fn a_base_whose_version_has_a_signed_frame_is_authentic() {
    let (mut rig, archive, _) = archived(Some(key())).await;
    rig.write(1);
    archive
        .back_up(&rig.closed(), BasePolicy::Always, Some(key()))
        .await
        .unwrap();
    let trust = Trust {
        keys: vec![key().public()],
        ..Trust::default()
    };
    let restored = archive
        .restore(None, &rig.config("restored"), &trust)
        .await
        .unwrap();
    assert_eq!(
        (restored.base.version, restored.shown),
        (7, Shown::Authentic)
    );
}

#[tokio::test]
async fn unsigned_frames_are_never_authentic() {
    let (rig, archive, _) = archived(None).await;
    let trust = Trust {
        keys: vec![key().public()],
        ..Trust::default()
    };
    let refused = archive.restore(None, &rig.config("restored"), &trust).await;
    assert!(matches!(
        refused,
        Err(RestoreError::Signature { version: 3, .. })
    ));
}

#[tokio::test]
async fn a_place_without_an_archive_is_named() {
    let rig = Rig::new();
    let nothing = memory_archive()
        .restore(None, &rig.config("restored"), &Trust::default())
        .await;
    assert!(nothing.unwrap_err().to_string().contains("no object tree"));
}
