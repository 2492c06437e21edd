use bytes::Bytes;
use trunkline_core::frame::{Compression, Frame, SecretKey};

use crate::model::{NaiveEntry, SEEDS};

fn decoded(bytes: &Bytes) -> Frame {
    Frame::decode(bytes).unwrap()
}

#[test]
fn signing_and_encoding_give_what_the_model_does() {
    for entry in [
        NaiveEntry::example(),
        NaiveEntry::with_root(),
        NaiveEntry::least(),
    ] {
        let expected = entry.plain(&entry.sign(&SEEDS[0])).encode();
        let entry = decoded(&expected.clone().into()).entry;
        let signed = Frame::sign(entry, &SecretKey::generate(SEEDS[0]));
        assert_eq!(signed.encode(Compression::None).unwrap(), expected);
    }
}

#[test]
fn outcomes_and_effects_share_the_allocation_of_the_bytes() {
    let entry = NaiveEntry::example();
    let bytes = Bytes::from(entry.plain(&entry.sign(&SEEDS[0])).encode());
    let entry = decoded(&bytes).entry;
    let range = bytes.as_ptr_range();
    for part in [entry.outcomes, entry.effects] {
        assert!(range.contains(&part.as_ptr()));
    }
}

#[test]
fn compression_that_makes_nothing_shorter_is_left_out() {
    let mut entry = NaiveEntry::least();
    entry.effects = blake3::hash(b"noise").as_bytes().to_vec();
    let bytes = entry.plain(&entry.sign(&SEEDS[0])).encode();
    let frame = decoded(&bytes.clone().into());
    assert_eq!(frame.encode(Compression::Lz4).unwrap(), bytes);
}

#[test]
fn a_compressed_frame_has_the_content_and_the_signature_of_the_plain_one() {
    let entry = NaiveEntry::with_root();
    let bytes = entry.plain(&entry.sign(&SEEDS[0])).encode();
    let frame = decoded(&bytes.clone().into());
    let compressed = frame.encode(Compression::Lz4).unwrap();
    assert!(compressed.len() < bytes.len());
    assert_eq!(decoded(&compressed.into()), frame);
}
