//! Opening from page digests, and without them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use trunkline::config::DurabilityMode;
use trunkline::core::proof::{Expected, verify};
use trunkline::core::record::Root;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::leaves::LEAVES_DIRECTORY;
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::core::store::pages_file::{PAGES_FILE, PagesOf, SlotPages, decode, encode};
use trunkline::{
    Engine, Fault, OpenError, Part, ReadOnly, Repair, ReplayError, Snapshot, TopKind, repair,
};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::check::{checked, damage};
use crate::directories::{closed_tree, copy};
use crate::killed::config;

/// A root and all pairs, with a proof of some of them.
fn content(snapshot: &Snapshot) -> (Root, Vec<(Bytes, Bytes)>) {
    let pairs: Vec<(Bytes, Bytes)> = snapshot.iter().collect::<Result<_, _>>().unwrap();
    let keys: Vec<&[u8]> = pairs.iter().step_by(9).map(|(key, _)| &key[..]).collect();
    let proof = snapshot
        .prove(keys.iter().copied().chain([&b"absent"[..]]), TopKind::Hash)
        .unwrap();
    let root = snapshot.root();
    verify(&proof, &Expected::Root(root)).unwrap();
    for (key, value) in pairs.iter().step_by(5) {
        assert_eq!(snapshot.get(key).unwrap().as_ref(), Some(value));
    }
    assert_eq!(snapshot.get(b"absent").unwrap(), None);
    (root, pairs)
}

fn read(tree: &Path) -> (Root, Vec<(Bytes, Bytes)>) {
    content(&ReadOnly::open(tree).unwrap().snapshot())
}

fn open(tree: &Path) -> Engine {
    Engine::open_blocking(config(tree, DurabilityMode::Sync)).unwrap()
}

fn until(holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HANGS_AFTER);
        std::thread::yield_now();
    }
}

/// Changes the pages of a directory, and keeps the checksum right.
fn rewrite(tree: &Path, change: impl FnOnce(&mut PagesOf, &mut Vec<SlotPages>)) {
    let path = tree.join(PAGES_FILE);
    let (mut of, mut slots) = decode(&fs::read(&path).unwrap()).unwrap();
    change(&mut of, &mut slots);
    fs::write(&path, encode(&of, &slots)).unwrap();
}

#[test]
fn a_tree_is_the_same_with_page_digests_and_without() {
    let tree = closed_tree();
    let without = tempfile::tempdir().unwrap();
    copy(tree.path(), without.path());
    fs::remove_file(without.path().join(PAGES_FILE)).unwrap();
    assert_eq!(read(tree.path()), read(without.path()));

    let (engine, other) = (open(tree.path()), open(without.path()));
    assert!(engine.metrics().opened_pages > 0);
    assert_eq!(other.metrics().opened_pages, 0);
    for round in 0..20 {
        for engine in [&engine, &other] {
            let mut batch = trunkline::Batch::new();
            batch.put(format!("new {round}"), "1");
            for key in 0..10 {
                batch.delete(format!("key {}", key * round));
            }
            engine
                .submit_blocking(batch)
                .unwrap()
                .durable_blocking()
                .unwrap();
        }
        let state = |engine: &Engine| engine.snapshot().record().state_digest;
        assert_eq!(state(&engine), state(&other));
    }
    let pairs = |engine: &Engine| content(&engine.snapshot()).1;
    assert_eq!(pairs(&engine), pairs(&other));
    until(|| engine.metrics().slots_to_restore == 0);
    assert_eq!(pairs(&engine), pairs(&other));
    engine.put_blocking("last", "1").unwrap();
    engine.drain_blocking().unwrap();
    let metrics = engine.metrics();
    assert_eq!(metrics.tree_leaves, metrics.keys);
    engine.shutdown_blocking().unwrap();
    other.shutdown_blocking().unwrap();
}

