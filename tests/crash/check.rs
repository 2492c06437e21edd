//! A check names everything that is damaged, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::config::DurabilityMode;
use trunkline::core::history::{Subtree, node_count};
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::history_file::{HISTORY_FILE, offset};
use trunkline::core::store::idempotency_file::IDEMPOTENCY_FILE;
use trunkline::core::store::lock::LockError;
use trunkline::core::store::log::{LAST_SEGMENT_FILE, LOG_DIRECTORY, ReadLogError};
use trunkline::core::store::manifest::{CHECKPOINT_FILE, CheckpointManifest};
use trunkline::core::store::tree_file::TREE_FILE;
use trunkline::{CheckReport, Engine, Fault, Finding, OpenError, Part, ReadOnly, check};

use crate::directories::{closed_tree, closed_tree_of, copy, leaving_alone, log_segments};
use crate::killed::{Process, Said, config};

pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Checks a directory, which must not change.
pub(crate) fn checked(directory: &Path) -> CheckReport {
    leaving_alone(directory, || check(directory).unwrap())
}

pub(crate) fn damage(report: &CheckReport) -> Vec<&Finding> {
    let findings = report.findings.iter();
    findings.filter(|finding| finding.is_damage()).collect()
}

fn parts(report: &CheckReport) -> Vec<Part> {
    let mut parts: Vec<_> = damage(report).iter().map(|finding| finding.part).collect();
    parts.dedup();
    parts
}

/// Checks a damaged copy of a tree.
fn check_damaged(tree: &Path, damage: impl FnOnce(&Path)) -> (TempDir, CheckReport) {
    let copied = tempfile::tempdir().unwrap();
    copy(tree, copied.path());
    damage(copied.path());
    let report = checked(copied.path());
    (copied, report)
}

fn covered(tree: &Path) -> u64 {
    let manifest = CheckpointManifest::read(&OsDisk, tree).unwrap();
    manifest.record.version
}

#[test]
fn trees_without_damage_are_sound() {
    let young = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(config(young.path(), DurabilityMode::Sync)).unwrap();
    engine.put_blocking("alice", "10").unwrap();
    engine.shutdown_blocking().unwrap();
    for tree in [young, closed_tree()] {
        let report = checked(tree.path());
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert!(report.unchecked.is_empty());
        let last = ReadOnly::open(tree.path()).unwrap().snapshot().root();
        let verified = report.verified.unwrap();
        assert_eq!(
            (verified.version, verified.commit_id),
            (last.version, last.commit_id)
        );
        assert_eq!(report.last, report.verified);
        assert_eq!(report.tree_id, Some(last.tree_id));
    }
}

#[test]
fn a_torn_tail_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path(), DurabilityMode::Sync, 5, 1);
    let mut heard = 0;
    while heard < 300 {
        let said = process.listen().expect("it lives until it is killed");
        heard += u64::from(matches!(said, Said::Durable(..)));
    }
    process.kill();
    let report = checked(directory.path());
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.last, report.verified);
    // A frame that was begun, of any length.
    let last = log_segments(directory.path()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 5]).unwrap();
    let report = checked(directory.path());
    assert!(report.is_sound(), "{:?}", report.findings);
}

/// For any flipped byte: if opening refuses the directory, a check names the file; otherwise nothing is lost.
#[test]
fn what_opening_refuses_is_named() {
    let tree = closed_tree();
    let path = tree.path();
    let log = path.join(LOG_DIRECTORY);
    let mut files = [TREE_FILE, CHECKPOINT_FILE, HISTORY_FILE, IDEMPOTENCY_FILE]
        .map(|name| path.join(name))
        .to_vec();
    files.push(log.join(LAST_SEGMENT_FILE));
    files.extend(log_segments(path));
    let last = ReadOnly::open(path).unwrap().inspect().root;
    let (mut refused, mut named) = (0, 0);
    for file in files {
        let whole = fs::read(&file).unwrap();
        let step = (whole.len() / 9).max(1);
        for offset in (0..whole.len()).step_by(step) {
            flip(&file, offset);
            let report = check(path).unwrap();
            let is_named = damage(&report).iter().any(|finding| finding.path == file);
            named += u64::from(is_named);
            match ReadOnly::open(path) {
                Err(error) => {
                    refused += 1;
                    assert!(is_named, "{} {offset}: {error}", file.display());
                }
                // A node of the history, the frame of a clean close, or bytes behind the last frame.
                Ok(opened) => assert_eq!(opened.inspect().root, last),
            }
            fs::write(&file, &whole).unwrap();
        }
    }
    assert!(refused > 40, "{refused}");
    assert!(
        named > refused,
        "nodes of the history are not opening's business"
    );
    assert!(checked(path).findings.is_empty());
}

