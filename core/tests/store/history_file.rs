use std::path::Path;

use trunkline_core::hash::{Digest, FRAME};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, read_file, replace_file};
use trunkline_core::store::history_file::{
    HISTORY_FILE, HISTORY_HEADER_BYTES, HistoryFile, HistoryFileError, HistoryWriter, nodes_covered,
};
use trunkline_core::store::manifest::{CheckpointManifest, ReadManifestError};
use trunkline_core::store::simulated::{Failure, Fault, SimulatedDisk};

use crate::support::*;

const HERE: &str = "";

/// Returns manifests of versions 0 to `last`, and all nodes.
fn chain(last: u64) -> (Vec<CheckpointManifest>, Vec<Digest>) {
    let mut manifests = vec![CheckpointManifest::genesis(TREE)];
    let mut history = manifests[0].history.clone();
    let mut nodes = vec![manifests[0].record.commit_id()];
    for version in 1..=last {
        let record = CommitRecord {
            version,
            history_digest: history.digest(&HISTORY),
            ..CommitRecord::genesis(TREE)
        };
        let id = record.commit_id();
        nodes.push(id);
        history.append_noting(&HISTORY, &id, |node| nodes.push(*node));
        manifests.push(CheckpointManifest {
            record,
            kzg_root: None,
            history: history.clone(),
            intent: None,
        });
    }
    (manifests, nodes)
}

/// Returns the nodes that a checkpoint of `version` adds to one of `before`, or to none.
fn nodes_between(nodes: &[Digest], before: u64, version: u64) -> &[Digest] {
    let from = stored(before) as usize;
    &nodes[from..nodes_covered(version) as usize]
}

/// Returns the number of nodes in the file after a checkpoint of a version.
fn stored(version: u64) -> u64 {
    match version {
        0 => 0,
        version => nodes_covered(version),
    }
}

/// Makes a checkpoint as the engine does.
fn checkpoint(
    disk: &SimulatedDisk,
    writer: &mut Option<HistoryWriter>,
    (manifests, nodes): &(Vec<CheckpointManifest>, Vec<Digest>),
    before: u64,
    version: u64,
) -> Result<(), HistoryFileError> {
    if writer.is_none() {
        let opened = HistoryWriter::open(disk, Path::new(HERE), &TREE, stored(before))?;
        *writer = Some(opened);
    }
    let writer = writer.as_mut().unwrap();
    writer.append(nodes_between(nodes, before, version))?;
    let manifest = &manifests[version as usize];
    HistoryFile::open(disk, Path::new(HERE), manifest)?;
    let written = manifest.write(disk, Path::new(HERE));
    written.map_err(|source| HistoryFileError::Io {
        path: HERE.into(),
        source,
    })
}

fn content(disk: &SimulatedDisk) -> Vec<u8> {
    read_file(disk, Path::new(HISTORY_FILE), usize::MAX).unwrap()
}

#[test]
fn header_and_nodes_stand_in_a_row() {
    let disk = SimulatedDisk::new(1);
    let chain = chain(4);
    let mut writer = None;
    checkpoint(&disk, &mut writer, &chain, 0, 1).unwrap();
    checkpoint(&disk, &mut writer, &chain, 1, 4).unwrap();
    let header = [b"trunkhis", &b"\x02\0"[..], &TREE].concat();
    let checksum = FRAME.hash(&header);
    let ids: Vec<Digest> = chain.0.iter().map(|m| m.record.commit_id()).collect();
    let mut two = MountainRange::default();
    let mut between = Vec::new();
    for id in &ids {
        two.append_noting(&HISTORY, id, |node| between.push(*node));
    }
    let nodes = [
        ids[0], ids[1], between[0], ids[2], ids[3], between[1], between[2], ids[4],
    ];
    let expected = [&header[..], &checksum, nodes.as_flattened()].concat();
    assert_eq!(content(&disk), expected);
}

