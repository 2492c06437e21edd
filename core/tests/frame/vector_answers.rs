//! The file as any reader parses it, and this crate's answers to it.

use bytes::Bytes;
use trunkline_core::frame::{Beginning, Frame, PublicKey, SecretKey};
use trunkline_testkit::vectors::{
    self, ACCEPTED, AnsweredVector, Decimal, Hex, MALFORMED_RULE, malformed_of,
};

use crate::vector_coverage::{key_error_of, malformed_frame_of, rule_of};
use crate::vectors::{
    BeginningVector, FrameVector, FrameVectors, Pinned, ShownBeginning, ShownFrame,
};

/// The shown facts, or the broken rule with the reason why bytes are malformed.
type Answer<S> = Result<S, (&'static str, Option<&'static str>)>;

#[track_caller]
fn check<S: std::fmt::Debug + PartialEq>(vector: &AnsweredVector<Pinned, S>, answer: Answer<S>) {
    let name = format!("{}: {}", vector.of, vector.mutation);
    match answer {
        Ok(shown) => {
            assert_eq!(vector.rule, ACCEPTED, "{name}");
            assert_eq!(Some(shown), vector.shown, "{name}");
        }
        Err((rule, malformed)) => {
            assert_eq!(rule, vector.rule, "{name}");
            assert_eq!(malformed, vector.malformed.as_deref(), "{name}");
            assert_eq!(None, vector.shown, "{name}");
        }
    }
}

fn keys(pinned: &Pinned) -> Vec<PublicKey> {
    let keys = pinned.keys.iter();
    keys.map(|key| PublicKey::from_bytes(&key.array()).unwrap())
        .collect()
}

fn frame(vector: &FrameVector) -> Answer<ShownFrame> {
    let frame = Frame::decode(&Bytes::from(vector.proof.0.clone()))
        .map_err(|error| (MALFORMED_RULE, Some(malformed_frame_of(&error))))?;
    let signer = frame
        .verify(&keys(&vector.trusted))
        .map_err(|error| (rule_of(&error), None))?;
    Ok(ShownFrame {
        signer: signer.to_bytes().into(),
        record: frame.entry.record.encode().into(),
        commit_id: frame.entry.record.commit_id().into(),
        kzg_root: frame.entry.kzg_root.map(Hex::from),
        outcomes: frame.entry.outcomes.into(),
        effects: frame.entry.effects.into(),
    })
}

fn beginning(vector: &BeginningVector) -> Answer<ShownBeginning> {
    let beginning = Beginning::decode(&vector.proof.0)
        .map_err(|error| (MALFORMED_RULE, Some(malformed_of(&error))))?;
    let signer = beginning
        .verify(&keys(&vector.trusted))
        .map_err(|error| (rule_of(&error), None))?;
    assert_eq!(beginning.encode(), vector.proof.0);
    Ok(ShownBeginning {
        signer: signer.to_bytes().into(),
        tree_id: beginning.params.tree_id().into(),
        epoch: Decimal(beginning.epoch),
        version: Decimal(beginning.at.version),
        commit_id: beginning.at.commit_id.into(),
    })
}

fn read() -> FrameVectors {
    vectors::read("frames.json")
}

#[test]
fn every_frame_gets_its_answer() {
    for vector in &read().frames {
        check(vector, frame(vector));
    }
}

#[test]
fn every_beginning_gets_its_answer() {
    for vector in &read().beginnings {
        check(vector, beginning(vector));
    }
}

#[test]
fn every_secret_key_has_its_public_key() {
    for pair in &read().keys {
        let secret = SecretKey::generate(pair.secret.array());
        assert_eq!(secret.public().to_bytes(), pair.public.array());
        let text = hex::encode(&pair.secret.0) + "\n";
        assert_eq!(secret.to_text(), text);
    }
}

#[test]
fn every_refused_key_is_refused_by_name() {
    for key in &read().refused_keys {
        let error = PublicKey::from_bytes(&key.public.array()).unwrap_err();
        assert_eq!(key_error_of(&error), key.error, "{}", key.of);
    }
}
