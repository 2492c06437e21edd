//! Access to the objects of an archive: put once, get with a check, list, remove.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use trunkline::core::params::TreeParams;
use trunkline::core::store::archive::TREE_OBJECT;
use trunkline::core::store::tree_file::{self, TREE_FILE_BYTES};

use crate::error::{AccessError, LocationError, WriteError};
use crate::location;

/// Most objects that an archive may have.
pub(crate) const OBJECTS_MAX: usize = 1_000_000;
/// The object that is used to check that a store refuses a second object of the same name.
pub(crate) const ONCE_OBJECT: &str = "written-once";
const ONCE_BYTES: &[u8] = b"A second object of this name must be refused.\n";

/// An archive: objects below a prefix of an object store.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().to_str().unwrap();
/// let archive = trunkline_archive::Archive::at(path)?; // or s3://bucket/prefix
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    transferred_bytes: Arc<AtomicU64>,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its path below the prefix.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The time at which the store received it, by the store's clock.
    pub(crate) modified_unix_ms: u64,
}

impl fmt::Display for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}", self.store, self.prefix)
    }
}

impl Archive {
    /// Returns the archive at a location: the URL of a bucket with a prefix (`s3://bucket/prefix`), or the path of a
    /// directory. Nothing is read or written by this call.
    ///
    /// Credentials and options come from environment variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP` and the others that the crate `object_store` documents.
    ///
    /// # Errors
    ///
    /// Fails if the location or an option is invalid.
    pub fn at(location: &str) -> Result<Self, LocationError> {
        let (store, prefix) = location::open(location)?;
        Ok(Self::on(store, prefix))
    }

    /// Returns the archive below a prefix of a store.
    ///
    /// The store must acknowledge nothing that is not durable. [`LocalFileSystem`](object_store::local::LocalFileSystem) needs
    /// `with_fsync(true)` for that.
    pub fn on(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self {
            store,
            prefix,
            transferred_bytes: Arc::default(),
        }
    }

    /// Returns the number of bytes of objects that were read and written through this archive and its clones.
    pub fn transferred_bytes(&self) -> u64 {
        self.transferred_bytes.load(Ordering::Relaxed)
    }

    /// Returns the parameters of the archived tree.
    ///
    /// # Errors
    ///
    /// Fails with [`AccessError::Missing`] if there is no archive, or if the object cannot be read.
    pub async fn params(&self) -> Result<TreeParams, AccessError> {
        let bytes = self.get(TREE_OBJECT, TREE_FILE_BYTES as u64).await?;
        Ok(tree_file::decode(&bytes)?)
    }

    /// Makes the archive the tree's, unless it is already. Checks that the store refuses a second object of the same
    /// name.
    pub(crate) async fn prepare(&self, params: &TreeParams) -> Result<(), WriteError> {
        let own = params.tree_id();
        match self.params().await {
            Ok(archived) if archived.tree_id() != own => {
                let archived = archived.tree_id();
                return Err(WriteError::OtherTree { archived, own });
            }
            Ok(_) | Err(AccessError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.check_once().await?;
        self.put_once(TREE_OBJECT, tree_file::encode(params).into())
            .await
    }

    async fn check_once(&self) -> Result<(), WriteError> {
        let put = async || {
            self.create(ONCE_OBJECT, Bytes::from_static(ONCE_BYTES))
                .await
        };
        match put().await {
            Ok(()) | Err(Error::AlreadyExists { .. }) => {}
            Err(error @ (Error::NotImplemented { .. } | Error::NotSupported { .. })) => {
                return Err(WriteError::NotOnce {
                    source: Some(Box::new(error)),
                });
            }
            Err(error) => return Err(failed("write", ONCE_OBJECT)(error).into()),
        }
        match put().await {
            Err(Error::AlreadyExists { .. }) => Ok(()),
            Ok(()) => Err(WriteError::NotOnce { source: None }),
            Err(error) => Err(failed("write", ONCE_OBJECT)(error).into()),
        }
    }

    /// Writes an object, unless it exists. An existing object with the same content counts as written: it comes from an
    /// earlier attempt whose response was lost.
    pub(crate) async fn put_once(&self, object: &str, bytes: Bytes) -> Result<(), WriteError> {
        match self.create(object, bytes.clone()).await {
            Ok(()) => Ok(()),
            Err(Error::AlreadyExists { .. }) => {
                match self.get_exactly(object, bytes.len() as u64).await {
                    Ok(found) if found == bytes => Ok(()),
                    Ok(_) | Err(AccessError::Length { .. }) => Err(WriteError::Conflict {
                        object: object.to_owned(),
                    }),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(failed("write", object)(error).into()),
        }
    }

    async fn create(&self, object: &str, bytes: Bytes) -> Result<(), Error> {
        let length = bytes.len() as u64;
        let (path, payload) = (self.path(object), bytes.into());
        let put = self.store.put_opts(&path, payload, PutMode::Create.into());
        put.await?;
        self.transferred_bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// Reads an object of at most `bytes_max` bytes.
    pub(crate) async fn get(&self, object: &str, bytes_max: u64) -> Result<Bytes, AccessError> {
        let found = self.store.get(&self.path(object)).await;
        let found = found.map_err(|error| match error {
            Error::NotFound { .. } => AccessError::Missing {
                object: object.to_owned(),
            },
            error => failed("read", object)(error),
        })?;
        let length = |found, expected| AccessError::Length {
            object: object.to_owned(),
            found,
            expected,
        };
        let expected = found.meta.size;
        if expected > bytes_max {
            return Err(length(expected, bytes_max));
        }
        let bytes = found.bytes().await.map_err(failed("read", object))?;
        self.transferred_bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match bytes.len() as u64 == expected {
            true => Ok(bytes),
            false => Err(length(bytes.len() as u64, expected)),
        }
    }

    /// Reads an object of a known length.
    pub(crate) async fn get_exactly(
        &self,
        object: &str,
        length: u64,
    ) -> Result<Bytes, AccessError> {
        let bytes = self.get(object, length).await?;
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(AccessError::Length {
                object: object.to_owned(),
                found: bytes.len() as u64,
                expected: length,
            }),
        }
    }

    /// Lists all objects.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, AccessError> {
        let mut objects = self.store.list(Some(&self.prefix));
        let mut listed = Vec::new();
        while let Some(object) = objects
            .try_next()
            .await
            .map_err(failed("list", "objects"))?
        {
            if listed.len() == OBJECTS_MAX {
                return Err(AccessError::TooMany { max: OBJECTS_MAX });
            }
            let below = object.location.as_ref().strip_prefix(self.prefix.as_ref());
            if let Some(path) = below {
                listed.push(Listed {
                    path: path.trim_start_matches('/').to_owned(),
                    bytes: object.size,
                    modified_unix_ms: object.last_modified.timestamp_millis().max(0) as u64,
                });
            }
        }
        Ok(listed)
    }

    /// Removes an object. A missing one counts as removed.
    pub(crate) async fn remove(&self, object: &str) -> Result<(), AccessError> {
        match self.store.delete(&self.path(object)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", object)(error)),
        }
    }

    fn path(&self, object: &str) -> Path {
        object
            .split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }
}

fn failed(action: &'static str, object: &str) -> impl FnOnce(Error) -> AccessError {
    let object = object.to_owned();
    move |source| AccessError::Store {
        action,
        object,
        source: Box::new(source),
    }
}
