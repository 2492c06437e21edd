//! Audit proofs, checked against a naive model that shares no code with the crate.

mod fixture;
mod vectors;

mod arbitrary_input;
mod canonical_form;
#[cfg(feature = "state")]
mod degree;
#[cfg(feature = "state")]
mod prover;
mod rules;
mod specification_example;
mod trust;
mod vector_answers;
mod vector_coverage;
mod vector_files;
mod wire_form;