#[test]
fn everything_that_is_damaged_is_named_at_once() {
    let tree = closed_tree();
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        let segments = log_segments(copied);
        let [.., first, second, _] = &segments[..] else {
            panic!("there are several");
        };
        flip(first, 400);
        flip(second, 3000);
        flip(&copied.join(HISTORY_FILE), offset(2) as usize);
        flip(&copied.join(LOG_DIRECTORY).join(LAST_SEGMENT_FILE), 60);
        fs::write(copied.join("KZG-TABLES"), "?").unwrap();
        fs::remove_dir_all(copied.join("leaves")).unwrap();
        fs::write(copied.join("CHECKPOINT.tmp"), "").unwrap();
    });
    use Part::{History, KzgTables, LastSegment, Leaves, Log};
    let expected = [Log, LastSegment, History, Leaves, KzgTables];
    assert_eq!(parts(&report), expected);
    let log: Vec<_> = damage(&report)
        .into_iter()
        .filter(|finding| finding.part == Log)
        .map(|finding| (finding.offset.unwrap(), finding.versions.clone().unwrap()))
        .collect();
    let [(first, first_lost), (second, second_lost)] = &log[..] else {
        panic!("{log:?}");
    };
    assert!(*first <= 400 && *second <= 3000);
    assert!(first_lost.end() < second_lost.start());
    let last = report.findings.last().unwrap();
    assert_eq!((last.part, last.is_damage()), (Part::Leftover, false));
    assert!(!report.unchecked.is_empty(), "states could not be built");
    for finding in &report.findings {
        let (expected, found) = finding.expected_and_found();
        assert!(!expected.is_empty() && !found.is_empty());
        assert!(!finding.affects().is_empty() && !finding.advice().is_empty());
    }
}

#[test]
fn a_node_of_the_history_is_named_by_its_place() {
    let tree = closed_tree();
    let inner = Subtree {
        first: 4,
        height: 2,
    };
    let place = offset(inner.position());
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        flip(&copied.join(HISTORY_FILE), place as usize + 7);
    });
    let [finding] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(finding.offset, Some(place));
    assert!(finding.repair.is_some());
    assert_eq!(report.last, report.verified);
}

#[test]
fn a_commit_id_that_nothing_proves_is_named_and_not_repaired() {
    let tree = closed_tree();
    let place = offset(node_count(5));
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        flip(&copied.join(HISTORY_FILE), place as usize);
    });
    assert!(report.findings.len() >= 2);
    // The node above the commit id is not the hash of the two below it.
    let node = Subtree {
        first: 4,
        height: 1,
    };
    let named: Vec<_> = report.findings.iter().filter_map(|f| f.offset).collect();
    assert_eq!(named, [offset(node.position())]);
    for finding in &report.findings {
        assert_eq!((finding.part, finding.repair), (Part::History, None));
    }
}

#[test]
fn leaves_are_compared_one_by_one_and_as_a_whole() {
    let (tree, other) = (closed_tree(), closed_tree_of(8));
    let version = covered(tree.path());
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        fs::remove_dir_all(copied.join("leaves")).unwrap();
        copy(&other.path().join("leaves"), &copied.join("leaves"));
    });
    let findings = damage(&report);
    assert_eq!(findings[0].part, Part::Leaves);
    assert_eq!(findings[0].versions, Some(version..=version));
    assert!(matches!(findings[0].fault, Fault::Replay(_)));
    // A byte of a table is damaged: some leaves cannot be read.
    let tables = |tree: &Path| -> Vec<PathBuf> {
        let tables = fs::read_dir(tree.join("leaves/keyspaces/1/tables")).unwrap();
        tables.map(|entry| entry.unwrap().path()).collect()
    };
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        tables(copied).iter().for_each(|table| flip(table, 300));
    });
    assert!(
        parts(&report).contains(&Part::Leaves),
        "{:?}",
        report.findings
    );
    assert!(report.verified.is_none());
}

