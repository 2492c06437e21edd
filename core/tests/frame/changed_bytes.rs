use bytes::Bytes;
use trunkline_core::frame::{Beginning, Frame, PublicKey};

use crate::model::{NaiveBeginning, NaiveEntry, SEEDS, public_key};

fn pinned() -> [PublicKey; 1] {
    [PublicKey::from_bytes(&public_key(&SEEDS[0])).unwrap()]
}

/// Returns the bytes with each bit of each byte changed.
fn changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |index| {
        (0..8).map(move |bit| {
            let mut changed = bytes.to_vec();
            changed[index] ^= 1 << bit;
            changed
        })
    })
}

/// Returns every shorter prefix.
fn cut(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..bytes.len()).map(|length| &bytes[..length])
}

fn is_accepted(bytes: &[u8]) -> bool {
    let frame = Frame::decode(&Bytes::copy_from_slice(bytes));
    frame.is_ok_and(|frame| frame.verify(&pinned()).is_ok())
}

#[test]
fn a_frame_with_a_changed_byte_is_refused() {
    let entry = NaiveEntry::with_root();
    let bytes = entry.plain(&entry.sign(&SEEDS[0])).encode();
    assert!(is_accepted(&bytes));
    assert!(!changed(&bytes).any(|bytes| is_accepted(&bytes)));
}

#[test]
fn a_compressed_frame_with_a_changed_byte_is_refused_or_has_the_same_content() {
    let entry = NaiveEntry::example();
    let message = entry.compressed(&entry.sign(&SEEDS[0]));
    let bytes = message.encode();
    let original = Frame::decode(&bytes.clone().into()).unwrap();
    assert!(is_accepted(&bytes));
    let accepted: Vec<Vec<u8>> = changed(&bytes).filter(|bytes| is_accepted(bytes)).collect();
    for bytes in &accepted {
        assert_eq!(Frame::decode(&bytes.clone().into()), Ok(original.clone()));
    }
    // LZ4 has several blocks for the same content; nothing before the blocks has another form.
    let fields_of_blocks = 4 + message.bytes_of(8).len() + message.bytes_of(9).len();
    let head = &bytes[..bytes.len() - fields_of_blocks];
    assert!(accepted.iter().all(|bytes| bytes.starts_with(head)));
}

#[test]
fn a_frame_that_is_cut_is_refused() {
    let entry = NaiveEntry::with_root();
    let signature = entry.sign(&SEEDS[0]);
    for message in [entry.plain(&signature), entry.compressed(&signature)] {
        assert!(!cut(&message.encode()).any(is_accepted));
    }
}

#[test]
fn a_beginning_with_a_changed_byte_or_cut_is_refused() {
    let beginning = NaiveBeginning::example();
    let bytes = beginning.message(&beginning.sign(&SEEDS[0])).encode();
    let is_accepted = |bytes: &[u8]| {
        let read = Beginning::decode(bytes);
        read.is_ok_and(|read| read.verify(&pinned()).is_ok())
    };
    assert!(is_accepted(&bytes));
    assert!(!changed(&bytes).any(|bytes| is_accepted(&bytes)));
    assert!(!cut(&bytes).any(is_accepted));
}

#[test]
fn a_frame_is_no_beginning_and_a_beginning_no_frame() {
    let (entry, beginning) = (NaiveEntry::example(), NaiveBeginning::example());
    let frame = entry.plain(&entry.sign(&SEEDS[0])).encode();
    assert!(Beginning::decode(&frame).is_err());
    let beginning = beginning.message(&beginning.sign(&SEEDS[0])).encode();
    assert!(Frame::decode(&beginning.into()).is_err());
}