#[test]
fn a_damaged_file_is_as_good_as_none() {
    let tree = closed_tree();
    let expected = read(tree.path());
    let path = tree.path().join(PAGES_FILE);
    let bytes = fs::read(&path).unwrap();
    for place in (0..90)
        .step_by(9)
        .chain((90..bytes.len()).step_by(bytes.len() / 40))
    {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(read(tree.path()), expected);
        fs::write(&path, &bytes[..place]).unwrap();
        assert_eq!(read(tree.path()), expected);
    }
    let report = checked(tree.path());
    let [finding] = &damage(&report)[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(
        (finding.part, finding.repair),
        (Part::Pages, Some(Repair::Pages))
    );
    let engine = open(tree.path());
    assert_eq!(engine.metrics().opened_pages, 0);
    engine.shutdown_blocking().unwrap();
    assert!(repair(tree.path(), None).unwrap().after.is_sound());
}

#[test]
fn a_whole_file_with_another_state_is_refused_and_can_be_removed() {
    let tree = closed_tree();
    let expected = read(tree.path());
    rewrite(tree.path(), |_, slots| {
        let mut pages = slots.iter_mut().flat_map(|slot| &mut slot.pages);
        pages.find(|page| page.leaves > 1).unwrap().digest[0] ^= 1;
    });
    let is_refused = |error: Option<OpenError>| {
        matches!(error, Some(OpenError::Replay(ReplayError::Pages { .. })))
    };
    let config = config(tree.path(), DurabilityMode::Sync);
    assert!(is_refused(Engine::open_blocking(config).err()));
    assert!(is_refused(ReadOnly::open(tree.path()).err()));
    let report = checked(tree.path());
    assert!(matches!(damage(&report)[..], [finding] if finding.part == Part::Pages));
    let repaired = repair(tree.path(), None).unwrap();
    assert_eq!(repaired.done[0].repair, Repair::Pages);
    assert!(repaired.after.is_sound() && !tree.path().join(PAGES_FILE).exists());
    assert_eq!(read(tree.path()), expected);
}

#[test]
fn a_check_compares_the_leaves_of_each_page() {
    let tree = closed_tree();
    rewrite(tree.path(), |_, slots| {
        let mut pages = slots.iter_mut().flat_map(|slot| &mut slot.pages);
        pages.find(|page| page.leaves > 2).unwrap().leaves -= 1;
        pages.find(|page| page.leaves > 2).unwrap().leaves += 1;
    });
    let report = checked(tree.path());
    assert!(matches!(
        &damage(&report)[..],
        [finding] if matches!(finding.fault, Fault::Replay(ReplayError::Leaves(_)))
    ));
}

#[test]
fn a_file_of_another_version_or_tree_is_ignored() {
    let tree = closed_tree();
    let expected = read(tree.path());
    let file = fs::read(tree.path().join(PAGES_FILE)).unwrap();
    let changes: [fn(&mut PagesOf); 4] = [
        |of| of.version -= 1,
        |of| of.version += 1,
        |of| of.commit_id = [1; 32],
        |of| of.tree_id = [1; 32],
    ];
    for change in changes {
        rewrite(tree.path(), |of, slots| {
            change(of);
            // Whatever it says.
            let pages = slots.iter_mut().flat_map(|slot| &mut slot.pages);
            let some = pages.filter(|page| page.leaves > 0);
            some.for_each(|page| page.digest[0] ^= 1);
        });
        assert_eq!(read(tree.path()), expected);
        fs::write(tree.path().join(PAGES_FILE), &file).unwrap();
    }
}

#[test]
fn leaves_that_are_not_those_of_the_digests_are_refused_when_they_are_touched() {
    let tree = closed_tree();
    let leaves = tree.path().join(LEAVES_DIRECTORY);
    fs::remove_dir_all(&leaves).unwrap();
    fs::create_dir(&leaves).unwrap();
    // The log touches some.
    let config = config(tree.path(), DurabilityMode::Sync);
    let is_refused =
        |error: Option<OpenError>| matches!(error, Some(OpenError::Replay(ReplayError::Leaves(_))));
    assert!(is_refused(ReadOnly::open(tree.path()).err()));
    assert!(is_refused(Engine::open_blocking(config).err()));
    let report = checked(tree.path());
    let parts: Vec<Part> = damage(&report).iter().map(|finding| finding.part).collect();
    assert!(parts.contains(&Part::Leaves) && !parts.contains(&Part::Pages));
}

#[test]
fn closing_makes_a_checkpoint_if_there_is_enough_to_replay() {
    let tree = closed_tree();
    let covered = || {
        CheckpointManifest::read(&OsDisk, tree.path())
            .unwrap()
            .record
            .version
    };
    let before = covered();
    let mut config = config(tree.path(), DurabilityMode::Sync);
    for (bytes_max, is_covered) in [(16 << 20, false), (64 << 10, true)] {
        config.checkpoint.bytes_max = bytes_max;
        config.checkpoint.unflushed_bytes_max = 1 << 30;
        let engine = Engine::open_blocking(config.clone()).unwrap();
        let receipt = engine.put_blocking("filler", vec![7; 5_000]).unwrap();
        let version = receipt.durable_blocking().unwrap().version;
        engine.shutdown_blocking().unwrap();
        assert_eq!(covered(), if is_covered { version } else { before });
    }
    let expected = read(tree.path());
    let engine = open(tree.path());
    assert_eq!(content(&engine.snapshot()), expected);
    engine.shutdown_blocking().unwrap();
}
