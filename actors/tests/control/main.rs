//! The controllers against a simulated pipeline: one file a behaviour, scenarios as data in `tests/scenarios`.

mod scenario;
mod simulator;
mod verdict;

mod a_cap_at_rest_is_judged_by_span_and_turns;
mod hot_prefixes_are_named_and_replaced;
mod no_numbers_upset_the_controllers;
mod reasons_say_what_was_done;
mod the_cap_finds_its_best_in_every_scenario;
