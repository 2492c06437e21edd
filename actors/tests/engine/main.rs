//! The engine, from outside: one file a behaviour.

mod a_batch_over_a_limit_is_turned_away_at_the_door;
mod a_checkpoint_changes_no_read;
mod a_commitment_covers_its_submission;
mod a_failure_reaches_everybody_who_waits;
mod a_full_engine_says_busy;
mod a_held_snapshot_keeps_its_state;
mod a_receipt_is_evidence;
mod a_receipt_passes_four_states_in_every_mode;
mod a_refused_submission_has_no_effect_and_keeps_its_place;
mod a_value_read_from_the_store_is_kept;
mod an_audit_holds_at_every_version;
mod an_opening_moves_along_with_its_slot;
mod any_runtime_or_none_will_do;
mod cold_leaves_are_read_from_the_store;
mod counters_lose_no_update;
mod engines_come_and_go;
mod groups_keep_their_limits;
mod hot_prefixes_are_named_from_what_is_read;
mod many_keys_are_read_as_each_alone;
mod metadata_ends_its_version;
mod metrics_add_up;
mod metrics_are_carried_out;
#[path = "../../../tests/support/naive.rs"]
mod naive;
mod nothing_that_was_accepted_is_lost;
mod older_versions_are_proven_from_the_head;
mod one_budget_moves_between_leaves_and_values;
#[path = "../../../tests/support/patience.rs"]
mod patience;
mod proofs_span_versions_and_leave_values_out;
mod provisional_roots_chain_from_the_last_commit;
mod readers_see_whole_versions;
mod reads_say_which_version_they_see;
mod reopening_goes_on_where_it_ended;
mod settings_are_reloaded_while_it_runs;
mod shutting_down_is_final;
mod submissions_of_a_caller_keep_their_order;
mod support;
mod the_engine_agrees_with_the_model;
mod versions_overlap_in_the_pipeline;
mod what_does_not_fit_is_not_opened;
mod what_is_decided_is_carried_out_and_recorded;
mod windows_and_spans_say_what_happened;
