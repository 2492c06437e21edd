//! Bytes that are not an audit proof.

use trunkline_core::audit::{AuditProof, ENCODED_BYTES_MAX};
use trunkline_core::params::FORMAT;
use trunkline_core::record::{CommitRecord, RECORD_BYTES_MAX, RECORD_BYTES_MIN};
use trunkline_testkit::vectors::{MALFORMED_RULE, Trusted};
use trunkline_testkit::wire_mutations::{Content, Message, Mutation};

use super::{AuditVector, salted};

const SALT: u64 = 2;
const POLICY: u64 = 3;
const RECORD: u64 = 5;
const KZG_ROOT: u64 = 6;
const EMPTY_SLOTS: u64 = 7;
const SLOTS: u64 = 8;
const OPENING: u64 = 9;
const NONCE: u64 = 10;

fn message(proof: &AuditProof) -> Message {
    let bitmap: [u8; 16] = std::array::from_fn(|byte| {
        let slots = &proof.slots[8 * byte..8 * byte + 8];
        let bits = slots.iter().enumerate();
        bits.fold(0, |bits, (bit, slot)| {
            bits | u8::from(*slot == [0; 32]) << bit
        })
    });
    let listed = proof.slots.iter().filter(|slot| **slot != [0; 32]);
    let bytes = |content: &[u8]| Content::Bytes(content.to_vec());
    let message = Message::new([
        Content::Number(FORMAT.into()),
        bytes(&proof.params.salt_bytes().unwrap()),
        Content::Number(proof.params.collision as u64),
        Content::Number(proof.version),
        bytes(&proof.record.as_ref().map(CommitRecord::encode).unwrap()),
        bytes(&proof.kzg_root),
        bytes(&bitmap),
        Content::Bytes(listed.flatten().copied().collect()),
        bytes(&proof.opening),
        bytes(&proof.params.nonce),
    ]);
    assert_eq!(message.encode(), proof.encode().unwrap());
    message
}

pub(super) fn vectors() -> Vec<AuditVector> {
    let case = salted().by_nothing(true);
    let message = message(&case.proof);
    let mut mutations = message.spoilt();
    mutations.extend(of_policies(&message));
    mutations.extend(of_lengths(&message));
    mutations.extend(of_records(&message));
    mutations.extend(of_slots(&message));
    mutations.push(Mutation {
        name: "longer than any audit proof".into(),
        malformed: "TooLong",
        bytes: vec![0; ENCODED_BYTES_MAX + 1],
    });
    let vectors = mutations.into_iter().map(|mutation| AuditVector {
        of: case.of.clone(),
        mutation: mutation.name,
        rule: MALFORMED_RULE.into(),
        malformed: Some(mutation.malformed.into()),
        proof: mutation.bytes.into(),
        trusted: Trusted::from(&case.trusted),
        shown: None,
    });
    vectors.collect()
}

fn of_policies(message: &Message) -> Vec<Mutation> {
    let of = |name: &str, malformed, policy| Mutation {
        name: name.into(),
        malformed,
        bytes: message.with_number(POLICY, policy),
    };
    vec![
        of("policy 3", "Collision", 3),
        of("policy 256", "Collision", 256),
        of("policy -1", "Collision", u64::MAX),
        of("policy 2^32", "NotCanonical", 1 << 32),
    ]
}

fn of_lengths(message: &Message) -> Vec<Mutation> {
    let fields = [
        (SALT, "a salt", vec![31, 33, 64]),
        (KZG_ROOT, "a KZG root", vec![0, 47, 49, 96]),
        (EMPTY_SLOTS, "a bitmap", vec![0, 15, 17]),
        (OPENING, "an opening", vec![0, 47, 49, 96]),
        (NONCE, "a nonce", vec![0, 15, 17, 32]),
    ];
    let of = |(field, what, lengths): (u64, &'static str, Vec<usize>)| {
        let content = message.bytes_of(field).repeat(2);
        lengths.into_iter().map(move |length| Mutation {
            name: format!("{what} of {length} bytes"),
            malformed: "Length",
            bytes: message.with_bytes(field, &content[..length]),
        })
    };
    fields.into_iter().flat_map(of).collect()
}

fn of_records(message: &Message) -> Vec<Mutation> {
    let record = message.bytes_of(RECORD);
    let of = |name: &str, malformed, record: Vec<u8>| Mutation {
        name: format!("a record {name}"),
        malformed,
        bytes: message.with_bytes(RECORD, &record),
    };
    let mut next_format = record.to_vec();
    next_format[0] += 1;
    vec![
        of(
            "that ends within its fields",
            "Record.Length",
            record[..RECORD_BYTES_MIN - 1].into(),
        ),
        of("of one byte", "Record.Length", vec![1]),
        of(
            "longer than any",
            "Record.Length",
            [record, &[0; RECORD_BYTES_MAX]].concat(),
        ),
        of(
            "with a byte behind",
            "Record.Metadata",
            [record, &[0]].concat(),
        ),
        of("of the next format", "Record.Format", next_format),
    ]
}

fn of_slots(message: &Message) -> Vec<Mutation> {
    let slots = message.bytes_of(SLOTS);
    let of = |name: &str, malformed, slots: &[u8]| Mutation {
        name: name.into(),
        malformed,
        bytes: message.with_bytes(SLOTS, slots),
    };
    let bitmap = |name: &str, byte: usize, bits: u8| {
        let mut bitmap = message.bytes_of(EMPTY_SLOTS).to_vec();
        bitmap[byte] ^= bits;
        Mutation {
            name: name.into(),
            malformed: "SlotCount",
            bytes: message.with_bytes(EMPTY_SLOTS, &bitmap),
        }
    };
    let with_zero = [&slots[..32], &[0; 32], &slots[64..]].concat();
    vec![
        of("no digests", "SlotCount", &[]),
        of("a digest less", "SlotCount", &slots[32..]),
        of("a digest more", "SlotCount", &[slots, &[7; 32]].concat()),
        of("a byte less in the digests", "SlotCount", &slots[1..]),
        of(
            "a byte more in the digests",
            "SlotCount",
            &[slots, &[7]].concat(),
        ),
        of("a digest of zeros", "SlotZero", &with_zero),
        bitmap("an empty slot marked as used", 0, 1 << 2),
        bitmap("a used slot marked as empty", 0, 1),
        bitmap("the last slot marked as empty", 15, 1 << 7),
        Mutation {
            name: "a byte of zeros behind the bitmap".into(),
            malformed: "Length",
            bytes: message.with_bytes(EMPTY_SLOTS, &[message.bytes_of(EMPTY_SLOTS), &[0]].concat()),
        },
    ]
}
