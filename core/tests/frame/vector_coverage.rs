//! A rule without a name here does not compile, and a name without a vector fails.

use std::collections::BTreeSet;

use trunkline_core::frame::{DecodeFrameError, PublicKeyError, SignatureError};
use trunkline_testkit::names;
use trunkline_testkit::vectors::{self, ACCEPTED, AnsweredVector, MALFORMED_RULE, malformed_of};

use crate::vectors::FrameVectors;

names!(rule_of, RULES, SignatureError, {
    SignatureError::NoKey => "NoKey",
    SignatureError::OtherKey { .. } => "OtherKey",
});

names!(key_error_of, KEY_ERRORS, PublicKeyError, {
    PublicKeyError::Text => "Text",
    PublicKeyError::Point => "Point",
    PublicKeyError::NotCanonical => "NotCanonical",
    PublicKeyError::Order => "Order",
});

names!(own_malformed_of, OWN_MALFORMED, DecodeFrameError, {
    DecodeFrameError::Form(_) => "Form",
    DecodeFrameError::Codec(_) => "Codec",
    DecodeFrameError::TooLong { .. } => "TooLong.Part",
    DecodeFrameError::Declared { .. } => "Declared",
    DecodeFrameError::Compressed { .. } => "Compressed",
});

pub(crate) fn malformed_frame_of(error: &DecodeFrameError) -> &'static str {
    match error {
        DecodeFrameError::Form(error) => malformed_of(error),
        error => own_malformed_of(error),
    }
}

type Names<'a> = BTreeSet<&'a str>;

const OF_ALL: [&str; 4] = ["Protobuf", "NotCanonical", "Format", "Length"];

#[track_caller]
fn check<T, S>(vectors: &[AnsweredVector<T, S>], malformed: &[&str]) {
    let found: Names = vectors.iter().map(|vector| &vector.rule[..]).collect();
    let mut all: Names = RULES.iter().copied().collect();
    all.extend([ACCEPTED, MALFORMED_RULE]);
    assert_eq!(found, all);
    let found = vectors
        .iter()
        .filter_map(|vector| vector.malformed.as_deref());
    let all = malformed.iter().chain(&OF_ALL).copied();
    assert_eq!(found.collect::<Names>(), all.collect::<Names>());
}

#[test]
fn each_rule_and_each_kind_of_malformed_bytes_has_a_vector() {
    let vectors: FrameVectors = vectors::read("frames.json");
    let records = ["Record.Length", "Record.Format", "Record.Metadata"];
    // Frames that are too long as a whole are too long for a file.
    let own = OWN_MALFORMED.iter().filter(|name| **name != "Form");
    let of_frames: Vec<&str> = own.copied().chain(records).collect();
    check(&vectors.frames, &of_frames);
    check(&vectors.beginnings, &["Collision", "TooLong"]);
    let refused = vectors.refused_keys.iter();
    let found: Names = refused.map(|key| &key.error[..]).collect();
    let of_bytes = KEY_ERRORS.iter().filter(|name| **name != "Text");
    assert_eq!(found, of_bytes.copied().collect());
}

#[test]
fn no_two_vectors_have_the_same_name() {
    fn check<T, S>(vectors: &[AnsweredVector<T, S>]) {
        let mut names = BTreeSet::new();
        for vector in vectors {
            let name = (&vector.of, &vector.mutation);
            assert!(names.insert(name), "{name:?}");
        }
    }
    let vectors: FrameVectors = vectors::read("frames.json");
    check(&vectors.frames);
    check(&vectors.beginnings);
}
