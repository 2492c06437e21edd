//! Messages, reports and memories as bytes: fixed ones, and invalid ones.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_core::store::log::LogPosition;
use trunkline_replication::protocol::Resume;
use trunkline_replication::wire::{
    Begin, Body, Chunk, DecodeMessageError, Message, Refusal, Report,
};
use trunkline_replication::{Memory, MemoryError};

const TREE: [u8; 32] = [0x71; 32];

fn position() -> LogPosition {
    LogPosition {
        version: 9,
        commit_id: [0x63; 32],
    }
}

fn begin() -> Message {
    Message {
        writer: [0x77; 16],
        epoch: 4,
        behind: 300,
        body: Body::Begin(Begin {
            beginning: Bytes::from_static(b"signed"),
            tip: position(),
            unix_ms: 1_700_000_000_000,
        }),
    }
}

fn frames() -> Message {
    let chunk = |version, index, count, content: &'static [u8]| Chunk {
        version,
        index,
        count,
        content: Bytes::from_static(content),
    };
    Message {
        body: Body::Frames(vec![
            chunk(10, 1, 2, b"the rest"),
            chunk(11, 0, 1, b"all of it"),
        ]),
        ..begin()
    }
}

fn report() -> Report {
    Report {
        synced: position(),
        written_in: 3,
        refuses_below: 5,
        epoch: 4,
        sequence: 301,
        unix_ms: 1_700_000_000_001,
    }
}

fn memory() -> Memory {
    Memory {
        refuses_below: 5,
        resume: Some(Resume {
            sequence: 301,
            hash: [0x68; 32],
        }),
    }
}

/// Returns the examples of SPEC.md.
fn examples() -> [(&'static str, Vec<u8>); 5] {
    let refusal = Refusal {
        beginning: Bytes::from_static(b"signed"),
    };
    [
        ("beginning of an epoch", begin().encode().into()),
        ("frames", frames().encode().into()),
        ("report", report().encode().into()),
        ("refusal", refusal.encode().into()),
        ("memory", memory().encode(&TREE)),
    ]
}

#[test]
fn the_examples_of_the_specification_are_what_is_encoded() {
    let specification = concat!(env!("CARGO_MANIFEST_DIR"), "/../SPEC.md");
    let specification = std::fs::read_to_string(specification).unwrap();
    for (name, bytes) in examples() {
        let row = format!("| {name} | `{}` |", hex::encode(bytes));
        assert!(specification.contains(&row), "SPEC.md has not:\n{row}");
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    for message in [begin(), frames()] {
        assert_eq!(Message::decode(message.encode()), Ok(message));
    }
    assert_eq!(Report::decode(&report().encode()), Ok(report()));
    assert_eq!(Memory::decode(&memory().encode(&TREE), &TREE), Ok(memory()));
    let nothing = Memory::default();
    assert_eq!(Memory::decode(&nothing.encode(&TREE), &TREE), Ok(nothing));
}

#[test]
fn every_other_form_is_refused() {
    let bytes = begin().encode();
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        Message::decode(bytes).unwrap_err()
    };
    assert_eq!(with(|bytes| bytes[1] = 3), DecodeMessageError::Format(3));
    assert_eq!(
        with(|bytes| bytes.extend([0x20, 0x01])),
        DecodeMessageError::NotCanonical
    );
    assert_eq!(with(|bytes| bytes.truncate(22)), DecodeMessageError::Empty);
    let chunk = |index, count, content: &'static [u8]| {
        let content = Bytes::from_static(content);
        let chunk = Chunk {
            version: 1,
            index,
            count,
            content,
        };
        let body = Body::Frames(vec![chunk]);
        let message = Message { body, ..begin() };
        Message::decode(message.encode())
    };
    assert!(chunk(0, 1, b"content").is_ok());
    for (index, count, content) in [
        (1, 1, &b"content"[..]),
        (0, 0, b"content"),
        (0, u32::MAX, b"content"),
        (0, 1, b""),
    ] {
        assert!(matches!(
            chunk(index, count, content),
            Err(DecodeMessageError::Chunk { .. })
        ));
    }
    let none = Message {
        body: Body::Frames(Vec::new()),
        ..begin()
    };
    assert_eq!(
        Message::decode(none.encode()),
        Err(DecodeMessageError::Chunks(0))
    );
}

#[test]
fn a_damaged_memory_is_refused() {
    let bytes = memory().encode(&TREE);
    assert_eq!(Memory::decode(&bytes, &[0; 32]), Err(MemoryError::Tree));
    for length in 0..bytes.len() {
        assert!(Memory::decode(&bytes[..length], &TREE).is_err());
    }
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1;
        assert!(Memory::decode(&damaged, &TREE).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = Message::decode(bytes.clone()) {
            prop_assert_eq!(message.encode(), bytes.clone());
        }
        if let Ok(report) = Report::decode(&bytes) {
            prop_assert_eq!(report.encode(), bytes.clone());
        }
        prop_assert!(Memory::decode(&bytes, &TREE).is_err());
    }

    #[test]
    fn a_changed_message_is_another_one_or_refused(at in 0..400_usize, bit in 0..8_u32) {
        for message in [begin(), frames()] {
            let mut bytes = message.encode().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1_u8 << bit;
            if let Ok(changed) = Message::decode(bytes.clone()) {
                prop_assert_ne!(&changed, &message);
                prop_assert_eq!(changed.encode(), bytes);
            }
        }
    }
}
