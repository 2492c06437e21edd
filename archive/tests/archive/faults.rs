//! A store that fails at each of its calls in turn. The result is complete or an error, never an incomplete archive
//! that looks complete, and the next attempt completes it.

use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutOptions, PutPayload};
use trunkline::core::record::Root;
use trunkline_archive::{
    AccessError, Archive, BackupError, BaseError, BasePolicy, Keep, RestoreError, Shown, Trust,
    WriteError, object_store,
};

use crate::faulty::{FAULTS, Faulty, Replacing};
use crate::support::Rig;

/// Copies a store in memory.
async fn copy(store: &InMemory) -> Arc<InMemory> {
    let copy = InMemory::new();
    let mut listed = store.list(None);
    while let Some(object) = listed.try_next().await.unwrap() {
        let found = store
            .get_opts(&object.location, GetOptions::default())
            .await
            .unwrap();
        let bytes = found.bytes().await.unwrap();
        let put = copy.put_opts(&object.location, bytes.into(), PutOptions::default());
        put.await.unwrap();
    }
    Arc::new(copy)
}

fn on(store: &Arc<InMemory>) -> Archive {
    Archive::on(store.clone(), "some/prefix".into())
}

/// Makes an attempt with every fault at every call, and from every call on. Then calls `check` with the archive and the
/// result of the attempt.
async fn at_every_call<T>(
    begin: &InMemory,
    attempt: impl AsyncFn(Archive) -> T,
    check: impl AsyncFn(Archive, T, bool),
) {
    let (mut most, mut rounds) = (0, 0);
    for fault in FAULTS {
        for until_end in [false, true] {
            for call in 0.. {
                let store = copy(begin).await;
                let end = if until_end { u64::MAX } else { call + 1 };
                let faulty = Arc::new(Faulty::new(store.clone(), fault, call..end));
                let result = attempt(Archive::on(faulty.clone(), "some/prefix".into())).await;
                let was_hit = faulty.calls() > call;
                check(on(&store), result, was_hit).await;
                rounds += 1;
                if !was_hit {
                    most = most.max(call);
                    break;
                }
            }
        }
    }
    assert!(most >= 2 && rounds > 20, "{most} calls, {rounds} rounds");
}

/// Checks that everything in an archive that looks complete can be rebuilt.
async fn check_whole(rig: &Rig, archive: &Archive) {
    if archive.params().await.is_err() {
        return; // nothing was begun
    }
    let scratch = rig.config("scratch");
    let found = archive
        .verify(Some(&scratch), &Trust::default())
        .await
        .unwrap();
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(
        found.rebuilt.len(),
        archive.catalog().await.unwrap().bases().count()
    );
}

async fn check_last(rig: &Rig, archive: &Archive, last: &Root) {
    let (restored, root) = rig.restored(archive, None).await;
    assert_eq!((root, restored.shown), (*last, Shown::Consistent));
}

#[tokio::test]
async fn a_first_backup_is_complete_or_an_error_whatever_call_fails() {
    let mut rig = Rig::new();
    let last = *rig.write(3).last().unwrap();
    let attempt = async |archive: Archive| rig.back_up(&archive).await;
    let check = async |archive: Archive, result: std::result::Result<_, BackupError>, _| {
        check_whole(&rig, &archive).await;
        if result.is_ok() {
            check_last(&rig, &archive, &last).await;
        }
        rig.back_up(&archive).await.unwrap();
        check_last(&rig, &archive, &last).await;
    };
    at_every_call(&InMemory::new(), attempt, check).await;
}

#[tokio::test]
async fn an_incremental_backup_is_complete_or_an_error_whatever_call_fails() {
    let mut rig = Rig::new();
    let store = Arc::new(InMemory::new());
    rig.write(2);
    rig.back_up(&on(&store)).await.unwrap();
    rig.write(1);
    rig.back_up(&on(&store)).await.unwrap();
    rig.write(2);
    let last = *rig.write(1).last().unwrap();
    let attempt = async |archive: Archive| {
        archive
            .back_up(&rig.closed(), BasePolicy::Always, None)
            .await
    };
    let check = async |archive: Archive, result: std::result::Result<_, BackupError>, _| {
        check_whole(&rig, &archive).await;
        if result.is_ok() {
            check_last(&rig, &archive, &last).await;
        }
        rig.back_up(&archive).await.unwrap();
        check_last(&rig, &archive, &last).await;
    };
    at_every_call(&store, attempt, check).await;
}