#[test]
fn every_node_can_be_read_whenever_checkpoints_came() {
    let chain = chain(40);
    for step in [1, 3, 7, 40] {
        let disk = SimulatedDisk::new(step);
        let (mut writer, mut before) = (None, 0);
        for version in (0..=40).skip(step as usize).step_by(step as usize) {
            checkpoint(&disk, &mut writer, &chain, before, version).unwrap();
            before = version;
            // Every second checkpoint is made by another engine.
            if version % 2 == 0 {
                writer = None;
            }
        }
        let manifest = &chain.0[before as usize];
        let file = HistoryFile::open(&disk, Path::new(HERE), manifest).unwrap();
        let file = file.unwrap();
        for (position, node) in chain.1[..nodes_covered(before) as usize].iter().enumerate() {
            assert_eq!(file.node(position as u64).unwrap(), *node);
        }
    }
}

/// Checkpoints that are interrupted at any call: by a crash, by an error, or by both in turn.
#[test]
fn whatever_breaks_off_the_directory_opens_and_continues() {
    let all = chain(24);
    let here = Path::new(HERE);
    for seed in 0..3000_u64 {
        let disk = SimulatedDisk::new(seed);
        // The version in the manifest, and the least that it must be: a version that was read may still be lost, if its
        // directory was never synced.
        let (mut seen, mut promised) = (0, 0);
        for round in 0..5 {
            let (mut writer, mut before) = (None, seen);
            let chance = seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(round * 7);
            disk.inject(Fault {
                call: None,
                after: chance % 17,
                failure: [Failure::Error, Failure::NoSpace, Failure::PowerLoss][seed as usize % 3],
                lasting: chance & 64 != 0,
            });
            while before < 24 {
                let next = (before + 1 + chance % 4).min(24);
                if checkpoint(&disk, &mut writer, &all, before, next).is_err() {
                    break;
                }
                (before, promised) = (next, next);
            }
            drop(writer);
            disk.clear_faults();
            if chance & 128 != 0 || seed % 3 == 2 {
                disk.crash(chance);
            }
            let manifest = match CheckpointManifest::read(&disk, here) {
                Ok(manifest) => manifest,
                Err(ReadManifestError::Io { .. }) => CheckpointManifest::genesis(TREE),
                Err(error) => panic!("seed {seed}: {error}"),
            };
            let found = manifest.record.version;
            assert!(found >= promised, "seed {seed}: a checkpoint was lost");
            let file = HistoryFile::open(&disk, here, &manifest);
            let file = file.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for (position, node) in all.1[..stored(found) as usize].iter().enumerate() {
                let read = file.as_ref().unwrap().node(position as u64).unwrap();
                assert_eq!(read, *node, "seed {seed}");
            }
            seen = found;
        }
    }
}

/// Returns a directory after checkpoints of versions 4 and 11, and its manifest.
fn closed() -> (SimulatedDisk, CheckpointManifest, Vec<u8>) {
    let disk = SimulatedDisk::new(1);
    let chain = chain(11);
    let mut writer = None;
    checkpoint(&disk, &mut writer, &chain, 0, 4).unwrap();
    checkpoint(&disk, &mut writer, &chain, 4, 11).unwrap();
    let content = content(&disk);
    (disk, chain.0[11].clone(), content)
}

fn open(
    disk: &SimulatedDisk,
    manifest: &CheckpointManifest,
) -> Result<Option<HistoryFile>, HistoryFileError> {
    let opened = HistoryFile::open(disk, Path::new(HERE), manifest);
    if let Err(error) = &opened {
        assert!(error.to_string().contains(HISTORY_FILE), "{error}");
    }
    opened
}

