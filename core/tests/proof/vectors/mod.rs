//! The contents of the files of `tests/vectors`, made by the model.
//!
//! The crate is compared with them elsewhere.

mod form;
mod malformed;
mod proofs;
mod records;
mod refused;
mod states;

pub(crate) use form::{
    Claimed, ClaimedEntry, History, ProofVector, RecordVector, Records, RefusedVector, StateVector,
    SubmissionVector,
};
use trunkline_testkit::vectors::VectorFile;

/// Makes all of them again.
pub(crate) fn made() -> [VectorFile; 4] {
    let states = states::States::new();
    [
        VectorFile::new("states.json", &states::vectors(&states)),
        VectorFile::new("records.json", &records::vectors(&states)),
        VectorFile::new("proofs.json", &proofs::vectors(&states)),
        VectorFile::new("refused.json", &refused::vectors(&states)),
    ]
}
