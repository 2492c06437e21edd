//! A repair rewrites proven data, keeps the files that it replaces, and refuses the rest.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::history::{Subtree, node_count};
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::history_file::{HISTORY_FILE, offset};
use trunkline::core::store::log::{LAST_SEGMENT_FILE, LOG_DIRECTORY};
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::{
    Engine, OpenError, Part, ReadOnly, Repair, RepairError, RepairReport, Repaired, check, repair,
};

use crate::check::{checked, damage, flip};
use crate::directories::{closed_tree, copy, leaving_alone, log_segments};
use crate::killed::{config, shape};

/// Returns the last root and the history, which must be the same before damage and after a repair.
fn content(
    tree: &Path,
) -> (
    trunkline::core::record::Root,
    Vec<(bytes::Bytes, bytes::Bytes)>,
) {
    let opened = ReadOnly::open(tree).unwrap();
    let snapshot = opened.snapshot();
    for older in 0..snapshot.version() {
        opened.prove_ancestor(older).unwrap();
    }
    let pairs = snapshot.iter().collect::<Result<_, _>>().unwrap();
    (snapshot.root(), pairs)
}

/// Damages a tree, and checks that a check names this part, and that a repair repairs it without loss.
fn repaired(tree: &Path, part: Part, damage_it: impl FnOnce(&Path)) -> Vec<Repaired> {
    let before = content(tree);
    damage_it(tree);
    let report = checked(tree);
    let found = damage(&report);
    assert!(found.iter().any(|finding| finding.part == part));
    let proven = found.iter().all(|finding| finding.repair.is_some());
    assert!(proven, "{found:?}");
    let RepairReport { done, after, .. } = repair(tree, None).unwrap();
    assert!(after.findings.is_empty(), "{:?}", after.findings);
    assert!(checked(tree).findings.is_empty());
    assert_eq!(content(tree), before);
    let engine = Engine::open_blocking(config(tree, DurabilityMode::Sync)).unwrap();
    let receipt = engine.put_blocking("after", "1").unwrap();
    receipt.durable_blocking().unwrap();
    engine.shutdown_blocking().unwrap();
    assert!(checked(tree).is_sound());
    done
}

/// Damages a tree so that nothing proves its earlier content, and checks that a repair changes nothing.
fn refused(tree: &Path, part: Part, damage_it: impl FnOnce(&Path)) {
    damage_it(tree);
    let report = leaving_alone(tree, || repair(tree, None).unwrap());
    assert!(report.done.is_empty(), "{:?}", report.done);
    for report in [&report.before, &report.after] {
        let unproven = |part_of: Part| part_of == part;
        let found = damage(report);
        assert!(found.iter().any(|f| unproven(f.part) && f.repair.is_none()));
    }
}

/// Returns a tree with a checkpoint, and a log with all versions from the first on.
fn tree_with_whole_log() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), DurabilityMode::Sync);
    config.log.segment_bytes_max = 1 << 30;
    let engine = Engine::open_blocking(config).unwrap();
    let mut sequence = 0;
    while engine.metrics().checkpoints < 2 {
        sequence += 1;
        let batch = shape(7).submission(1, sequence).batch();
        let receipt = engine.submit_blocking(batch).unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    directory
}

fn covered(tree: &Path) -> u64 {
    let manifest = CheckpointManifest::read(&OsDisk, tree).unwrap();
    manifest.record.version
}

#[test]
fn nodes_and_header_of_the_history_are_written_again_from_proven_commit_ids() {
    let inner = Subtree {
        first: 4,
        height: 2,
    };
    for place in [0, 9, 20, 60, offset(inner.position())] {
        let tree = closed_tree();
        let history = tree.path().join(HISTORY_FILE);
        let whole = fs::read(&history).unwrap();
        let done = repaired(tree.path(), Part::History, |_| {
            flip(&history, place as usize)
        });
        let [repaired] = &done[..] else {
            panic!("{done:?}");
        };
        assert_eq!(
            (repaired.repair, &repaired.path),
            (Repair::History, &history)
        );
        let mut damaged = whole.clone();
        damaged[place as usize] ^= 0x10;
        assert_eq!(fs::read(repaired.kept.as_ref().unwrap()).unwrap(), damaged);
    }
}

