//! The engine, from outside: one file a behaviour.

mod a_checkpoint_changes_no_read;
mod support;