#[tokio::test]
async fn a_restore_is_complete_or_an_error_whatever_call_fails() {
    let mut rig = Rig::new();
    let store = Arc::new(InMemory::new());
    rig.write(2);
    rig.back_up(&on(&store)).await.unwrap();
    let last = *rig.write(2).last().unwrap();
    rig.back_up(&on(&store)).await.unwrap();
    let attempt = async |archive: Archive| {
        archive
            .restore(None, &rig.config("restored"), &Trust::default())
            .await
    };
    let check =
        async |archive: Archive, result: std::result::Result<_, RestoreError>, was_hit: bool| {
            assert_eq!(result.is_err(), was_hit, "{result:?}");
            assert_eq!(rig.path("restored").exists(), !was_hit);
            let _ = std::fs::remove_dir_all(rig.path("restored"));
            if was_hit {
                check_last(&rig, &archive, &last).await;
            }
        };
    at_every_call(&store, attempt, check).await;
}

#[tokio::test]
async fn pruning_leaves_whole_bases_whatever_call_fails() {
    let mut rig = Rig::new();
    let store = Arc::new(InMemory::new());
    let mut last = None;
    for _ in 0..2 {
        last = rig.write(2).pop();
        let archive = on(&store);
        archive
            .back_up(&rig.closed(), BasePolicy::Always, None)
            .await
            .unwrap();
    }
    let attempt = async |archive: Archive| {
        let prunable = archive.catalog().await?.prunable(&Keep::default());
        archive.prune(&prunable).await
    };
    let check =
        async |archive: Archive, result: std::result::Result<_, AccessError>, was_hit: bool| {
            assert_eq!(result.is_err(), was_hit, "{result:?}");
            check_whole(&rig, &archive).await;
            let keep = Keep {
                unfinished: false,
                ..Keep::default()
            };
            let prunable = archive.catalog().await.unwrap().prunable(&keep);
            archive.prune(&prunable).await.unwrap();
            let catalog = archive.catalog().await.unwrap();
            assert_eq!(
                (catalog.bases().count(), catalog.segments().count()),
                (1, 1)
            );
            check_last(&rig, &archive, last.as_ref().unwrap()).await;
        };
    at_every_call(&store, attempt, check).await;
}

#[tokio::test]
async fn a_store_that_replaces_objects_is_refused_before_anything_is_written() {
    let mut rig = Rig::new();
    rig.write(1);
    let archive = Archive::on(Arc::new(Replacing(InMemory::new())), Path::default());
    let refused = rig.back_up(&archive).await;
    assert!(matches!(
        refused,
        Err(BackupError::Write(WriteError::NotOnce { source: None }))
    ));
    assert!(archive.params().await.is_err());
    assert!(archive.catalog().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_object_that_something_else_wrote_is_never_replaced() {
    let mut rig = Rig::new();
    rig.write(1);
    let store = Arc::new(InMemory::new());
    rig.back_up(&on(&store)).await.unwrap();
    // The base lacks its manifest, but has another part.
    let base = on(&store).catalog().await.unwrap().bases().next().unwrap();
    let at = |part: &str| Path::from(format!("some/prefix/{base}/{part}"));
    let part = at("leaves-000000");
    object_store::ObjectStoreExt::delete(&*store, &at("manifest"))
        .await
        .unwrap();
    let own = store.get_opts(&part, GetOptions::default()).await.unwrap();
    let mut changed = own.bytes().await.unwrap().to_vec();
    changed[60] ^= 1;
    for other in [b"other".to_vec(), changed] {
        let put = store.put_opts(
            &part,
            PutPayload::from(other.clone()),
            PutOptions::default(),
        );
        put.await.unwrap();
        let refused = rig.back_up(&on(&store)).await;
        let Err(BackupError::Base(BaseError::Write(WriteError::Conflict { object }))) = refused
        else {
            panic!("{refused:?}");
        };
        assert!(object.ends_with("leaves-000000"));
        let kept = store.get_opts(&part, GetOptions::default()).await.unwrap();
        assert_eq!(kept.bytes().await.unwrap(), other);
    }
}
