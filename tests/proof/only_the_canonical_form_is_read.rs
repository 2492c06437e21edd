use trunkline_core::proof::{DecodeProofError, Proof, ProofFormError, SiblingsError};

use crate::fixture::{self, number_key};
use crate::protobuf::{bytes, number, varint};

/// The fields of a proof that key 0 is absent from the empty tree, ready to be spoilt.
struct Fields(Vec<Vec<u8>>);

const FORMAT: usize = 0;
const VERSION: usize = 1;
const ENTRY: usize = 2;
const TERMINAL: usize = 3;
const TOP: usize = 4;

fn entry() -> Vec<u8> {
    [bytes(1, &number_key(0)), bytes(4, &[])].concat()
}

fn terminal() -> Vec<u8> {
    [number(1, 7), bytes(2, &[])].concat()
}

impl Fields {
    fn new() -> Self {
        Self(vec![
            number(1, 1),
            number(4, 5),
            bytes(6, &entry()),
            bytes(7, &terminal()),
            bytes(11, &bytes(1, &[0x7f])),
        ])
    }

    fn with(mut self, field: usize, content: Vec<u8>) -> Self {
        self.0[field] = content;
        self
    }

    fn before(mut self, field: usize, content: Vec<u8>) -> Self {
        self.0.insert(field, content);
        self
    }

    fn decode(&self) -> Result<Proof, DecodeProofError> {
        Proof::decode(&self.0.concat())
    }

    fn assert_not_canonical(&self) {
        assert_eq!(self.decode(), Err(DecodeProofError::NotCanonical));
    }

    fn assert_refused(&self, error: DecodeProofError) {
        assert_eq!(self.decode(), Err(error));
    }
}

#[test]
fn and_it_is_what_the_encoder_writes() {
    let state = fixture::numbered(fixture::plain(), 0);
    let proof = state.prove(5, &fixture::set([number_key(0)]));
    assert_eq!(Fields::new().decode(), Ok(proof.clone()));
    assert_eq!(Fields::new().0.concat(), proof.encode().unwrap());
}

#[test]
fn not_one_with_an_unknown_field() {
    Fields::new()
        .before(TOP + 1, number(12, 1))
        .assert_not_canonical();
    Fields::new()
        .before(TOP + 1, bytes(5000, &[]))
        .assert_not_canonical();
}

#[test]
fn not_one_with_an_unknown_field_inside() {
    let entry = [entry(), number(9, 1)].concat();
    Fields::new()
        .with(ENTRY, bytes(6, &entry))
        .assert_not_canonical();
    let absent = [bytes(1, &number_key(0)), bytes(4, &number(1, 1))].concat();
    Fields::new()
        .with(ENTRY, bytes(6, &absent))
        .assert_not_canonical();
}

#[test]
fn not_one_with_a_default_spelled_out() {
    Fields::new()
        .before(VERSION, number(3, 0))
        .assert_not_canonical();
    Fields::new()
        .before(VERSION, bytes(2, &[]))
        .assert_not_canonical();
    Fields::new()
        .before(TOP, bytes(8, &[]))
        .assert_not_canonical();
}

#[test]
fn not_one_with_fields_out_of_order() {
    let mut fields = Fields::new();
    fields.0.swap(FORMAT, VERSION);
    fields.assert_not_canonical();
    let mut fields = Fields::new();
    fields.0.swap(ENTRY, TERMINAL);
    fields.assert_not_canonical();
}

#[test]
fn not_one_with_a_field_twice() {
    Fields::new()
        .before(VERSION, number(1, 1))
        .assert_not_canonical();
    Fields::new()
        .before(TOP, bytes(10, &[]))
        .assert_not_canonical();
}

#[test]
fn not_one_with_a_long_varint() {
    Fields::new()
        .with(FORMAT, vec![0x08, 0x81, 0x00])
        .assert_not_canonical();
    let long_length = [varint(7 << 3 | 2), vec![0x84, 0x00], terminal()].concat();
    Fields::new()
        .with(TERMINAL, long_length)
        .assert_not_canonical();
}

#[test]
fn not_one_with_numbers_beyond_32_bits() {
    Fields::new()
        .with(FORMAT, number(1, 1 << 32 | 1))
        .assert_not_canonical();
}

