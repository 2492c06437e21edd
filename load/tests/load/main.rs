//! Loads as somebody drives them from outside: one file a behaviour.

mod support;

mod a_plan_with_a_mistake_names_its_place;
mod a_run_is_read_as_it_was_written;
mod a_target_of_ones_own_is_driven_like_an_engine;
mod acceptance_figures_follow_from_windows;
mod every_key_holds_what_the_records_say;
mod every_phase_file_can_be_laid_over_a_plan;
mod histograms_are_read_as_they_were_written;
mod the_default_plan_file_equals_the_defaults;
mod the_same_plan_gives_the_same_operations;
mod traces_are_read_totally;
