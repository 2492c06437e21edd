use bytes::Bytes;
use trunkline_core::frame::{DecodeFrameError, Frame};
use trunkline_core::store::log::EFFECTS_BYTES_MAX;
use trunkline_testkit::counting::peak_of;

use crate::model::{NaiveEntry, SEEDS};

#[test]
fn reading_a_frame_that_is_not_compressed_copies_nothing_long() {
    let mut entry = NaiveEntry::example();
    entry.effects = vec![7; 1 << 20];
    let bytes = Bytes::from(entry.plain(&entry.sign(&SEEDS[0])).encode());
    let (frame, peak) = peak_of(|| Frame::decode(&bytes));
    assert!(frame.is_ok());
    assert!(peak < 4096, "{peak} bytes of memory");
}

#[test]
fn a_length_that_the_block_cannot_have_is_refused_before_memory_is_allocated() {
    let entry = NaiveEntry::example();
    let message = entry.compressed(&entry.sign(&SEEDS[0]));
    let reachable = 255 * message.bytes_of(9).len() as u64;
    for declared in [reachable + 1, EFFECTS_BYTES_MAX as u64] {
        let bytes = Bytes::from(message.with_number(7, declared));
        let (frame, peak) = peak_of(|| Frame::decode(&bytes));
        assert!(matches!(frame, Err(DecodeFrameError::Declared { .. })));
        assert!(peak < 4096, "{peak} bytes of memory");
    }
    let bytes = Bytes::from(message.with_number(7, reachable));
    let error = Frame::decode(&bytes).unwrap_err();
    assert!(matches!(error, DecodeFrameError::Compressed { .. }));
}
