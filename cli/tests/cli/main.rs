//! The command as a user runs it: one file a behaviour.

mod support;

mod a_directory_that_cannot_be_used_is_left_alone;
mod a_second_process_proves_what_the_first_stored;
mod a_shown_proof_has_openings_that_anybody_can_check;
mod a_value_is_put_got_and_deleted;
mod import_passes_over_what_is_no_record;
mod inspect_says_what_is_there;
mod load_checks_itself_and_cleans_up;
mod mistakes_in_the_configuration_name_their_place;
mod verify_tells_proven_from_unproven_from_unusable;
