//! Opening at an older version: any version that can be rebuilt; for others, the refusal lists those.

use std::path::Path;

use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::{OpenError, ReadOnly, TopKind};

use crate::directories::{closed_tree, leaving_alone};
use crate::killed::shape;
use crate::support::{Submission, check_state, state_after};

/// The submissions of [`closed_tree`], each of which became a version.
fn submissions(count: u64) -> Vec<Submission> {
    let shape = shape(7);
    (1..=count).map(|n| shape.submission(1, n)).collect()
}

fn refused(directory: &Path, asked: u64, kept: (u64, u64)) {
    let refused = leaving_alone(directory, || ReadOnly::open_at(directory, asked));
    let Err(OpenError::VersionNotKept {
        version,
        oldest,
        newest,
    }) = refused
    else {
        panic!("version {asked}: {refused:?}");
    };
    assert_eq!((version, (oldest, newest)), (asked, kept));
}

#[test]
fn every_version_from_the_checkpoint_on_can_be_opened() {
    let tree = closed_tree();
    let path = tree.path();
    let oldest = CheckpointManifest::read(&OsDisk, path)
        .unwrap()
        .record
        .version;
    let last = ReadOnly::open(path).unwrap().inspect();
    let newest = last.root.version;
    let read = || drop(ReadOnly::open_at(path, oldest + 1).unwrap());
    leaving_alone(path, read);
    assert!(oldest > 1 && newest > oldest + 3);
    let submissions = submissions(newest);
    for version in [oldest, oldest + 1, newest - 1, newest] {
        let opened = ReadOnly::open_at(path, version).unwrap();
        let snapshot = opened.snapshot();
        assert_eq!(snapshot.version(), version);
        check_state(&snapshot, &state_after(&submissions, version), &shape(7));
        snapshot.prove(["key 1"], TopKind::Kzg).unwrap();
        let older = opened.prove_ancestor(version - 1).unwrap();
        older.verify(&snapshot.commit_id()).unwrap();
        assert_eq!(opened.inspect().survey, last.survey);
    }
    let ids = (oldest..=newest).map(|version| {
        let opened = ReadOnly::open_at(path, version).unwrap();
        opened.snapshot().record().clone()
    });
    let records: Vec<_> = ids.collect();
    let follows = |pair: &[_]| {
        let [before, after]: &[trunkline::core::record::CommitRecord; 2] = pair.try_into().unwrap();
        after.parent == before.commit_id()
    };
    assert!(records.windows(2).all(follows));
    assert_eq!(records.last(), Some(&last.record));
}

#[test]
fn versions_before_the_checkpoint_and_after_the_log_are_refused() {
    let tree = closed_tree();
    let marker = CheckpointManifest::read(&OsDisk, tree.path()).unwrap();
    let kept = (
        marker.record.version,
        ReadOnly::open(tree.path()).unwrap().inspect().root.version,
    );
    for asked in [0, kept.0 - 1, kept.1 + 1, u64::MAX] {
        refused(tree.path(), asked, kept);
    }
}

#[test]
fn after_an_interrupted_checkpoint_only_versions_from_its_own_on_can_be_opened() {
    let tree = closed_tree();
    let mut marker = CheckpointManifest::read(&OsDisk, tree.path()).unwrap();
    let checkpoint = marker.record.version;
    let newest = ReadOnly::open(tree.path()).unwrap().inspect().root.version;
    marker.intent = Some(checkpoint + 2);
    marker.write(&OsDisk, tree.path()).unwrap();
    for asked in [checkpoint, checkpoint + 1] {
        refused(tree.path(), asked, (checkpoint + 2, newest));
    }
    let submissions = submissions(newest);
    for version in [checkpoint + 2, checkpoint + 3] {
        let opened = ReadOnly::open_at(tree.path(), version).unwrap();
        let expected = state_after(&submissions, version);
        check_state(&opened.snapshot(), &expected, &shape(7));
    }
}
