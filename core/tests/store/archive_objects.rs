//! The objects of archives: their bytes are fixed, and nothing else is accepted.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_core::hash::{Digest, FRAME, hash, hex};
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::outcome::Outcome;
use trunkline_core::params::FORMAT;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::archive::manifest::{BaseManifest, Part};
use trunkline_core::store::archive::part::{
    LEAVES_BYTES, LeavesWriter, Place, decode_commit_ids, decode_keyed, decode_leaves,
    encode_commit_ids, encode_keyed,
};
use trunkline_core::store::archive::segment::{Segment, SegmentWriter};
use trunkline_core::store::archive::{ObjectError, SegmentName, checksum};
use trunkline_core::store::idempotency_file::{
    KEYED_SUBMISSION_BYTES, KeyedSubmission, Remembered,
};
use trunkline_core::store::leaves::LeafRef;
use trunkline_core::store::log::LogPosition;
use trunkline_core::store::manifest::CheckpointManifest;

const SPECIFICATION: &str = include_str!("../../../SPEC.md");
const TREE: Digest = [0x71; 32];
const OF_THE_BASE: Place = Place {
    tree_id: TREE,
    version: 1,
    index: 0,
};
const NAME: SegmentName = SegmentName {
    first_version: 2,
    last_version: 3,
    open_epoch: 4,
};

const ADA: LeafRef<'static> = LeafRef {
    key: b"name",
    value: b"Ada",
};

/// Returns the record of a base of version 1 with one key.
fn record() -> CommitRecord {
    let genesis = CommitRecord::genesis(TREE);
    let mut history = MountainRange::default();
    history.append(&HISTORY, &genesis.commit_id());
    CommitRecord {
        version: 1,
        parent: genesis.commit_id(),
        open_epoch: 1,
        state_digest: [0x73; 32],
        key_count: 1,
        history_digest: history.digest(&HISTORY),
        ..genesis
    }
}

fn leaves() -> (Part, Vec<u8>) {
    let mut writer = LeavesWriter::new(TREE, 1);
    assert_eq!(writer.push(ADA), None);
    writer.finish().unwrap()
}

fn commit_ids() -> (Part, Vec<u8>) {
    let record = record();
    encode_commit_ids(&OF_THE_BASE, &[record.parent, record.commit_id()])
}

/// Returns a submission with a key.
fn submission() -> KeyedSubmission {
    KeyedSubmission {
        key_hash: hash(b"payment 17"),
        sequence: 1,
        submission: [0x75; 32],
        outcome: Outcome::Applied { displaced: 0 },
        provisional_root: [0x72; 32],
        version: 1,
        state_digest: [0x73; 32],
    }
}

fn keyed() -> (Part, Vec<u8>) {
    encode_keyed(&OF_THE_BASE, &[submission()])
}

/// Returns the file of a directory that remembers the same keys as the base.
fn remembered() -> Vec<u8> {
    let remembered = Remembered {
        version: 1,
        submissions: vec![submission()],
    };
    remembered.encode(&TREE)
}

fn manifest() -> BaseManifest {
    let record = record();
    let mut history = MountainRange::default();
    history.append(&HISTORY, &record.parent);
    history.append(&HISTORY, &record.commit_id());
    BaseManifest {
        state: CheckpointManifest {
            record,
            kzg_root: Some([0x6b; 48]),
            history,
            intent: None,
        },
        leaves: vec![leaves().0],
        commit_ids: vec![commit_ids().0],
        idempotency_keys: vec![keyed().0],
    }
}

fn segment() -> Vec<u8> {
    let parent = LogPosition {
        version: 1,
        commit_id: [0x70; 32],
    };
    let mut writer = SegmentWriter::new(TREE, 4, parent);
    writer.push([0x61; 32], b"a frame");
    writer.push([0x62; 32], b"another");
    let (name, bytes) = writer.finish().unwrap();
    assert_eq!(name, NAME);
    bytes
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = FRAME.hash(&bytes);
    bytes.extend(checksum);
    bytes
}

fn head(magic: &[u8; 8]) -> Vec<u8> {
    [&magic[..], &FORMAT.to_le_bytes(), &TREE].concat()
}

