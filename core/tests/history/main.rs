//! Proofs over the history and evidence about submissions, checked against a naive model that shares no
//! code with the crate.

#[path = "../support/protobuf.rs"]
mod protobuf;

mod model;

mod a_changed_byte_proves_nothing;
mod a_history_that_goes_on_is_consistent;
mod a_submission_is_shown_at_its_place;
mod an_older_commit_is_shown_below_a_head;
mod any_bytes_and_any_proof_are_handled;
mod each_rule_refuses_its_forgery;
mod every_item_of_a_range_is_shown_at_its_place_alone;
mod only_the_canonical_form_is_read;
mod the_examples_of_the_specification_hold;
#[cfg(feature = "state")]
mod the_prover_gives_what_the_model_gives;
mod the_wire_form_is_fixed;
mod what_exceeds_a_bound_has_no_encoding;
