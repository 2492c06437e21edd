//! From a directory to a state: what an engine, or a reader without one, begins with.

pub(crate) mod kzg_tables;
#[cfg(feature = "fjall")]
pub(crate) mod leaf_copy;
pub(crate) mod read_only;
pub(crate) mod recovery;
