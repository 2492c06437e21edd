//! Proofs, checked against a naive model that shares no code with the crate.

#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/naive_kzg.rs"]
mod naive_kzg;
#[path = "../support/protobuf.rs"]
mod protobuf;

mod fixture;
mod forgery;
mod vectors;

mod a_changed_byte_proves_nothing_false;
mod a_false_claim_fails_against_the_true_root;
mod a_kzg_top_opens_every_used_slot;
mod a_proof_is_moved_by_the_change_alone;
mod a_proof_outside_its_bounds_is_refused;
mod a_verified_root_remembers_its_slots;
mod any_bytes_and_any_proof_are_handled;
mod each_rule_has_a_vector;
mod each_rule_refuses_its_forgery;
mod many_proofs_are_verified_together;
mod only_the_canonical_form_is_read;
mod several_versions_are_proven_by_one_object;
mod the_examples_of_the_specification_hold;
mod the_model_follows_its_policies;
mod the_vectors_are_what_the_model_says;
mod the_vectors_hold_for_a_reader;
mod the_wire_form_is_fixed;
mod what_is_trusted_decides_what_is_bound;
mod what_the_model_proves_is_verified;
