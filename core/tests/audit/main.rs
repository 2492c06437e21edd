//! Audit proofs, checked against a naive model that shares no code with the crate.
//!
//! What needs no prover also runs without the feature `state`: that is the verifier as it ships.

#[path = "../support/naive_kzg.rs"]
mod naive_kzg;
#[path = "../support/protobuf.rs"]
mod protobuf;

mod fixture;

mod any_bytes_are_handled;
mod each_rule_refuses_its_forgery;
mod only_the_canonical_form_is_read;
#[cfg(feature = "state")]
mod the_degree_is_shown;
mod the_example_of_the_specification_holds;
#[cfg(feature = "state")]
mod the_prover_agrees_with_the_model;
mod the_wire_form_is_fixed;
mod what_is_trusted_decides_what_is_bound;
