//! Several primaries of one tree: which of them may continue an archive, and the history that it then has.

use trunkline::Engine;
use trunkline_archive::{BackupError, BasePolicy, Source, Trust, WriteError};

use crate::support::{Rig, memory_archive, write};

#[tokio::test]
async fn a_promoted_replica_continues_where_it_was_promoted() {
    let mut rig = Rig::new();
    let archive = memory_archive();
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    let mut roots = rig.write(3);
    rig.back_up(&archive).await.unwrap();
    // A replica has versions up to 4 only. It is promoted, although the old primary has archived version 5.
    let config = rig.config("restored");
    archive
        .restore(Some(4), &config, &Trust::default())
        .await
        .unwrap();
    let replica = Engine::builder(config)
        .open_replica_blocking(vec![])
        .unwrap();
    let engine = replica.promote_blocking(0).unwrap();
    roots.truncate(2);
    roots.extend(write(&engine, &mut rig.random, 2));
    let source = Source::Engine(engine.clone());
    let backup = archive
        .back_up(&source, BasePolicy::IfNeeded, None)
        .await
        .unwrap();
    assert_eq!((backup.base, backup.last.version), (None, 6));
    drop(source);
    engine.shutdown_blocking().unwrap();
    drop(engine);
    std::fs::rename(rig.path("restored"), rig.path("new primary")).unwrap();
    for root in &roots {
        assert_eq!(rig.restored(&archive, Some(root.version)).await.1, *root);
    }
    // The old primary comes back, and may no longer archive.
    rig.write(4);
    let refused = rig.back_up(&archive).await;
    assert!(
        matches!(
            refused,
            Err(BackupError::Write(WriteError::Diverged { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(rig.restored(&archive, None).await.1, roots[3]);
}

#[tokio::test]
async fn a_copy_of_a_directory_is_refused() {
    let mut rig = Rig::new();
    let archive = memory_archive();
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([rig.path("tree"), rig.path("copy")])
        .status();
    assert!(copied.unwrap().success());
    rig.write(2);
    rig.back_up(&archive).await.unwrap();
    let copy = Engine::open_blocking(rig.config("copy")).unwrap();
    write(&copy, &mut rig.random, 3);
    let refused = archive
        .back_up(&Source::Engine(copy), BasePolicy::IfNeeded, None)
        .await;
    assert!(
        matches!(
            refused,
            Err(BackupError::Write(WriteError::Diverged { .. }))
        ),
        "{refused:?}"
    );
}
