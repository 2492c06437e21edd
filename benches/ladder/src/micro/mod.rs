//! Comparisons within one process: what cannot be switched off in the engine, and what it does not have.
//! A file each, named for what is compared. Both ways do the same work on the same data, in turns.

pub(crate) mod below_the_root;
pub(crate) mod binary_record;
pub(crate) mod bloom_filter;
pub(crate) mod compression;
mod data;
pub(crate) mod many_openings;
pub(crate) mod mapped_tables;
pub(crate) mod nodes_in_memory;
pub(crate) mod one_log_record;
mod turns;
pub(crate) mod wire_form;

use std::path::Path;

/// What a comparison may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// An empty directory on the disk that is measured.
    pub(crate) directory: &'a Path,
    /// Keys of the states that it makes.
    pub(crate) keys: u64,
}
