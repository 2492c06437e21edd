//! Proofs over the history and evidence about submissions, checked against a naive model that shares no
//! code with the crate.

mod model;
mod vectors;

mod ancestors;
mod arbitrary_input;
mod bounds;
mod canonical_form;
mod changed_bytes;
mod consistency;
mod evidence;
mod inclusion;
#[cfg(feature = "state")]
mod prover;
mod rules;
mod specification_examples;
mod vector_answers;
mod vector_coverage;
mod vector_files;
mod wire_form;