#[test]
fn the_specification_has_the_bytes_of_each_object() {
    let rows = [
        ("part with leaves", leaves().1),
        ("part with commit ids", commit_ids().1),
        ("part with idempotency keys", keyed().1),
        ("`IDEMPOTENCY` of version 1", remembered()),
        ("manifest of a base", manifest().encode()),
        ("segment of an archive", segment()),
    ];
    let rows = rows.map(|(name, bytes)| format!("| {name} | `{}` |", hex(&bytes)));
    let missing: Vec<_> = rows
        .iter()
        .filter(|row| !SPECIFICATION.contains(*row))
        .collect();
    assert_eq!(missing, Vec::<&String>::new(), "SPEC.md lacks these rows");
}

#[test]
fn a_part_is_its_place_its_count_and_its_content() {
    let place = [&1_u64.to_le_bytes()[..], &0_u32.to_le_bytes()].concat();
    let expected = [
        head(b"trunklvs"),
        place.clone(),
        b"\x01\0\0\0\x04name\x03Ada".to_vec(),
    ];
    assert_eq!(leaves().1, sealed(expected.concat()));
    let record = record();
    let ids = [record.parent, record.commit_id()].concat();
    let expected = [head(b"trunkids"), place, b"\x02\0\0\0".to_vec(), ids];
    assert_eq!(commit_ids().1, sealed(expected.concat()));
}

#[test]
fn a_manifest_is_the_state_and_the_parts() {
    let manifest = manifest();
    let state = manifest.state.encode();
    let part = |part: &Part| {
        [
            &1_u32.to_le_bytes()[..],
            &part.bytes.to_le_bytes(),
            &part.count.to_le_bytes(),
            &part.checksum,
        ]
        .concat()
    };
    let (leaves, ids) = (part(&manifest.leaves[0]), part(&manifest.commit_ids[0]));
    let keys = part(&manifest.idempotency_keys[0]);
    let length = (state.len() as u16).to_le_bytes().to_vec();
    let expected = [head(b"trunkbas"), length, state, leaves, ids, keys].concat();
    assert_eq!(manifest.encode(), sealed(expected));
    assert_eq!(
        manifest.leaves[0].checksum,
        checksum(&self::leaves().1).unwrap()
    );
}

#[test]
fn a_segment_is_its_name_its_ends_and_its_frames() {
    let numbers = [4_u64, 2, 3].map(u64::to_le_bytes).concat();
    let ends = [[0x70; 32], [0x62; 32]].concat();
    let frames = b"\x07\0\0\0a frame\x07\0\0\0another".to_vec();
    assert_eq!(
        segment(),
        sealed([head(b"trunkseg"), numbers, ends, frames].concat())
    );
    let read = Segment::decode(&TREE, &NAME, &segment().into()).unwrap();
    assert_eq!((read.parent.version, read.last.commit_id), (1, [0x62; 32]));
    assert_eq!(read.frames, ["a frame", "another"]);
}

fn is_read(bytes: &[u8]) -> bool {
    decode_leaves(&OF_THE_BASE, bytes).is_ok()
        || decode_commit_ids(&OF_THE_BASE, bytes).is_ok()
        || decode_keyed(&OF_THE_BASE, bytes).is_ok()
        || BaseManifest::decode(bytes).is_ok()
        || Segment::decode(&TREE, &NAME, &Bytes::copy_from_slice(bytes)).is_ok()
}

#[test]
fn every_cut_and_every_changed_bit_is_refused() {
    let objects = [
        leaves().1,
        commit_ids().1,
        keyed().1,
        manifest().encode(),
        segment(),
    ];
    for bytes in objects {
        assert!(is_read(&bytes));
        for length in 0..bytes.len() {
            assert!(!is_read(&bytes[..length]), "{length}");
            let mut changed = bytes.clone();
            changed[length] ^= 1;
            assert!(!is_read(&changed), "{length}");
        }
        assert!(!is_read(&[&bytes[..], b"\0"].concat()));
    }
}

