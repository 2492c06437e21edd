//! The stores: formats, crash safety, and the detection of damage. One topic per file.

#![cfg(feature = "state")]

mod past_entries;
mod support;

mod archive_objects;
mod decoders;
mod effects;
mod file_reuse;
#[cfg(feature = "fjall")]
mod fjall_creation;
#[cfg(feature = "fjall")]
mod fjall_leaves;
mod forged_frames;
mod formats;
mod history_file;
mod leaf_stores;
mod log_crashes;
mod log_damage;
mod log_examination;
mod log_following;
mod log_following_crashes;
mod log_poisoning;
mod log_read_only;
mod log_recycling;
mod log_reopening;
mod manifest;
