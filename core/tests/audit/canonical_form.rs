use std::sync::LazyLock;

use trunkline_core::audit::{AuditProof, ENCODED_BYTES_MAX};
use trunkline_core::record::RecordError;
use trunkline_core::wire::DecodeError;
use trunkline_testkit::protobuf::{bytes, number};

use crate::fixture;

/// The fields of a valid audit proof, by number from 1.
static FIELDS: LazyLock<[Vec<u8>; 10]> = LazyLock::new(|| {
    let proof = fixture::audit();
    let bitmap: [u8; 16] = std::array::from_fn(|byte| {
        (0..8).fold(0, |bits, bit| {
            bits | u8::from((8 * byte + bit) % 5 == 0) << bit
        })
    });
    let listed = proof.slots.iter().filter(|slot| **slot != [0; 32]);
    [
        number(1, 2),
        bytes(2, &[6; 32]),
        number(3, 2),
        number(4, 5),
        bytes(5, &proof.record.as_ref().unwrap().encode()),
        bytes(6, &proof.kzg_root),
        bytes(7, &bitmap),
        bytes(8, &listed.flatten().copied().collect::<Vec<_>>()),
        bytes(9, &proof.opening),
        bytes(10, &[5; 16]),
    ]
});

/// Decodes the proof with one field replaced.
fn with(field: usize, content: Vec<u8>) -> Result<AuditProof, DecodeError> {
    let mut fields = FIELDS.clone();
    fields[field - 1] = content;
    AuditProof::decode(&fields.concat())
}

fn length(what: &'static str, expected: usize, found: usize) -> Result<AuditProof, DecodeError> {
    Err(DecodeError::Length {
        what,
        expected,
        found,
    })
}

#[test]
fn the_encoder_writes_the_canonical_form() {
    let proof = fixture::audit();
    assert_eq!(
        hex::encode(proof.encode().unwrap()),
        hex::encode(FIELDS.concat())
    );
    assert_eq!(AuditProof::decode(&FIELDS.concat()), Ok(proof));
}

#[test]
fn fields_have_one_order_and_no_extras() {
    let error = Err(DecodeError::NotCanonical);
    let mut swapped = FIELDS.clone();
    swapped.swap(3, 4);
    assert_eq!(AuditProof::decode(&swapped.concat()), error);
    let fields = FIELDS.concat();
    for extra in [
        number(11, 1),
        bytes(11, b""),
        number(4, 5),
        bytes(9, &[0; 48]),
    ] {
        assert_eq!(AuditProof::decode(&[fields.clone(), extra].concat()), error);
    }
    // Default values are not written, and varints are minimal.
    assert_eq!(with(4, number(4, 0)), error);
    assert_eq!(with(5, bytes(5, b"")), error);
    assert_eq!(with(1, vec![1 << 3, 0x82, 0]), error);
}

#[test]
fn another_format_is_refused() {
    assert_eq!(with(1, number(1, 1)), Err(DecodeError::Format(1)));
    assert_eq!(with(1, vec![]), Err(DecodeError::Format(0)));
}

#[test]
fn an_unknown_policy_is_refused() {
    assert_eq!(with(3, number(3, 3)), Err(DecodeError::Collision(3)));
}

#[test]
fn parts_of_another_length_are_refused() {
    assert_eq!(with(2, bytes(2, &[6; 31])), length("a salt", 32, 31));
    assert_eq!(with(10, bytes(10, &[5; 15])), length("a nonce", 16, 15));
    assert_eq!(with(10, vec![]), length("a nonce", 16, 0));
    assert_eq!(with(6, bytes(6, &[0; 47])), length("a KZG root", 48, 47));
    assert_eq!(with(6, vec![]), length("a KZG root", 48, 0));
    let bitmap = "a bitmap of empty slots";
    assert_eq!(with(7, bytes(7, &[0; 17])), length(bitmap, 16, 17));
    assert_eq!(with(7, vec![]), length(bitmap, 16, 0));
    assert_eq!(with(9, bytes(9, &[0; 49])), length("an opening", 48, 49));
    let record = Err(DecodeError::Record(RecordError::Length(9)));
    assert_eq!(with(5, bytes(5, &[0; 9])), record);
}

#[test]
fn each_slot_that_is_not_empty_needs_a_digest() {
    // Every fifth of the 128 slots is empty: 26 of them.
    for bytes_listed in [101 * 32, 102 * 32 - 1, 102 * 32 + 1, 103 * 32] {
        let error = DecodeError::SlotCount {
            used: 102,
            bytes: bytes_listed,
        };
        assert_eq!(with(8, bytes(8, &vec![1; bytes_listed])), Err(error));
    }
}

#[test]
fn an_empty_slot_among_the_digests_is_refused() {
    let mut listed = vec![1; 102 * 32];
    listed[7 * 32..8 * 32].fill(0);
    assert_eq!(with(8, bytes(8, &listed)), Err(DecodeError::SlotZero(7)));
}

#[test]
fn nothing_longer_than_the_longest_proof_is_read() {
    let long = vec![0; ENCODED_BYTES_MAX + 1];
    let error = DecodeError::TooLong {
        found: ENCODED_BYTES_MAX + 1,
        max: ENCODED_BYTES_MAX,
    };
    assert_eq!(AuditProof::decode(&long), Err(error));
    let mut longest = fixture::audit_of(fixture::salted(), [[1; 32]; 128]);
    longest.version = u64::MAX;
    let mut record = fixture::record(&longest);
    record.metadata = vec![7; 256];
    longest.record = Some(record);
    let bytes = longest.encode().unwrap();
    assert!(bytes.len() < ENCODED_BYTES_MAX);
    assert_eq!(AuditProof::decode(&bytes), Ok(longest));
}
