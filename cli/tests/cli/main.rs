//! The command as a user runs it: one file a behaviour.

mod markup;
mod support;
mod synthetic;

mod a_directory_that_cannot_be_used_is_left_alone;
#[cfg(unix)]
mod a_live_view_needs_a_terminal;
mod a_report_is_one_page;
mod a_second_process_proves_what_the_first_stored;
mod a_shown_proof_has_openings_that_anybody_can_check;
mod a_value_is_put_got_and_deleted;
mod an_audit_ties_the_two_roots_together;
mod evidence_is_checked_from_a_file;
mod history_is_proven_and_checked_from_files;
mod import_passes_over_what_is_no_record;
mod inspect_says_what_is_there;
mod inspect_shows_decisions;
mod load_checks_itself_and_cleans_up;
mod load_runs_can_be_kept_and_run_again;
mod mistakes_in_the_configuration_name_their_place;
mod runs_are_compared;
mod settings_are_swept_and_tuned;
mod verify_tells_proven_from_unproven_from_unusable;
