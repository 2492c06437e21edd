#![doc = include_str!("../README.md")]
//!
//! The files, from low to high: `archive` (access to objects, on the store that `location` opens), `catalog` (the
//! objects that count; pure), `base` and `segments` (writing and reading them), `source` (the tree to archive),
//! `backup` and `follow` (making archives), `metrics`, `restore`, `verify`, `prune`. The formats are in
//! `trunkline::core::store::archive`.

#![forbid(unsafe_code)]

mod archive;
mod backup;
mod base;
mod catalog;
mod error;
mod follow;
mod location;
mod metrics;
mod prune;
mod restore;
mod segments;
mod source;
mod verify;

pub use archive::Archive;
pub use backup::{Backup, BackupError, BasePolicy, BaseReason};
pub use base::BaseError;
pub use catalog::{Catalog, Route, RouteError};
pub use error::{AccessError, LocationError, WriteError};
pub use follow::{Archiver, ArchiverError, ArchiverOptions, ArchiverStatus};
pub use metrics::METRICS;
pub use object_store;
pub use prune::{Keep, Prunable};
pub use restore::{RestoreError, Restored, Shown, Trust};
pub use segments::FrameReader;
pub use source::{ClosedDirectory, Source};
pub use verify::{Verified, VerifyError};
