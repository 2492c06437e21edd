use std::path::Path;

use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::manifest::{
    CHECKPOINT_FILE, CheckpointManifest, ManifestError, ReadManifestError,
};
use trunkline_core::store::simulated::{Failure, Fault, SimulatedDisk};
use trunkline_core::store::tree_file::{self, ReadTreeFileError, TREE_FILE, TreeFileError};

use crate::support::*;

const DIRECTORY: &str = "";

#[test]
fn a_crash_at_any_call_leaves_the_old_marker_or_the_new() {
    let old = CheckpointManifest::genesis(TREE);
    let new = CheckpointManifest {
        intent: Some(4),
        ..old.clone()
    };
    for seed in 0..400 {
        let disk = SimulatedDisk::new(seed);
        old.write(&disk, Path::new(DIRECTORY)).unwrap();
        disk.inject(Fault {
            call: None,
            after: seed % 6,
            failure: Failure::PowerLoss,
            lasting: false,
        });
        let written = new.write(&disk, Path::new(DIRECTORY)).is_ok();
        disk.crash(seed);
        let found = CheckpointManifest::read(&disk, Path::new(DIRECTORY)).unwrap();
        assert!(found == new || (found == old && !written));
        new.write(&disk, Path::new(DIRECTORY)).unwrap();
    }
}

#[test]
fn every_flip_in_a_marker_or_tree_file_is_an_error() {
    let manifest = CheckpointManifest::genesis(TREE).encode();
    let tree = tree_file::encode(&TreeParams::default());
    for (bytes, is_error) in [
        (
            manifest,
            (|b| CheckpointManifest::decode(b).is_err()) as fn(&[u8]) -> bool,
        ),
        (tree, |b| tree_file::decode(b).is_err()),
    ] {
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(is_error(&damaged), "{index}");
        }
    }
}

#[test]
fn another_format_is_told_apart_from_damage() {
    let mut manifest = CheckpointManifest::genesis(TREE).encode();
    manifest[8] = 9;
    assert_eq!(
        CheckpointManifest::decode(&manifest),
        Err(ManifestError::Format(9))
    );
    let mut tree = tree_file::encode(&TreeParams::default());
    tree[8] = 9;
    assert_eq!(tree_file::decode(&tree), Err(TreeFileError::Format(9)));
    tree[0] = 0;
    assert_eq!(tree_file::decode(&tree), Err(TreeFileError::Magic));
}

#[test]
fn what_is_of_no_use_is_named_by_its_path() {
    let disk = SimulatedDisk::new(1);
    let directory = Path::new(DIRECTORY);
    disk.create_directory(directory).unwrap();
    for name in [CHECKPOINT_FILE, TREE_FILE] {
        let mut file = disk.create(&directory.join(name)).unwrap();
        file.append(b"something else").unwrap();
    }
    let manifest = CheckpointManifest::read(&disk, directory)
        .unwrap_err()
        .to_string();
    let tree = tree_file::read(&disk, directory).unwrap_err().to_string();
    for (name, error) in [(CHECKPOINT_FILE, manifest), (TREE_FILE, tree)] {
        let path = directory.join(name).display().to_string();
        assert!(error.starts_with(&path), "{error}");
        assert!(error.ends_with("is it the right directory?"), "{error}");
    }
}

#[test]
fn an_empty_directory_has_neither_marker_nor_tree_file() {
    let disk = SimulatedDisk::new(1);
    let not_found = std::io::ErrorKind::NotFound;
    let Err(ReadManifestError::Io { path, source }) =
        CheckpointManifest::read(&disk, Path::new(DIRECTORY))
    else {
        panic!("a manifest was found");
    };
    assert_eq!(source.kind(), not_found);
    assert_eq!(path, Path::new(DIRECTORY).join(CHECKPOINT_FILE));
    let read = tree_file::read(&disk, Path::new(DIRECTORY));
    let Err(ReadTreeFileError::Io { path, source }) = read else {
        panic!("a tree file was found");
    };
    assert_eq!(source.kind(), not_found);
    assert_eq!(path, Path::new(DIRECTORY).join(TREE_FILE));
    let params = TreeParams::default();
    tree_file::create(&disk, Path::new(DIRECTORY), &params).unwrap();
    let read = tree_file::read(&disk, Path::new(DIRECTORY)).unwrap();
    assert_eq!(read, params);
}
