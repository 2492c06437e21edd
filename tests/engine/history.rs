//! Proofs over the history.

use std::path::Path;

use trunkline::core::history::VerifyConsistencyError;
use trunkline::core::record::CommitRecord;
use trunkline::core::store::disk::{Disk, DiskReader};
use trunkline::core::store::history_file::{
    HISTORY_FILE, HISTORY_HEADER_BYTES, HistoryFileError, nodes_covered,
};
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::{Engine, HistoryError, OpenError, ReadOnly, Snapshot};

use crate::support::{Rig, log_only, put, until, without_hanging};

/// Returns a rig that keeps few versions and makes checkpoints often.
fn rig() -> Rig {
    Rig::with(|config| {
        config.checkpoint.bytes_max = 4096;
        config.checkpoint.unflushed_bytes_max = 2 * 4096;
        config.versions.retain_versions = 3;
    })
}

/// Puts `count` different values, and adds the record of each version.
fn write(engine: &Engine, records: &mut Vec<CommitRecord>, count: usize) {
    for _ in 0..count {
        let version = engine.snapshot().version();
        put(engine, "key", &format!("{version} {}", "v".repeat(600)));
        records.push(engine.snapshot().record().clone());
    }
}

/// Checks the proof of every older version, kept or not, stored or not.
fn check(head: &Snapshot, records: &[CommitRecord]) {
    let trusted = head.commit_id();
    for record in &records[..head.version() as usize] {
        let id = record.commit_id();
        let proof = head.prove_ancestor(record.version).unwrap();
        let ancestor = proof.verify(&trusted).unwrap();
        assert_eq!((ancestor.version, ancestor.commit_id), (record.version, id));
        let proof = head.prove_consistency(record.version).unwrap();
        let proof = proof.with_older(record.clone()).unwrap();
        assert!(proof.verify(&id, &trusted).is_ok());
    }
}

#[test]
fn older_versions_are_proven_through_checkpoints_and_reopenings() {
    without_hanging(|| {
        let rig = rig();
        let mut records = Vec::new();
        for opening in 0..4 {
            let engine = rig.open();
            if opening == 0 {
                records.push(engine.snapshot().record().clone());
            }
            check(&engine.snapshot(), &records);
            write(&engine, &mut records, 23);
            check(&engine.snapshot(), &records);
            let early = engine.snapshot_at(engine.snapshot().version() - 2).unwrap();
            check(&early, &records);
            assert!(engine.metrics().checkpoints > 0);
            engine.shutdown_blocking().unwrap();
            check(&early, &records);
        }
        assert!(
            CheckpointManifest::read(&*rig.disk.memory, &rig.config.engine.directory)
                .unwrap()
                .record
                .version
                > 60
        );
    });
}

#[test]
fn older_versions_are_proven_while_a_checkpoint_stores_the_history() {
    without_hanging(|| {
        let mut rig = rig();
        rig.config.checkpoint.unflushed_bytes_max = 1 << 20;
        let engine = rig.open();
        let mut records = vec![engine.snapshot().record().clone()];
        write(&engine, &mut records, 3);
        rig.leaves.ingestions.close();
        write(&engine, &mut records, 6);
        rig.leaves.ingestions.wait_for_a_waiter();
        check(&engine.snapshot(), &records);
        rig.leaves.ingestions.open();
        until(|| engine.metrics().checkpoints > 0);
        check(&engine.snapshot(), &records);
    });
}

#[test]
fn older_versions_are_proven_without_a_leaf_store_and_without_an_engine() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(log_only(directory.path())).unwrap();
    let mut records = vec![engine.snapshot().record().clone()];
    write(&engine, &mut records, 40);
    check(&engine.snapshot(), &records);
    engine.shutdown_blocking().unwrap();
    let read = ReadOnly::open(directory.path()).unwrap();
    check(&read.snapshot(), &records);
    let proof = read.prove_ancestor(7).unwrap();
    assert_eq!(proof.commit_id, records[7].commit_id());
    let consistency = read.prove_consistency(7).unwrap();
    assert_eq!(consistency.older.as_ref(), Some(&records[7]));
}

