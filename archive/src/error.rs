//! Errors of access to an archive. Errors of a single operation are defined with the operation.

use trunkline::core::hash::{Digest, hex};
use trunkline::core::store::archive::ObjectError;
use trunkline::core::store::log::LogPosition;
use trunkline::core::store::tree_file::TreeFileError;

/// The reason why a location cannot be that of an archive.
///
/// ```
/// use trunkline_archive::{Archive, LocationError};
/// let error = Archive::at("s3://bucket/tree?token=secret").unwrap_err();
/// assert!(matches!(error, LocationError::Secret));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// The location is not a URL.
    #[error("the location is not a URL; write s3://bucket/prefix, or the path of a directory")]
    Url(#[from] url::ParseError),
    /// The location has a user, a password, a query or a fragment, which could be secret.
    #[error(
        "the location has a user, a query or a fragment; give credentials and options in environment variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT, …) and leave them out of the location"
    )]
    Secret,
    /// An archive in memory would be gone with the process.
    #[error("a location in memory is gone when the process ends; name a directory or a bucket")]
    Memory,
    /// The path is not one of a directory on this machine.
    #[error("the location is not the path of a directory on this machine")]
    Path,
    /// The store refuses the location or the options in the environment.
    #[error("the location or the options in the environment cannot be used")]
    Store(#[from] object_store::Error),
}

/// The reason why an object was not read, written or removed.
///
/// ```
/// use trunkline_archive::AccessError;
/// let error = AccessError::Missing { object: "tree".to_owned() };
/// assert_eq!(error.to_string(), "the archive has no object tree");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store failed.
    #[error("cannot {action} {object} in the archive; try again when the store answers")]
    Store {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The path of the object below the archive's prefix.
        object: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// The object is not there.
    #[error("the archive has no object {object}")]
    Missing {
        /// The path of the object.
        object: String,
    },
    /// The object has another length than expected.
    #[error(
        "object {object} has {found} bytes, not {expected}; it is damaged, or something else wrote it"
    )]
    Length {
        /// The path of the object.
        object: String,
        /// The actual length.
        found: u64,
        /// The expected or maximum length.
        expected: u64,
    },
    /// The object is invalid.
    #[error(
        "object {object} cannot be used; restore it from a copy of the archive, or make a new base"
    )]
    Object {
        /// The path of the object.
        object: String,
        /// The cause.
        source: ObjectError,
    },
    /// The tree file cannot be used.
    #[error("object tree of the archive cannot be used")]
    Tree(#[from] TreeFileError),
    /// The archive has more objects than this build lists.
    #[error("the archive has more than {max} objects; prune it, or begin another archive")]
    TooMany {
        /// The highest number of objects.
        max: usize,
    },
}

impl AccessError {
    /// Returns whether the same call may succeed later: if the store did not answer, or refused for a temporary reason.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store { source, .. } if !matches!(
            **source,
            object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. }
                | object_store::Error::UnknownConfigurationKey { .. }
        ))
    }
}

/// The reason why nothing is written to an archive.
///
/// ```
/// use trunkline_archive::WriteError;
/// let error = WriteError::OtherTree { archived: [1; 32], own: [2; 32] };
/// assert!(error.to_string().ends_with("use another prefix"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An object was not read or written.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The store lets a second writer replace an object.
    #[error(
        "the store lets a second writer replace an object, so an archive could lose data in it; use a store with conditional puts, and do not switch them off (AWS_CONDITIONAL_PUT)"
    )]
    NotOnce {
        /// The response of the store, if it refused the first object as well.
        source: Option<Box<object_store::Error>>,
    },
    /// The archive has another object of this name.
    #[error(
        "the archive has another object {object}: another history of the tree, or another build of this program, wrote it; archive this one under another prefix"
    )]
    Conflict {
        /// The path of the object.
        object: String,
    },
    /// The archive is of another tree.
    #[error(
        "the archive is of the tree {}, not of {}; use another prefix",
        hex(archived),
        hex(own)
    )]
    OtherTree {
        /// The id of the archive's tree.
        archived: Digest,
        /// The id of the tree to be archived.
        own: Digest,
    },
    /// The archive has a position that this tree does not know, in an epoch that is not below the tree's.
    #[error(
        "the archive has version {} with commit id {}, which is not in the history of this tree, in an epoch that is not below this one's: another primary archives to it, or this directory is older than the archive or a copy; archive it under another prefix",
        archived.version,
        hex(&archived.commit_id)
    )]
    Diverged {
        /// The last position in the archive.
        archived: LogPosition,
    },
    /// An entry does not follow the one before it.
    #[error(
        "version {version} does not follow version {} with commit id {}; nothing of it was archived",
        last.version,
        hex(&last.commit_id)
    )]
    NotNext {
        /// The version of the entry.
        version: u64,
        /// The last position.
        last: LogPosition,
    },
    /// An entry is too long for a frame.
    #[error("version {version} cannot be archived")]
    Frame {
        /// The version.
        version: u64,
        /// The cause.
        source: trunkline::core::frame::EncodeFrameError,
    },
}
