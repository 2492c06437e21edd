//! Verifying an archive on its own.

use trunkline::core::frame::SecretKey;
use trunkline::core::store::archive::manifest::BaseManifest;
use trunkline_archive::{Archive, BasePolicy, Shown, Trust, Verified};

use crate::support::{Rig, key, objects};

/// Makes an archive with two bases and with segments between and after them.
async fn archived(key: Option<SecretKey>) -> (Rig, Archive) {
    let mut rig = Rig::new();
    let archive = rig.local_archive();
    for policy in [
        BasePolicy::IfNeeded,
        BasePolicy::IfNeeded,
        BasePolicy::Always,
        BasePolicy::IfNeeded,
    ] {
        rig.write(2);
        archive
            .back_up(&rig.closed(), policy, key.clone())
            .await
            .unwrap();
    }
    (rig, archive)
}

async fn verify(rig: &Rig, archive: &Archive, trust: &Trust) -> Verified {
    let config = rig.config("scratch");
    let found = archive.verify(Some(&config), trust).await.unwrap();
    assert!(!rig.path("scratch").exists());
    found
}

#[tokio::test]
async fn a_whole_archive_is_rebuilt_from_each_base() {
    let (rig, archive) = archived(None).await;
    let found = verify(&rig, &archive, &Trust::default()).await;
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.shown, Some(Shown::Consistent));
    let versions: Vec<_> = found
        .rebuilt
        .iter()
        .map(|(base, last)| (base.version, last.version))
        .collect();
    assert_eq!(versions, [(2, 6), (6, 8)]);
    assert_eq!(
        found.objects as usize,
        objects(&rig.path("archive")).len() - 2
    );
    let quick = archive.verify(None, &Trust::default()).await.unwrap();
    assert_eq!((quick.is_whole(), quick.shown), (true, None));
}

#[tokio::test]
async fn an_archive_is_authentic_only_by_what_is_trusted() {
    let (rig, archive) = archived(Some(key())).await;
    let keys = |seed| Trust {
        keys: vec![SecretKey::generate([seed; 32]).public()],
        ..Trust::default()
    };
    assert_eq!(
        verify(&rig, &archive, &keys(7)).await.shown,
        Some(Shown::Authentic)
    );
    let forged = verify(&rig, &archive, &keys(8)).await;
    assert!(!forged.is_whole());
    assert_eq!(forged.shown, None);
}

/// Returns whether verifying reports an object, named by its path below the archive's prefix.
async fn names(rig: &Rig, archive: &Archive, object: &str) -> bool {
    let found = verify(rig, archive, &Trust::default()).await;
    assert!(!found.is_whole(), "{object}");
    assert_eq!(found.shown, None, "{object}");
    found.damaged.iter().any(|(damaged, _)| object == damaged)
}

#[tokio::test]
async fn each_damaged_or_missing_object_is_named() {
    let (rig, archive) = archived(None).await;
    let root = rig.path("archive");
    for path in objects(&root) {
        let object = path
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if object == "tree" || object == "written-once" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert!(names(&rig, &archive, &object).await, "{object} was changed");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(names(&rig, &archive, &object).await, "{object} was cut");
        if object.contains("leaves-") || object.contains("commit-ids-") {
            std::fs::remove_file(&path).unwrap();
            assert!(names(&rig, &archive, &object).await, "{object} was removed");
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(verify(&rig, &archive, &Trust::default()).await.is_whole());
}

#[tokio::test]
async fn all_damaged_objects_are_named_at_once() {
    let (rig, archive) = archived(None).await;
    let segments = objects(&rig.path("archive/segments"));
    for path in &segments {
        std::fs::write(path, b"something else").unwrap();
    }
    let found = archive.verify(None, &Trust::default()).await.unwrap();
    assert_eq!(found.damaged.len(), segments.len());
}

#[tokio::test]
async fn a_changed_state_with_right_checksums_is_found() {
    let (rig, archive) = archived(None).await;
    let base = objects(&rig.path("archive/bases"))
        .into_iter()
        .rfind(|path| path.ends_with("manifest"))
        .unwrap();
    let mut manifest = BaseManifest::decode(&std::fs::read(&base).unwrap()).unwrap();
    manifest.state.kzg_root.as_mut().unwrap()[5] ^= 1;
    std::fs::write(&base, manifest.encode()).unwrap();
    assert!(
        archive
            .verify(None, &Trust::default())
            .await
            .unwrap()
            .is_whole()
    ); // checksums alone show nothing
    let found = verify(&rig, &archive, &Trust::default()).await;
    assert!(!found.is_whole());
    assert_eq!(found.damaged.len(), 1);
}

#[tokio::test]
async fn versions_that_no_segment_has_are_named() {
    let (rig, archive) = archived(None).await;
    let segments = objects(&rig.path("archive/segments"));
    std::fs::remove_file(&segments[0]).unwrap();
    let found = archive.verify(None, &Trust::default()).await.unwrap();
    assert_eq!(
        (found.lost.as_slice(), found.is_whole()),
        (&[(3, 4)][..], true)
    );
}

#[tokio::test]
async fn other_objects_and_unfinished_bases_are_reported() {
    let (rig, archive) = archived(None).await;
    std::fs::write(rig.path("archive/note"), "").unwrap();
    let manifest = objects(&rig.path("archive/bases"))
        .into_iter()
        .rfind(|path| path.ends_with("manifest"))
        .unwrap();
    std::fs::remove_file(manifest).unwrap();
    let found = verify(&rig, &archive, &Trust::default()).await;
    assert_eq!((found.others.len(), found.unfinished.len()), (1, 1));
    assert!(found.is_whole());
}
