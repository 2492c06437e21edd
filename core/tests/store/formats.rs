use std::path::Path;

use trunkline_core::hash::{FRAME, hash, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::params::{CollisionPolicy, SETUP_ID, Salt, TreeParams};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::simulated::SimulatedDisk;
use trunkline_core::store::tree_file;

use crate::support::*;

/// Appends the checksum with which a header, a manifest or a tree file ends.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = FRAME.hash(&bytes);
    bytes.extend(checksum);
    bytes
}

#[test]
fn a_segment_is_header_commit_close() {
    let disk = SimulatedDisk::new(1);
    let (mut log, ..) = open(&disk).unwrap();
    let entry = entry_after(start(), 5, 2);
    log.append(&entry).unwrap();
    log.close().unwrap();

    let one = 1_u64.to_le_bytes();
    let salt = FRAME.hash(&[b"segment salt", &NONCE[..], &one, &one].concat());
    let header = sealed(
        [
            b"trunklog",
            &b"\x02\0"[..],
            &TREE,
            &one,
            &one,
            &start().commit_id,
            &salt,
        ]
        .concat(),
    );
    let record = entry.record.encode();
    let body = [
        &(record.len() as u16).to_le_bytes()[..],
        &record,
        b"\x01",
        &[2; 48],
        b"\0",
        b"\x49\0\0\0",
        &[2; 73],
        b"\x05\0\0\0",
        &[2; 5],
    ]
    .concat();
    let frame = |kind: u8, body: &[u8], version: u64, synced: u64| {
        let length = (body.len() as u32).to_le_bytes();
        let numbers = [version.to_le_bytes(), synced.to_le_bytes()].concat();
        let frame = [&salt[..8], &[kind], &length, &numbers, body].concat();
        let checksum = FRAME.hash(&[&salt[..], &frame].concat());
        [frame, checksum.to_vec()].concat()
    };
    let expected = [header, frame(1, &body, 1, 0), frame(2, b"", 1, 1)].concat();

    let files = segments(&disk);
    let name = "log/00000000000000000001-0000000001.seg";
    assert_eq!(files, [(Path::new(name).to_owned(), expected)]);
    assert_eq!(hex(&hash(&files[0].1)), SEGMENT_HASH);
}

#[test]
fn a_marker_is_as_written_down() {
    let record = CommitRecord {
        version: 2,
        parent: [5; 32],
        ..CommitRecord::genesis(TREE)
    };
    let mut history = MountainRange::default();
    for id in [[1; 32], [2; 32], [3; 32]] {
        history.append(&HISTORY, &id);
    }
    let manifest = CheckpointManifest {
        record: record.clone(),
        kzg_root: Some([9; 48]),
        history: history.clone(),
        intent: Some(7),
    };
    let encoded = record.encode();
    let expected = sealed(
        [
            b"trunkchk",
            &b"\x02\0"[..],
            &TREE,
            &2_u64.to_le_bytes(),
            &(encoded.len() as u16).to_le_bytes(),
            &encoded,
            b"\x01",
            &[9; 48],
            &3_u64.to_le_bytes(),
            b"\x02",
            history.peaks().as_flattened(),
            b"\x01",
            &7_u64.to_le_bytes(),
        ]
        .concat(),
    );
    assert_eq!(manifest.encode(), expected);
    assert_eq!(hex(&hash(&expected)), MANIFEST_HASH);
    assert_eq!(CheckpointManifest::decode(&expected), Ok(manifest));
}

#[test]
fn a_tree_file_is_as_written_down() {
    let params = TreeParams {
        nonce: [7; 16],
        salt: Some(Salt::new([8; 32])),
        collision: CollisionPolicy::Reject,
    };
    let tree_id = params.tree_id();
    let fields = [
        b"trunktre",
        &b"\x02\0"[..],
        &[7; 16],
        &b"\x02\x01"[..],
        &[8; 32],
        &SETUP_ID,
        &tree_id,
    ];
    let expected = sealed(fields.concat());
    assert_eq!(tree_file::encode(&params), expected);
    assert_eq!(hex(&hash(&expected)), TREE_FILE_HASH);
    assert_eq!(tree_file::decode(&expected), Ok(params));
}

const SEGMENT_HASH: &str = "d005c995f14a8867c636ab843ed80ebfda34c6ec69deb62a1ce6503d78ebbb8f";
const MANIFEST_HASH: &str = "895fc6766d00c3f703c86acb2ed2f54ee79dfa5fdc5d46c964ff86fb83314304";
const TREE_FILE_HASH: &str = "bf4c723207183cae86e3c9b35a3cee6d7ef4dcadae49e6c7e2e3dc66635af364";
