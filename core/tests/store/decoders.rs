use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use trunkline_core::hash::FRAME;
use trunkline_core::params::{Salt, TreeParams};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::simulated::SimulatedDisk;
use trunkline_core::store::tree_file;

use crate::support::*;

/// Cuts, changes and repeats pieces of some bytes.
fn mutated(mut bytes: Vec<u8>, changes: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    for (index, byte) in changes {
        let index = index.index(bytes.len());
        bytes[index] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

/// Corrects the checksum in the last 32 bytes, so that the fields before it are reached.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len().saturating_sub(32);
    let checksum = FRAME.hash(&bytes[..body]);
    bytes.truncate(body);
    bytes.extend(checksum);
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec(any::<(Index, u8)>(), 0..4)
}

fn log_files() -> Vec<(PathBuf, Vec<u8>)> {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    for entry in chain_from(start(), 9, 700) {
        log.append(&entry).unwrap();
        log.sync().unwrap();
    }
    files(&disk)
}

proptest! {
    #[test]
    fn decoding_a_marker_never_panics(changes in changes(), cut in any::<Option<Index>>()) {
        let manifest = CheckpointManifest { intent: Some(3), kzg_root: Some([1; 48]), ..CheckpointManifest::genesis(TREE) };
        let bytes = mutated(manifest.encode(), &changes, cut);
        for bytes in [resealed(bytes.clone()), bytes] {
            if let Ok(other) = CheckpointManifest::decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }
    }

    #[test]
    fn decoding_a_tree_file_never_panics(changes in changes(), cut in any::<Option<Index>>()) {
        let params = TreeParams { nonce: [5; 16], salt: Some(Salt::new([4; 32])), ..TreeParams::default() };
        let bytes = mutated(tree_file::encode(&params), &changes, cut);
        for bytes in [resealed(bytes.clone()), bytes] {
            if let Ok(other) = tree_file::decode(&bytes) {
                prop_assert_eq!(tree_file::encode(&other), bytes);
            }
        }
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(CheckpointManifest::decode(&bytes).is_err());
        prop_assert!(tree_file::decode(&bytes).is_err());
        let path = PathBuf::from("log/00000000000000000001-0000000001.seg");
        prop_assert!(read(&disk_with(&[(path, bytes)]), start()).is_err());
    }

    #[test]
    fn reading_a_mutated_log_never_panics(
        file in any::<Index>(),
        changes in changes(),
        cut in any::<Option<Index>>(),
    ) {
        let mut files = log_files();
        let whole = chain_from(start(), 9, 700);
        let file = file.index(files.len());
        files[file].1 = mutated(files[file].1.clone(), &changes, cut);
        if let Ok((_, entries)) = read(&disk_with(&files), start()) {
            prop_assert_eq!(&entries[..], &whole[..entries.len()]);
        }
    }
}
