//! Comparisons within one process, for optimisations that cannot be switched off in the engine or that it does not
//! have. Each file is named after its comparison. Both ways do the same work on the same data, in turns.

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

/// The resources of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// An empty directory on the disk that is measured.
    pub(crate) directory: &'a Path,
    /// The number of keys of the states that it makes.
    pub(crate) keys: u64,
}