#[test]
fn a_commit_id_that_the_log_has_is_repaired_and_another_is_not() {
    let tree = closed_tree();
    let id = |version| offset(node_count(version)) as usize;
    let version = covered(tree.path());
    let last_of_log = log_segments(tree.path());
    assert!(last_of_log.len() > 2);
    // The commit id of the checkpoint itself is in the manifest, too.
    repaired(tree.path(), Part::History, |tree| {
        flip(&tree.join(HISTORY_FILE), id(version));
    });
    let tree = closed_tree();
    refused(tree.path(), Part::History, |tree| {
        flip(&tree.join(HISTORY_FILE), id(5));
    });
}

#[test]
fn a_history_that_is_gone_is_written_again_from_a_whole_log_alone() {
    let tree = tree_with_whole_log();
    repaired(tree.path(), Part::History, |tree| {
        fs::remove_file(tree.join(HISTORY_FILE)).unwrap();
    });
    let tree = tree_with_whole_log();
    repaired(tree.path(), Part::History, |tree| {
        let path = tree.join(HISTORY_FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    });
    let tree = closed_tree();
    refused(tree.path(), Part::History, |tree| {
        fs::remove_file(tree.join(HISTORY_FILE)).unwrap();
    });
}

#[test]
fn the_name_of_the_last_segment_is_written_again_where_it_is_proven() {
    let named = |tree: &Path| tree.join(LOG_DIRECTORY).join(LAST_SEGMENT_FILE);
    for place in [0, 9, 45, 55, 80] {
        let tree = closed_tree();
        let done = repaired(tree.path(), Part::LastSegment, |tree| {
            flip(&named(tree), place);
        });
        assert!(matches!(done[0].repair, Repair::LastSegment(_)));
        assert!(done[0].kept.as_ref().unwrap().exists());
    }
    // Without the file nothing in the directory proves that no later segment is lost.
    let tree = closed_tree();
    let last = ReadOnly::open(tree.path()).unwrap().snapshot().commit_id();
    refused(tree.path(), Part::LastSegment, |tree| {
        fs::remove_file(named(tree)).unwrap();
    });
    let mut other = last;
    other[0] ^= 1;
    assert!(!repair(tree.path(), Some(other)).unwrap().after.is_sound());
    let report = repair(tree.path(), Some(last)).unwrap();
    assert!(report.after.is_sound());
    assert_eq!(content(tree.path()).0.commit_id, last);
    // The last segment is lost, and not only its name.
    let tree = closed_tree();
    refused(tree.path(), Part::LastSegment, |tree| {
        let last = log_segments(tree).pop().unwrap();
        fs::remove_file(last).unwrap();
    });
}

#[test]
fn no_name_is_written_over_a_log_that_is_damaged() {
    let tree = closed_tree();
    refused(tree.path(), Part::LastSegment, |tree| {
        flip(&tree.join(LOG_DIRECTORY).join(LAST_SEGMENT_FILE), 50);
        let segments = log_segments(tree);
        flip(&segments[segments.len() - 2], 1000);
    });
}

#[test]
fn leaves_are_built_again_from_a_whole_log_alone() {
    let tree = tree_with_whole_log();
    let done = repaired(tree.path(), Part::Leaves, |tree| {
        fs::remove_dir_all(tree.join("leaves")).unwrap();
    });
    assert_eq!((done[0].repair, &done[0].kept), (Repair::Leaves, &None));

    let (tree, other) = (tree_with_whole_log(), closed_tree());
    let done = repaired(tree.path(), Part::Leaves, |tree| {
        fs::remove_dir_all(tree.join("leaves")).unwrap();
        copy(&other.path().join("leaves"), &tree.join("leaves"));
    });
    let kept = done[0].kept.as_ref().unwrap();
    assert_eq!(kept, &tree.path().join("LEAVES-DAMAGED-1"));
    assert!(kept.join("keyspaces").exists());

    let tree = tree_with_whole_log();
    repaired(tree.path(), Part::Leaves, |tree| {
        for entry in fs::read_dir(tree.join("leaves/keyspaces/1/tables")).unwrap() {
            flip(&entry.unwrap().path(), 300);
        }
    });
    let tree = closed_tree();
    refused(tree.path(), Part::Leaves, |tree| {
        fs::remove_dir_all(tree.join("leaves")).unwrap();
    });
}

/// A power failure between two steps of a repair leaves no leaf store, or an unfinished one, and the same repair is
/// done again.
#[test]
fn a_repair_of_leaves_that_was_interrupted_is_done_again() {
    let tree = tree_with_whole_log();
    repaired(tree.path(), Part::Leaves, |tree| {
        fs::rename(tree.join("leaves"), tree.join("LEAVES-DAMAGED-1")).unwrap();
        fs::create_dir(tree.join("LEAVES-REBUILT")).unwrap();
        fs::write(tree.join("LEAVES-REBUILT/version"), "FJ").unwrap();
    });
    assert!(tree.path().join("LEAVES-DAMAGED-1").exists());
    assert!(!tree.path().join("LEAVES-REBUILT").exists());
}

#[test]
fn leaves_after_an_interrupted_checkpoint_are_built_again() {
    let tree = tree_with_whole_log();
    let last = ReadOnly::open(tree.path()).unwrap().snapshot().version();
    let mut manifest = CheckpointManifest::read(&OsDisk, tree.path()).unwrap();
    if manifest.record.version < last {
        manifest.intent = Some(last);
        manifest.write(&OsDisk, tree.path()).unwrap();
    }
    assert!(checked(tree.path()).findings.is_empty());
    repaired(tree.path(), Part::Leaves, |tree| {
        fs::remove_dir_all(tree.join("leaves")).unwrap();
    });
}

#[test]
fn tables_and_leftovers_are_renewed_and_removed() {
    let tree = closed_tree();
    let done = repaired(tree.path(), Part::KzgTables, |tree| {
        fs::write(tree.join("KZG-TABLES"), "?").unwrap();
        fs::write(tree.join("CHECKPOINT.tmp"), "?").unwrap();
        fs::write(tree.join("log/00000000000000000001-0000000009.seg.tmp"), "").unwrap();
    });
    let repairs: Vec<_> = done.iter().map(|done| done.repair).collect();
    use Repair::{KzgTables, Leftover};
    assert_eq!(repairs, [KzgTables, Leftover, Leftover]);
}

/// A leftover may be the only trace of a lost file.
#[test]
fn leftovers_stay_while_something_is_damaged() {
    let tree = closed_tree();
    refused(tree.path(), Part::Manifest, |tree| {
        fs::rename(tree.join("CHECKPOINT"), tree.join("CHECKPOINT.tmp")).unwrap();
    });
}

#[test]
fn a_directory_in_use_is_not_repaired() {
    let tree = closed_tree();
    let reader = ReadOnly::open(tree.path()).unwrap();
    let locked = repair(tree.path(), None);
    assert!(matches!(locked, Err(RepairError::Open(OpenError::Lock(_)))));
    drop(reader);
    assert!(check(tree.path()).unwrap().is_sound());
    let empty = tempfile::tempdir().unwrap();
    let none = leaving_alone(empty.path(), || repair(empty.path(), None));
    assert!(matches!(
        none,
        Err(RepairError::Open(OpenError::NoTree { .. }))
    ));
}