#[test]
fn a_directory_that_cannot_be_looked_at_is_an_error() {
    let tree = closed_tree();
    let missing = check(&tree.path().join("nowhere"));
    assert!(matches!(missing, Err(OpenError::Directory { .. })));
    let empty = tempfile::tempdir().unwrap();
    let none = leaving_alone(empty.path(), || check(empty.path()));
    assert!(matches!(none, Err(OpenError::NoTree { .. })));
    let engine = Engine::open_blocking(config(tree.path(), DurabilityMode::Sync)).unwrap();
    let locked = check(tree.path());
    assert!(matches!(
        locked,
        Err(OpenError::Lock(LockError::Held { .. }))
    ));
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_tree_that_has_lost_a_part_is_checked_as_far_as_possible() {
    let tree = closed_tree();
    let remove = |part: &'static str| {
        check_damaged(tree.path(), |copied| {
            fs::remove_file(copied.join(part)).unwrap();
        })
        .1
    };
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        fs::write(copied.join("CURSORS"), "trunkcur").unwrap();
        fs::write(copied.join("REPLICA"), "?").unwrap();
    });
    assert_eq!(parts(&report), [Part::Cursors, Part::ReplicaMark]);
    assert_eq!(report.last, report.verified);
    let report = remove(TREE_FILE);
    assert_eq!(parts(&report), [Part::TreeFile]);
    assert!(report.log_versions > 0 && report.commit_ids > 0);
    let report = remove(CHECKPOINT_FILE);
    assert_eq!(parts(&report), [Part::Manifest]);
    assert!(report.log_versions > 0 && report.unchecked.len() == 3);
    let report = remove(HISTORY_FILE);
    assert_eq!(parts(&report), [Part::History]);
    assert_eq!(report.last, report.verified);
    let (_copied, report) = check_damaged(tree.path(), |copied| {
        log_segments(copied)
            .iter()
            .for_each(|segment| fs::remove_file(segment).unwrap());
    });
    assert_eq!(parts(&report), [Part::Log, Part::LastSegment]);
    let Fault::Log(ReadLogError::Missing { checkpoint }) = report.findings[0].fault else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(checkpoint, covered(tree.path()));
    assert_eq!(
        report.unchecked[0],
        format!("the states from version {} on", checkpoint + 1)
    );
}

/// Changes a stored entry of the archive of versions without any trace.
#[test]
fn an_archived_version_that_was_changed_is_found() {
    use trunkline::core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    use trunkline::core::store::past::{digest_key, value_key};
    let directory = tempfile::tempdir().unwrap();
    let mut config = trunkline::Config::in_directory(directory.path());
    config.workers.threads = 1;
    config.versions.archive = true;
    config.versions.retain_versions = 1;
    config.checkpoint.bytes_max = 4096;
    let engine = trunkline::Engine::open_blocking(config.clone()).unwrap();
    let put = |value: &str| {
        let receipt = engine.put_blocking("alice", value).unwrap();
        receipt.durable_blocking().unwrap().version
    };
    let params = engine.params();
    while engine.metrics().checkpoints == 0 {
        put(&"x".repeat(1000 + put("y") as usize));
    }
    engine.shutdown_blocking().unwrap();
    let sound = trunkline::check(directory.path()).unwrap();
    assert!(sound.is_sound() && sound.archived_versions > 2, "{sound:?}");

    let key_hash = params.key_hash(b"alice");
    let slot = trunkline::core::params::slot_of(&key_hash) as u8;
    let changes: [(Vec<u8>, Vec<u8>, u64); 2] = [
        (
            value_key(&key_hash, 1).to_vec(),
            b"\x01\x05alicez".to_vec(),
            0,
        ),
        (digest_key(slot, 1, 3).to_vec(), vec![7; 33], 3),
    ];
    for (key, content, version) in changes {
        let leaves = directory.path().join("leaves");
        let store = FjallLeafStore::open(&leaves, &FjallOptions::default()).unwrap();
        let past = store.past();
        let mut original = None;
        let mut keep = |_: &[u8], content: &[u8]| {
            original = Some(content.to_vec());
            std::ops::ControlFlow::Break(())
        };
        past.scan(0, key.clone()..=key.clone(), &mut keep).unwrap();
        let ingest = |content: Vec<u8>| {
            let entry = Ok((key.clone(), content));
            past.ingest(0, &mut std::iter::once(entry)).unwrap();
        };
        ingest(content);
        drop((past.clone(), store));
        let report = trunkline::check(directory.path()).unwrap();
        let found = report.findings.iter().any(|finding| {
            finding.part == trunkline::Part::Past
                && finding
                    .versions
                    .as_ref()
                    .is_some_and(|of| of.contains(&version))
        });
        assert!(found, "{report:?}");
        let advice = report.findings[0].advice();
        assert!(advice.contains("remove the archive"), "{advice}");
        ingest(original.unwrap());
    }
    assert!(trunkline::check(directory.path()).unwrap().is_sound());
}
