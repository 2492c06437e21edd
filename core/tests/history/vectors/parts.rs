//! Shared parts of the vectors of all kinds: changed records and sequences of digests.

use trunkline_core::params::FORMAT;
use trunkline_core::record::{RECORD_BYTES_MAX, RECORD_BYTES_MIN};
use trunkline_testkit::vectors::{AnsweredVector, Hex, MALFORMED_RULE};
use trunkline_testkit::wire_mutations::{Content, Message, Mutation};

use crate::model::Hash;

/// Returns an arbitrary digest.
pub(super) fn arbitrary(name: &str) -> Hash {
    *blake3::hash(name.as_bytes()).as_bytes()
}

pub(super) fn arbitraries(name: &str, count: usize) -> Vec<Hash> {
    (0..count)
        .map(|index| arbitrary(&format!("{name} {index}")))
        .collect()
}

pub(super) fn number(value: u64) -> Content {
    Content::Number(value)
}

pub(super) fn row(digests: &[Hash]) -> Content {
    Content::Bytes(digests.as_flattened().to_vec())
}

pub(super) fn bytes(content: impl AsRef<[u8]>) -> Content {
    Content::Bytes(content.as_ref().to_vec())
}

pub(super) fn malformed<T, S>(of: &str, mutation: Mutation, trusted: T) -> AnsweredVector<T, S> {
    AnsweredVector {
        of: of.into(),
        mutation: mutation.name,
        rule: MALFORMED_RULE.into(),
        malformed: Some(mutation.malformed.into()),
        proof: mutation.bytes.into(),
        trusted,
        shown: None,
    }
}

pub(super) fn refused<T, S>(
    of: &str,
    mutation: impl Into<String>,
    rule: &str,
    proof: impl AsRef<[u8]>,
    trusted: T,
) -> AnsweredVector<T, S> {
    AnsweredVector {
        of: of.into(),
        mutation: mutation.into(),
        rule: rule.into(),
        malformed: None,
        proof: Hex::from(proof),
        trusted,
        shown: None,
    }
}

/// Returns variants in which a field for a record holds something else.
pub(super) fn spoilt_records(message: &Message, field: u64, what: &str) -> Vec<Mutation> {
    let record = message.bytes_of(field).to_vec();
    let metadata = RECORD_BYTES_MIN - 2;
    let of = |name: &str, malformed, change: &dyn Fn(&mut Vec<u8>)| {
        let mut record = record.clone();
        change(&mut record);
        Mutation {
            name: format!("{what}: {name}"),
            malformed,
            bytes: message.with_bytes(field, &record),
        }
    };
    vec![
        of("ends within its fields", "Record.Length", &|record| {
            record.pop();
        }),
        of("one byte", "Record.Length", &|record| record.truncate(1)),
        of("257 bytes of metadata", "Record.Length", &|record| {
            record[metadata..].copy_from_slice(&257_u16.to_le_bytes());
            record.resize(RECORD_BYTES_MAX + 1, 7);
        }),
        of("a byte behind the metadata", "Record.Metadata", &|record| {
            record.push(0);
        }),
        of("metadata that is cut", "Record.Metadata", &|record| {
            record[metadata] = 1;
        }),
        of("the format before", "Record.Format", &|record| {
            record[..2].copy_from_slice(&(FORMAT - 1).to_le_bytes());
        }),
        of("the next format", "Record.Format", &|record| {
            record[..2].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        }),
        of("the format big-endian", "Record.Format", &|record| {
            record[..2].copy_from_slice(&FORMAT.to_be_bytes());
        }),
    ]
}

/// Returns variants in which a field for one digest has another length.
pub(super) fn spoilt_digest(message: &Message, field: u64, what: &str) -> Vec<Mutation> {
    let digest = message.bytes_of(field).repeat(2);
    let of = |length: usize| Mutation {
        name: format!("{what} of {length} bytes"),
        malformed: "Length",
        bytes: message.with_bytes(field, &digest[..length]),
    };
    [0, 31, 33, 64].map(of).into()
}

/// Returns variants in which a field for up to `max` digests holds part of one, or more.
pub(super) fn spoilt_row(message: &Message, field: u64, what: &str, max: usize) -> Vec<Mutation> {
    let own = message.bytes_of(field);
    let of = |length: usize| Mutation {
        name: format!("{what} of {length} bytes"),
        malformed: "Digests",
        bytes: message.with_bytes(field, &[own, &[7; 64]].concat()[..length]),
    };
    let mut mutations: Vec<Mutation> = [1, own.len() - 1, own.len() + 1].map(of).into();
    mutations.push(Mutation {
        name: format!("{} {what}", max + 1),
        malformed: "Form.TooMany",
        bytes: message.with_bytes(field, &vec![7; 32 * (max + 1)]),
    });
    mutations
}
