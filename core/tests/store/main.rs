//! The stores: formats, what survives a crash, what is called damage. One behaviour a file.

#![cfg(feature = "state")]

mod support;

mod a_history_file_keeps_every_commit_id;
#[cfg(feature = "fjall")]
mod a_leaf_store_whose_making_was_cut_off_opens;
mod dead_segments_are_written_over;
mod decoders_never_panic;
mod effects_are_canonical;
#[cfg(feature = "fjall")]
mod fjall_leaves_are_durable_and_snapshots_stand_still;
mod forged_frames_in_values_are_not_believed;
mod formats_have_fixed_bytes;
mod leaf_stores_agree_with_a_map;
mod log_goes_on_where_it_ended;
mod log_is_poisoned_by_any_error;
mod log_survives_crashes_and_faults;
mod markers_are_replaced_at_once;
mod reading_only_never_writes;
mod synced_damage_is_named;
mod what_is_written_over_and_synced_is_durable;
