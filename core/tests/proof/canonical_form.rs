use trunkline_core::proof::{DecodeProofError, Proof, ProofFormError, SiblingsError};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::protobuf::{bytes, number, varint};
use trunkline_testkit::states;

/// The fields of a proof that key 0 is absent from the empty tree, to be changed: those of the proof, and those of its
/// only version.
struct Fields {
    of_proof: Vec<Vec<u8>>,
    of_version: Vec<Vec<u8>>,
}

// Fields of the proof.
const FORMAT: Place = Place::OfProof(0);
const VERSION_PROOF: Place = Place::OfProof(1);
const NONCE: Place = Place::OfProof(2);
const END: Place = Place::OfProof(3);
// Fields of the version.
const VERSION: Place = Place::OfVersion(0);
const ENTRY: Place = Place::OfVersion(1);
const TERMINAL: Place = Place::OfVersion(2);
const TOP: Place = Place::OfVersion(3);
const END_OF_VERSION: Place = Place::OfVersion(4);

#[derive(Clone, Copy)]
enum Place {
    OfProof(usize),
    OfVersion(usize),
}

fn entry() -> Vec<u8> {
    [bytes(1, &number_key(0)), bytes(4, &[])].concat()
}

fn terminal() -> Vec<u8> {
    [number(1, 7), bytes(2, &[])].concat()
}

impl Fields {
    fn new() -> Self {
        Self {
            // The field of the version is inserted once all its fields are known.
            of_proof: vec![number(1, 2), vec![], bytes(6, &states::NONCE)],
            of_version: vec![
                number(1, 5),
                bytes(3, &entry()),
                bytes(4, &terminal()),
                bytes(8, &bytes(1, &[0x7f])),
            ],
        }
    }

    fn list(&mut self, place: Place) -> (&mut Vec<Vec<u8>>, usize) {
        match place {
            Place::OfProof(index) => (&mut self.of_proof, index),
            Place::OfVersion(index) => (&mut self.of_version, index),
        }
    }

    fn with(mut self, field: Place, content: Vec<u8>) -> Self {
        let (fields, index) = self.list(field);
        fields[index] = content;
        self
    }

    fn before(mut self, field: Place, content: Vec<u8>) -> Self {
        self.of_proof[1] = bytes(4, &self.of_version.concat());
        let (fields, index) = self.list(field);
        fields.insert(index, content);
        if let Place::OfVersion(_) = field {
            self.of_proof[1].clear();
        }
        self
    }

    fn swapped(mut self, one: Place, other: Place) -> Self {
        let (_, other) = self.list(other);
        let (fields, one) = self.list(one);
        fields.swap(one, other);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut of_proof = self.of_proof.clone();
        if let [_, version, _] = &mut of_proof[..]
            && version.is_empty()
        {
            *version = bytes(4, &self.of_version.concat());
        }
        of_proof.concat()
    }

    fn decode(&self) -> Result<Proof, DecodeProofError> {
        Proof::decode(&self.bytes())
    }

    fn assert_not_canonical(&self) {
        assert_eq!(self.decode(), Err(DecodeProofError::NotCanonical));
    }

    fn assert_refused(&self, error: DecodeProofError) {
        assert_eq!(self.decode(), Err(error));
    }
}

#[test]
fn the_encoder_writes_the_canonical_form() {
    let state = states::numbered(states::plain(), 0);
    let proof = state.prove(5, &states::set([number_key(0)]));
    assert_eq!(Fields::new().decode(), Ok(proof.clone()));
    assert_eq!(Fields::new().bytes(), proof.encode().unwrap());
}

#[test]
fn an_unknown_field_is_refused() {
    for end in [END, END_OF_VERSION] {
        Fields::new()
            .before(end, number(12, 1))
            .assert_not_canonical();
        Fields::new()
            .before(end, bytes(5000, &[]))
            .assert_not_canonical();
    }
}

#[test]
fn an_unknown_field_inside_is_refused() {
    let entry = [entry(), number(9, 1)].concat();
    Fields::new()
        .with(ENTRY, bytes(3, &entry))
        .assert_not_canonical();
    let absent = [bytes(1, &number_key(0)), bytes(4, &number(1, 1))].concat();
    Fields::new()
        .with(ENTRY, bytes(3, &absent))
        .assert_not_canonical();
}

#[test]
fn a_default_spelled_out_is_refused() {
    Fields::new()
        .before(VERSION_PROOF, number(3, 0))
        .assert_not_canonical();
    Fields::new()
        .before(VERSION_PROOF, bytes(2, &[]))
        .assert_not_canonical();
    Fields::new()
        .before(TOP, bytes(5, &[]))
        .assert_not_canonical();
    Fields::new()
        .before(NONCE, bytes(5, &[]))
        .assert_not_canonical();
    Fields::new()
        .with(VERSION, number(1, 0))
        .assert_not_canonical();
}

#[test]
fn fields_out_of_order_are_refused() {
    Fields::new()
        .before(END, number(1, 2))
        .with(FORMAT, vec![])
        .assert_not_canonical();
    Fields::new()
        .swapped(ENTRY, TERMINAL)
        .assert_not_canonical();
}