#[test]
fn an_object_of_another_place_or_tree_is_refused() {
    let other = |place: Place| {
        assert!(decode_leaves(&place, &leaves().1).is_err());
        assert!(decode_commit_ids(&place, &commit_ids().1).is_err());
        assert!(decode_keyed(&place, &keyed().1).is_err());
    };
    other(Place {
        version: 2,
        ..OF_THE_BASE
    });
    other(Place {
        index: 1,
        ..OF_THE_BASE
    });
    other(Place {
        tree_id: [1; 32],
        ..OF_THE_BASE
    });
    let error = Segment::decode(&[1; 32], &NAME, &segment().into()).unwrap_err();
    assert_eq!(error, ObjectError::OtherTree(TREE));
    for name in [
        SegmentName {
            open_epoch: 5,
            ..NAME
        },
        SegmentName {
            first_version: 1,
            ..NAME
        },
        SegmentName {
            last_version: 4,
            ..NAME
        },
    ] {
        assert!(Segment::decode(&TREE, &name, &segment().into()).is_err());
    }
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let refused = |change: fn(&mut BaseManifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        let error = BaseManifest::decode(&manifest.encode()).unwrap_err();
        assert!(matches!(error, ObjectError::Contradiction(_)), "{error}");
    };
    refused(|manifest| manifest.leaves.clear());
    refused(|manifest| manifest.leaves[0].count = 2);
    refused(|manifest| manifest.commit_ids[0].count = 1);
    refused(|manifest| manifest.idempotency_keys[0].count = 1_000_001);
    refused(|manifest| manifest.idempotency_keys[0].count = 0);
    refused(|manifest| manifest.state.intent = Some(7));
    refused(|manifest| {
        manifest.leaves.push(Part {
            bytes: 1,
            count: 0,
            checksum: [0; 32],
        })
    });
}

#[test]
fn counts_and_lengths_beyond_the_bytes_are_refused_before_memory_is_allocated() {
    let place = [&1_u64.to_le_bytes()[..], &0_u32.to_le_bytes()].concat();
    for count in [2, u32::MAX] {
        let count = count.to_le_bytes().to_vec();
        let leaves = [
            head(b"trunklvs"),
            place.clone(),
            count.clone(),
            b"\x04name\x03Ada".to_vec(),
        ];
        assert!(!is_read(&sealed(leaves.concat())));
        let row = vec![0; KEYED_SUBMISSION_BYTES];
        let keyed = [head(b"trunkidp"), place.clone(), count.clone(), row];
        assert!(!is_read(&sealed(keyed.concat())));
        let ids = [head(b"trunkids"), place.clone(), count, vec![0; 32]];
        assert!(!is_read(&sealed(ids.concat())));
    }
    let leaf = |leaf: &[u8]| {
        let part = [
            head(b"trunklvs"),
            place.clone(),
            b"\x01\0\0\0".to_vec(),
            leaf.to_vec(),
        ];
        is_read(&sealed(part.concat()))
    };
    assert!(leaf(b"\x01a\0"));
    assert!(!leaf(b"\0\x01a")); // no key
    assert!(!leaf(b"\x81\0a\0")); // a length that is not the shortest
    assert!(!leaf(b"\xff\xff\xff\xff\x0fa\0"));
    assert!(!leaf(b"\x01a\0\0"));
}

#[test]
fn a_part_is_closed_when_it_is_full() {
    let value = vec![7; LEAVES_BYTES / 2];
    let mut writer = LeavesWriter::new(TREE, 1);
    let mut push = |key: u8| {
        let leaf = LeafRef {
            key: &[key],
            value: &value,
        };
        writer.push(leaf).map(|(part, _)| part.count)
    };
    assert_eq!([push(0), push(1), push(2)], [None, Some(2), None]);
    let (last, bytes) = writer.finish().unwrap();
    assert_eq!(last.count, 1);
    let place = Place {
        index: 1,
        ..OF_THE_BASE
    };
    assert_eq!(decode_leaves(&place, &bytes).unwrap().len(), 1);
    assert_eq!(writer.finish(), None);
}

proptest! {
    #[test]
    fn arbitrary_fields_behind_a_right_head_are_refused_or_canonical(
        magic in prop::sample::select(vec![*b"trunklvs", *b"trunkids", *b"trunkbas", *b"trunkseg"]),
        place in any::<bool>(),
        fields in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = head(&magic);
        if place {
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
        }
        bytes.extend(fields);
        let bytes = sealed(bytes);
        if let Ok(leaves) = decode_leaves(&OF_THE_BASE, &bytes) {
            let mut writer = LeavesWriter::new(TREE, 1);
            for leaf in leaves {
                prop_assert_eq!(writer.push(leaf), None);
            }
            let again = writer.finish();
            prop_assert!(again.is_none_or(|(_, again)| again == bytes));
        }
        let _ = is_read(&bytes);
    }
}