#[test]
fn damage_of_the_header_is_named() {
    let (disk, manifest, whole) = closed();
    for offset in 0..HISTORY_HEADER_BYTES {
        disk.flip(Path::new(HISTORY_FILE), offset, 0x04);
        let error = open(&disk, &manifest).unwrap_err();
        match offset {
            0..8 => assert!(matches!(error, HistoryFileError::Magic { .. })),
            8..10 => assert!(matches!(error, HistoryFileError::Format { .. })),
            _ => assert!(matches!(error, HistoryFileError::Header { .. })),
        }
        disk.flip(Path::new(HISTORY_FILE), offset, 0x04);
    }
    assert_eq!(content(&disk), whole);
    assert!(open(&disk, &manifest).is_ok());
}

#[test]
fn damage_of_peaks_and_of_the_last_commit_id_is_named() {
    let (disk, manifest, whole) = closed();
    // 12 versions: a peak over eight of them, and one over the other four, which end the file.
    let nodes = (whole.len() - HISTORY_HEADER_BYTES) / 32;
    assert_eq!(nodes, 22);
    for node in [14, 21, 19] {
        let offset = HISTORY_HEADER_BYTES + node * 32 + 5;
        disk.flip(Path::new(HISTORY_FILE), offset, 0x04);
        let error = open(&disk, &manifest).unwrap_err();
        assert!(matches!(error, HistoryFileError::Differs { .. }));
        disk.flip(Path::new(HISTORY_FILE), offset, 0x04);
    }
    assert!(open(&disk, &manifest).is_ok());
}

#[test]
fn a_file_that_is_short_missing_or_of_another_tree_is_named() {
    let (disk, manifest, whole) = closed();
    let path = Path::new(HISTORY_FILE);
    for length in 0..whole.len() {
        replace_file(&disk, path, &whole[..length]).unwrap();
        let error = open(&disk, &manifest).unwrap_err();
        assert!(matches!(error, HistoryFileError::Short { found, .. } if found == length as u64));
    }
    let mut other = manifest.clone();
    other.record.tree_id = [0x77; 32];
    replace_file(&disk, path, &whole).unwrap();
    let error = open(&disk, &other).unwrap_err();
    assert!(matches!(error, HistoryFileError::OtherTree { .. }));
    disk.remove(path).unwrap();
    let error = open(&disk, &manifest).unwrap_err();
    assert!(matches!(error, HistoryFileError::Missing { .. }));
}

#[test]
fn a_marker_of_any_version_is_answered() {
    let (disk, manifest, _) = closed();
    let numbers = (4..64).flat_map(|bit| [1_u64 << bit, u64::MAX >> (64 - bit)]);
    for version in numbers.chain([u64::MAX - 1]) {
        let count = version + 1;
        let peaks = vec![[1; 32]; count.count_ones() as usize];
        let mut forged = manifest.clone();
        forged.record.version = version;
        forged.history = MountainRange::from_parts(count, peaks).unwrap();
        let error = open(&disk, &forged).unwrap_err();
        assert!(matches!(error, HistoryFileError::Short { .. }), "{version}");
    }
}

#[test]
fn what_is_behind_the_marker_or_before_the_first_one_means_nothing() {
    let (disk, manifest, mut whole) = closed();
    let path = Path::new(HISTORY_FILE);
    whole.extend([0xee; 45]);
    replace_file(&disk, path, &whole).unwrap();
    assert!(open(&disk, &manifest).unwrap().is_some());
    replace_file(&disk, path, b"anything").unwrap();
    assert!(
        open(&disk, &CheckpointManifest::genesis(TREE))
            .unwrap()
            .is_none()
    );
    let mut writer = None;
    checkpoint(&disk, &mut writer, &chain(11), 0, 11).unwrap();
    assert_eq!(content(&disk), whole[..whole.len() - 45]);
}

#[test]
fn a_writer_does_not_continue_behind_the_end_of_a_file() {
    let (disk, ..) = closed();
    let error = HistoryWriter::open(&disk, Path::new(HERE), &TREE, 23).unwrap_err();
    assert!(matches!(error, HistoryFileError::Io { .. }));
}
