//! Proofs, checked against a naive model that shares no code with the crate.

mod forgery;
mod vectors;

mod advance;
mod arbitrary_input;
mod batch_verification;
mod bounds;
mod canonical_form;
mod changed_bytes;
mod false_claims;
mod kzg_top;
mod model_policies;
mod model_proofs;
mod rules;
mod several_versions;
mod specification_examples;
mod trust;
mod vector_answers;
mod vector_coverage;
mod vector_files;
mod verified_root;
mod wire_form;
