//! The files of `tests/vectors`: what is in them, and how they are made by the model.
//!
//! Not here: holding the crate against them.

mod form;
mod malformed;
mod points;
mod proofs;
mod records;
mod refused;
mod states;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use form::{
    Claimed, ClaimedEntry, Hex, History, ProofVector, RecordVector, Records, RefusedVector,
    StateVector, SubmissionVector, Trusted,
};

/// A file of vectors: its name, and what the model says is in it.
pub(crate) struct VectorFile {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// Makes all of them again.
pub(crate) fn made() -> [VectorFile; 4] {
    let states = states::States::new();
    [
        file("states.json", &states::vectors(&states)),
        file("records.json", &records::vectors(&states)),
        file("proofs.json", &proofs::vectors(&states)),
        file("refused.json", &refused::vectors(&states)),
    ]
}

fn file(name: &'static str, content: &impl Serialize) -> VectorFile {
    let mut text = serde_json::to_string_pretty(content).unwrap();
    text.push('\n');
    VectorFile { name, text }
}

/// Where a file of vectors lies.
pub(crate) fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/vectors").join(name)
}

/// A file of vectors, as a reader gets it.
pub(crate) fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(path(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}
