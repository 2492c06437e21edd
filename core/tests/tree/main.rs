//! The tree, checked after every step against a naive model that shares no code with the crate.

#![cfg(feature = "state")]

#[allow(
    dead_code,
    reason = "the states and keys of the proof tests; some serve here"
)]
#[path = "../proof/fixture.rs"]
mod fixture;
#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/naive_kzg.rs"]
mod naive_kzg;

mod support;

mod a_glance_holds_through_refused_submissions;
mod a_path_holds_as_many_keys_as_its_policy_allows;
mod a_refused_submission_leaves_no_trace;
mod a_submission_may_be_cut_into_pieces;
mod apply_returns_what_changed;
mod cold_leaves_go_and_come_back;
mod digests_do_not_depend_on_history;
mod drafts_become_proofs_that_verify;
mod every_version_has_the_digests_of_the_model;
mod hashing_may_lag_behind_and_be_shared_out;
mod old_versions_stay_as_they_were;
mod readers_keep_their_version_while_the_writer_goes_on;
