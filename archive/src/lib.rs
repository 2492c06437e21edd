//! Archives of a trunkline tree in an object store: backups, restoring to any archived version, verifying, pruning.

#![forbid(unsafe_code)]

mod archive;
mod catalog;
mod error;
mod location;

pub use archive::Archive;
pub use catalog::{Catalog, Route, RouteError};
pub use error::{AccessError, LocationError, WriteError};
pub use object_store;