#[test]
fn a_field_twice_is_refused() {
    Fields::new()
        .before(VERSION_PROOF, number(1, 2))
        .assert_not_canonical();
    Fields::new()
        .before(VERSION, number(1, 5))
        .assert_not_canonical();
    Fields::new()
        .before(TOP, bytes(7, &[]))
        .assert_not_canonical();
}

#[test]
fn a_long_varint_is_refused() {
    Fields::new()
        .with(FORMAT, vec![0x08, 0x82, 0x00])
        .assert_not_canonical();
    let long_length = [varint(4 << 3 | 2), vec![0x84, 0x00], terminal()].concat();
    Fields::new()
        .with(TERMINAL, long_length)
        .assert_not_canonical();
}

#[test]
fn numbers_beyond_32_bits_are_refused() {
    Fields::new()
        .with(FORMAT, number(1, 1 << 32 | 2))
        .assert_not_canonical();
}

#[test]
fn groups_and_fixed_width_fields_are_refused() {
    for wire_type in [1, 3, 4, 5, 6, 7] {
        let field = [varint(12 << 3 | wire_type), vec![0; 8]].concat();
        for end in [END, END_OF_VERSION] {
            Fields::new()
                .before(end, field.clone())
                .assert_refused(DecodeProofError::Field);
        }
    }
}

#[test]
fn another_format_is_refused() {
    Fields::new()
        .with(FORMAT, number(1, 1))
        .assert_refused(DecodeProofError::Format(1));
    // Whatever other fields another format may have.
    Fields::new()
        .with(FORMAT, number(1, 3))
        .before(END, number(12, 1))
        .assert_refused(DecodeProofError::Format(3));
    Fields::new()
        .with(FORMAT, vec![])
        .assert_refused(DecodeProofError::Format(0));
}

#[test]
fn an_unknown_collision_policy_is_refused() {
    Fields::new()
        .before(VERSION_PROOF, number(3, 3))
        .assert_refused(DecodeProofError::Collision(3));
    let negative = number(3, u64::MAX);
    Fields::new()
        .before(VERSION_PROOF, negative)
        .assert_refused(DecodeProofError::Collision(-1));
}

#[test]
fn a_missing_part_is_refused() {
    let entry = bytes(1, &number_key(0));
    Fields::new()
        .with(ENTRY, bytes(3, &entry))
        .assert_refused(DecodeProofError::Missing("claim"));
    let terminal = number(1, 7);
    let missing = DecodeProofError::Missing("place");
    Fields::new()
        .with(TERMINAL, bytes(4, &terminal))
        .assert_refused(missing);
    Fields::new()
        .with(TOP, vec![])
        .assert_refused(DecodeProofError::Missing("top"));
}

#[test]
fn a_digest_or_point_of_another_length_is_refused() {
    let length = |what, expected, found| DecodeProofError::Length {
        what,
        expected,
        found,
    };
    Fields::new()
        .before(VERSION_PROOF, bytes(2, &[1; 31]))
        .assert_refused(length("a salt", 32, 31));
    let hash = [bytes(1, b"k"), bytes(3, &[1; 33])].concat();
    Fields::new()
        .with(ENTRY, bytes(3, &hash))
        .assert_refused(length("a value hash", 32, 33));
    let leaf = [number(1, 7), bytes(4, &[1; 63])].concat();
    Fields::new()
        .with(TERMINAL, bytes(4, &leaf))
        .assert_refused(length("another leaf", 64, 63));
    let bucket = [number(1, 56), bytes(5, &[1; 129])].concat();
    Fields::new()
        .with(TERMINAL, bytes(4, &bucket))
        .assert_refused(length("a bucket", 128, 129));
    Fields::new()
        .with(TOP, bytes(7, &[1; 47]))
        .assert_refused(length("a KZG root", 48, 47));
    for found in [47, 49, 95, 97, 144] {
        Fields::new()
            .before(NONCE, bytes(5, &vec![1; found]))
            .assert_refused(DecodeProofError::OpeningLength(found));
    }
}

#[test]
fn a_depth_beyond_a_byte_is_refused() {
    let terminal = [number(1, 263), bytes(2, &[])].concat();
    let error = DecodeProofError::Form(ProofFormError::Depth(263));
    Fields::new()
        .with(TERMINAL, bytes(4, &terminal))
        .assert_refused(error);
}

#[test]
fn a_record_that_is_none_is_refused() {
    let fields = Fields::new().before(ENTRY, bytes(2, &[1; 9]));
    assert!(matches!(fields.decode(), Err(DecodeProofError::Record(_))));
}

#[test]
fn a_second_form_of_siblings_is_refused() {
    let zero = DecodeProofError::Siblings(SiblingsError::Zero(0));
    let top = [bytes(1, &[0x3f]), bytes(2, &[0; 32])].concat();
    Fields::new().with(TOP, bytes(8, &top)).assert_refused(zero);
    let unused = SiblingsError::Bitmap {
        bitmap_bytes: 2,
        count: 7,
    };
    let top = bytes(1, &[0x7f, 0]);
    Fields::new()
        .with(TOP, bytes(8, &top))
        .assert_refused(DecodeProofError::Siblings(unused));
}
