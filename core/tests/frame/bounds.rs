use trunkline_core::frame::{Compression, DecodeFrameError, EncodeFrameError, Frame};
use trunkline_core::store::log::{EFFECTS_BYTES_MAX, OUTCOMES_BYTES_MAX};
use trunkline_core::wire::FormError;
use trunkline_testkit::wire_mutations::Message;

use crate::model::{NaiveEntry, SEEDS};

fn message() -> Message {
    let entry = NaiveEntry::example();
    entry.plain(&entry.sign(&SEEDS[0]))
}

fn frame() -> Frame {
    Frame::decode(&message().encode().into()).unwrap()
}

#[test]
fn outcomes_that_are_too_long_are_neither_written_nor_read() {
    let too_long = vec![0; OUTCOMES_BYTES_MAX + 1];
    let error = Frame::decode(&message().with_bytes(8, &too_long).into()).unwrap_err();
    let (part, found, max) = ("outcomes", OUTCOMES_BYTES_MAX + 1, OUTCOMES_BYTES_MAX);
    assert_eq!(error, DecodeFrameError::TooLong { part, found, max });
    let mut frame = frame();
    frame.entry.outcomes = too_long.into();
    for compression in [Compression::None, Compression::Lz4] {
        let error = frame.encode(compression).unwrap_err();
        assert_eq!(error, EncodeFrameError::TooLong { part, found, max });
    }
}

#[test]
fn effects_that_are_too_long_are_not_written() {
    let mut frame = frame();
    frame.entry.effects = vec![0; EFFECTS_BYTES_MAX + 1].into();
    let (part, found, max) = ("effects", EFFECTS_BYTES_MAX + 1, EFFECTS_BYTES_MAX);
    let error = frame.encode(Compression::None).unwrap_err();
    assert_eq!(error, EncodeFrameError::TooLong { part, found, max });
}

#[test]
fn metadata_that_is_too_long_is_not_written() {
    let mut frame = frame();
    frame.entry.record.metadata = vec![0; 257];
    let error = frame.encode(Compression::None).unwrap_err();
    assert_eq!(
        error,
        EncodeFrameError::Record(FormError::MetadataBytes(257))
    );
}
