//! Interrupted checkpoints.

use std::path::Path;

use trunkline::config::DurabilityMode;
use trunkline::core::hash::Digest;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::effect::{Effect, decode_effects};
use trunkline::core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline::core::store::leaves::LEAVES_DIRECTORY;
use trunkline::core::store::leaves::{Leaf, LeafChange, LeafRef, LeafStore};
use trunkline::core::store::log::{CommitLog, LOG_DIRECTORY, LogPosition};
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::core::store::tree_file;
use trunkline::{Engine, ReadOnly, Snapshot};

use crate::directories::closed_tree;
use crate::killed::config;

/// Returns the changes of each version after the checkpoint.
fn changes_after(directory: &Path, marker: &CheckpointManifest) -> Vec<Vec<Change>> {
    let params = tree_file::read(&OsDisk, directory).unwrap();
    let from = LogPosition::of(&marker.record);
    let log = directory.join(LOG_DIRECTORY);
    let mut versions = Vec::new();
    CommitLog::read_only(&OsDisk, &log, &params.tree_id(), from, |entry| {
        decode_effects(&params, &entry.effects)
            .map(|effects| versions.push(effects.iter().map(change).collect()))
    })
    .unwrap();
    versions
}

type Change = (Digest, Option<Leaf>);

fn change(effect: &Effect<'_>) -> Change {
    let leaf = |value| LeafRef {
        key: effect.key,
        value,
    };
    (
        effect.key_hash,
        effect.change.map(|value| leaf(value).owned()),
    )
}

fn content(snapshot: &Snapshot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entries = snapshot.iter().map(|entry| entry.unwrap());
    entries
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Makes a directory as an interrupted checkpoint leaves it, after ingesting every `step`th change of some versions,
/// and checks that the tree is the same.
fn break_off(ingested: impl Fn(usize) -> usize, step: usize) {
    let tree = closed_tree();
    let path = tree.path();
    let whole = ReadOnly::open(path).unwrap().snapshot();
    let (commit_id, expected) = (whole.commit_id(), content(&whole));

    let mut marker = CheckpointManifest::read(&OsDisk, path).unwrap();
    let versions = changes_after(path, &marker);
    assert!(versions.len() > 2, "there is something to check point");
    marker.intent = Some(marker.record.version + versions.len() as u64);
    marker.write(&OsDisk, path).unwrap();
    let options = FjallOptions::default();
    let leaves = FjallLeafStore::open(&path.join(LEAVES_DIRECTORY), &options).unwrap();
    for changes in &versions[..ingested(versions.len())] {
        let changes = changes.iter().step_by(step);
        let mut changes = changes.map(|(key_hash, leaf)| LeafChange {
            key_hash: *key_hash,
            leaf: leaf.as_ref().map(Leaf::borrowed),
        });
        leaves.ingest(&mut changes).unwrap();
    }
    leaves.sync().unwrap();
    drop(leaves);

    let read = ReadOnly::open(path).unwrap();
    assert_eq!(read.inspect().checkpoint_intent, marker.intent);
    assert_eq!(read.snapshot().commit_id(), commit_id);
    assert_eq!(content(&read.snapshot()), expected);
    drop(read);
    let engine = Engine::open_blocking(config(path, DurabilityMode::Sync)).unwrap();
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.commit_id(), commit_id);
    assert_eq!(content(&snapshot), expected);
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_checkpoint_interrupted_before_the_ingestion_does_no_harm() {
    break_off(|_| 0, 1);
}

#[test]
fn a_checkpoint_interrupted_between_ingestion_and_manifest_does_no_harm() {
    break_off(|versions| versions, 1);
}

#[test]
fn a_checkpoint_interrupted_within_the_ingestion_does_no_harm() {
    break_off(|versions| versions / 2, 1);
    break_off(|versions| versions, 3);
}