#[test]
fn a_consistency_proof_has_the_older_record_while_that_version_is_kept() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let mut records = vec![engine.snapshot().record().clone()];
        write(&engine, &mut records, 10);
        let head = engine.snapshot();
        let id = |version: usize| records[version].commit_id();
        let kept = head.prove_consistency(9).unwrap();
        assert!(kept.verify(&id(9), &id(10)).is_ok());
        let gone = head.prove_consistency(2).unwrap();
        let verified = gone.verify(&id(2), &id(10));
        assert_eq!(verified, Err(VerifyConsistencyError::NeedsOlder));
    });
}

#[test]
fn the_head_and_later_versions_are_not_proven() {
    let engine = Rig::new().open();
    put(&engine, "key", "1");
    put(&engine, "key", "2");
    let snapshot = engine.snapshot_at(1).unwrap();
    for version in [1, 2, u64::MAX] {
        let ancestor = snapshot.prove_ancestor(version).unwrap_err();
        let consistency = snapshot.prove_consistency(version).unwrap_err();
        for error in [ancestor, consistency] {
            assert!(matches!(error, HistoryError::NotOlder { head: 1, .. }));
        }
    }
}

#[test]
fn a_damaged_node_is_named_and_not_returned() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let mut records = vec![engine.snapshot().record().clone()];
        write(&engine, &mut records, 40);
        engine.shutdown_blocking().unwrap();
        let disk = &rig.disk.memory;
        let path = rig.config.engine.directory.join(HISTORY_FILE);
        // The commit ids of versions 0 and 1, and the node above them.
        for node in 0..3 {
            let offset = HISTORY_HEADER_BYTES + node * 32;
            assert!(disk.flip(&path, offset, 0x10));
            let engine = rig.open();
            let head = engine.snapshot();
            let mut named = 0;
            for version in 0..4 {
                match head.prove_ancestor(version) {
                    Ok(proof) => assert!(proof.verify(&head.commit_id()).is_ok()),
                    Err(error) => {
                        let file =
                            matches!(&error, HistoryError::File(HistoryFileError::Node { .. }));
                        assert!(file && error.to_string().contains(HISTORY_FILE), "{error}");
                        named += 1;
                    }
                }
            }
            assert_eq!(named, 2);
            drop(head);
            engine.shutdown_blocking().unwrap();
            assert!(disk.flip(&path, offset, 0x10));
        }
    });
}

#[test]
fn a_history_file_that_does_not_fit_the_manifest_is_not_opened() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        write(&engine, &mut Vec::new(), 40);
        engine.shutdown_blocking().unwrap();
        let path = rig.config.engine.directory.join(HISTORY_FILE);
        let flip = |offset| assert!(rig.disk.memory.flip(&path, offset, 0x10));
        flip(20);
        let error = rig.builder().open_blocking().unwrap_err();
        assert!(matches!(
            &error,
            OpenError::History(HistoryFileError::Header { .. })
        ));
        assert!(error.to_string().contains(HISTORY_FILE));
        flip(20);
        rig.open();
    });
}

/// The disk fails while the history file is written.
#[test]
fn the_next_checkpoint_stores_what_a_failed_one_could_not() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let mut records = vec![engine.snapshot().record().clone()];
        write(&engine, &mut records, 12);
        engine.shutdown_blocking().unwrap();
        let directory = &rig.config.engine.directory;
        let marker = CheckpointManifest::read(&*rig.disk.memory, directory).unwrap();
        let path: &Path = &directory.join(HISTORY_FILE);
        // As after a checkpoint that was interrupted after it appended.
        let kept = HISTORY_HEADER_BYTES as u64 + 32 * nodes_covered(marker.record.version);
        let mut file = rig.disk.memory.reuse(path, kept).unwrap();
        file.append(&[0xee; 333]).unwrap();
        file.sync().unwrap();
        let engine = rig.open();
        check(&engine.snapshot(), &records);
        write(&engine, &mut records, 30);
        check(&engine.snapshot(), &records);
        engine.shutdown_blocking().unwrap();
        check(&rig.open().snapshot(), &records);
        let reader: Box<dyn DiskReader> = rig.disk.memory.open(path).unwrap();
        assert!(reader.length().unwrap() > kept);
    });
}
