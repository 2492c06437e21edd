//! The functions that C calls, called as C may call them: rightly and wrongly.

#[path = "../../../tests/support/proven.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod proven;

mod a_c_program_verifies_a_proof_and_refuses_a_changed_one;
mod arguments_that_cant_be_are_refused;
mod buffers_may_overlap_and_lie_anywhere;
mod claims_are_those_of_the_proof;
mod support;
