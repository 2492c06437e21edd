//! Entries of the archive of versions: their bytes are those of SPEC.md, and a store of them keeps its entries.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::leaves::{LeafRef, LeafStoreError};
use trunkline_core::store::past::{
    MemoryPast, PastDigest, PastKey, PastStore, PastSubmissions, PastVersion, TOP_NODE,
    decode_digest, decode_leaf, decode_version, deleted_key, digest_key, encode_digest,
    encode_leaf, encode_version, value_key, version_key,
};

const SPECIFICATION: &str = include_str!("../../../SPEC.md");

#[test]
fn the_examples_of_the_specification_hold() {
    let leaf = LeafRef {
        key: b"name",
        value: b"Ada",
    };
    let mut value = Vec::new();
    encode_leaf(Some(leaf), &mut value);
    assert_eq!(decode_leaf(&value), Some(Some(leaf)));
    let top = PastDigest {
        digest: [0x64; 32],
        lone: false,
        deep: true,
    };
    assert_eq!(decode_digest(&encode_digest(&top)), Some(top));
    let past = PastVersion {
        record: CommitRecord {
            version: 300,
            ..CommitRecord::genesis([0x74; 32])
        },
        kzg_root: Some([0x7a; 48]),
        submissions: Some(PastSubmissions {
            provisional_before: [0x70; 32],
            outcomes: Bytes::from_static(b"outcomes"),
        }),
        durable_ms: 1_700_000_000_000,
        began: 7,
    };
    let version = Bytes::from(encode_version(&past));
    assert_eq!(decode_version(&version), Some(past));
    let examples: [(&str, &[u8]); 8] = [
        ("key of the entry of a deleted key", &deleted_key(b"name")),
        ("key of a value entry", &value_key(&[0x6b; 32], 300)),
        ("value entry", &value),
        ("value entry of an absent key", &[0]),
        ("key of a digest entry", &digest_key(5, 200, 300)),
        ("digest entry", &encode_digest(&top)),
        ("key of a version entry", &version_key(300)),
        ("version entry", &version),
    ];
    let rows = examples.map(|(name, bytes)| format!("| {name} | `{}` |", hex::encode(bytes)));
    let missing = rows.iter().filter(|row| !SPECIFICATION.contains(*row));
    let missing: Vec<&String> = missing.collect();
    assert!(missing.is_empty(), "SPEC.md lacks these rows: {missing:#?}");
}

fn stores() -> Vec<(Arc<dyn PastStore>, Option<tempfile::TempDir>)> {
    let memory: Arc<dyn PastStore> = Arc::new(MemoryPast::default());
    #[allow(unused_mut)]
    let mut stores = vec![(memory, None)];
    #[cfg(feature = "fjall")]
    stores.push(fjall());
    stores
}

#[cfg(feature = "fjall")]
fn fjall() -> (Arc<dyn PastStore>, Option<tempfile::TempDir>) {
    use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leaves");
    let leaves = FjallLeafStore::open(&path, &FjallOptions::default()).unwrap();
    // It holds the database, too.
    (leaves.past(), Some(directory))
}

fn numbers(store: &dyn PastStore, segment: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    let all = vec![0]..=vec![0xff];
    let mut visit = |key: &[u8], _: &[u8]| {
        if let Some(PastKey::Version(number)) = PastKey::decode(key) {
            numbers.push(number);
        }
        ControlFlow::Continue(())
    };
    store.scan(segment, all, &mut visit).unwrap();
    numbers
}

#[test]
fn segments_are_filled_in_order_and_removed_as_a_whole() {
    for (store, _directory) in stores() {
        let ingest = |segment, versions: &[u64]| {
            let entries = versions.iter();
            let mut entries = entries.map(|version| Ok((version_key(*version).to_vec(), vec![1])));
            store.ingest(segment, &mut entries)
        };
        ingest(1, &[1, 2]).unwrap();
        ingest(1, &[2, 3]).unwrap();
        ingest(4, &[4]).unwrap();
        store.sync().unwrap();
        assert_eq!(numbers(&*store, 1), [1, 2, 3]);
        let last = store.last_key(1).unwrap();
        assert_eq!(last, Some(version_key(3).to_vec()));
        let unsorted = ingest(4, &[6, 5]);
        assert!(matches!(unsorted, Err(LeafStoreError::Order { index: 1 })));
        assert_eq!(numbers(&*store, 4), [4], "nothing of it is there");
        store.remove(1).unwrap();
        let segments: Vec<u64> = store
            .segments()
            .unwrap()
            .iter()
            .map(|segment| segment.number)
            .collect();
        assert_eq!(segments, [4]);
        assert!(numbers(&*store, 1).is_empty());
        assert_eq!(store.last_key(1).unwrap(), None);
    }
}

#[test]
fn a_segment_is_scanned_in_both_directions() {
    for (store, _directory) in stores() {
        let entries = [b"a", b"b", b"c", b"d"].map(|key| Ok((deleted_key(key), Vec::new())));
        store.ingest(1, &mut entries.into_iter()).unwrap();
        let some = |last: &[u8]| deleted_key(b"b")..=deleted_key(last);
        let mut found = String::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            found.push(char::from(key[1]));
            ControlFlow::Continue(())
        };
        store.scan(1, some(b"d"), &mut visit).unwrap();
        store.scan_back(1, some(b"d"), &mut visit).unwrap();
        store.scan_back(1, some(b"a"), &mut visit).unwrap();
        store.scan_back(2, some(b"d"), &mut visit).unwrap();
        let mut first = |key: &[u8], _: &[u8]| {
            assert_eq!(key, deleted_key(b"c"));
            ControlFlow::Break(())
        };
        store.scan_back(1, some(b"c"), &mut first).unwrap();
        assert_eq!(found, "bcddcb");
    }
}

#[test]
fn the_nodes_of_entries_are_tops_and_those_seven_levels_below() {
    assert!(PastKey::decode(&digest_key(0, TOP_NODE, 0)).is_some());
    let known = (0..=u8::MAX).filter(|node| PastKey::decode(&digest_key(0, *node, 0)).is_some());
    assert_eq!(known.count(), 129);
}