#[test]
fn not_one_with_groups_or_fixed_width_fields() {
    for wire_type in [1, 3, 4, 5, 6, 7] {
        let field = [varint(12 << 3 | wire_type), vec![0; 8]].concat();
        Fields::new()
            .before(TOP + 1, field)
            .assert_refused(DecodeProofError::Field);
    }
}

#[test]
fn not_one_of_another_format() {
    Fields::new()
        .with(FORMAT, number(1, 2))
        .assert_refused(DecodeProofError::Format(2));
    Fields::new()
        .with(FORMAT, vec![])
        .assert_refused(DecodeProofError::Format(0));
}

#[test]
fn not_one_with_an_unknown_collision_policy() {
    Fields::new()
        .before(VERSION, number(3, 3))
        .assert_refused(DecodeProofError::Collision(3));
    let negative = number(3, u64::MAX);
    Fields::new()
        .before(VERSION, negative)
        .assert_refused(DecodeProofError::Collision(-1));
}

#[test]
fn not_one_with_a_part_missing() {
    let entry = bytes(1, &number_key(0));
    Fields::new()
        .with(ENTRY, bytes(6, &entry))
        .assert_refused(DecodeProofError::Missing("claim"));
    let terminal = number(1, 7);
    let missing = DecodeProofError::Missing("place");
    Fields::new()
        .with(TERMINAL, bytes(7, &terminal))
        .assert_refused(missing);
    Fields::new()
        .with(TOP, vec![])
        .assert_refused(DecodeProofError::Missing("top"));
}

#[test]
fn not_one_with_a_digest_or_point_of_another_length() {
    let length = |what, expected, found| DecodeProofError::Length {
        what,
        expected,
        found,
    };
    Fields::new()
        .before(VERSION, bytes(2, &[1; 31]))
        .assert_refused(length("a salt", 32, 31));
    let hash = [bytes(1, b"k"), bytes(3, &[1; 33])].concat();
    Fields::new()
        .with(ENTRY, bytes(6, &hash))
        .assert_refused(length("a value hash", 32, 33));
    let leaf = [number(1, 7), bytes(4, &[1; 63])].concat();
    Fields::new()
        .with(TERMINAL, bytes(7, &leaf))
        .assert_refused(length("another leaf", 64, 63));
    let bucket = [number(1, 56), bytes(5, &[1; 129])].concat();
    Fields::new()
        .with(TERMINAL, bytes(7, &bucket))
        .assert_refused(length("a bucket", 128, 129));
    let kzg = bytes(1, &[1; 47]);
    Fields::new()
        .with(TOP, bytes(10, &kzg))
        .assert_refused(length("a KZG root", 48, 47));
    let kzg = [bytes(1, &[1; 48]), bytes(2, &[1; 49])].concat();
    let error = length("a list of openings", 48, 49);
    Fields::new()
        .with(TOP, bytes(10, &kzg))
        .assert_refused(error);
}

#[test]
fn not_one_with_a_depth_beyond_a_byte() {
    let terminal = [number(1, 263), bytes(2, &[])].concat();
    let error = DecodeProofError::Form(ProofFormError::Depth(263));
    Fields::new()
        .with(TERMINAL, bytes(7, &terminal))
        .assert_refused(error);
}

#[test]
fn not_one_with_a_record_that_is_none() {
    let fields = Fields::new().before(ENTRY, bytes(5, &[1; 9]));
    assert!(matches!(fields.decode(), Err(DecodeProofError::Record(_))));
}

#[test]
fn not_one_with_a_second_form_of_siblings() {
    let zero = DecodeProofError::Siblings(SiblingsError::Zero(0));
    let top = [bytes(1, &[0x3f]), bytes(2, &[0; 32])].concat();
    Fields::new()
        .with(TOP, bytes(11, &top))
        .assert_refused(zero);
    let unused = SiblingsError::Bitmap {
        bitmap_bytes: 2,
        count: 7,
    };
    let top = bytes(1, &[0x7f, 0]);
    Fields::new()
        .with(TOP, bytes(11, &top))
        .assert_refused(DecodeProofError::Siblings(unused));
}
