//! The leaves of a directory in a temporary copy, because fjall has no way of opening without writing.
//!
//! Its tables, which never change, are hard links where the file system allows it, everything else is
//! copied. The copy is gone when the last reader of it is.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use trunkline_core::hash::Digest;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions, LEAVES_DIRECTORY};
use trunkline_core::store::leaves::{
    Leaf, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor, MemoryLeafStore,
};

use crate::recovery::OpenError;

/// Name of directories whose files are written once and never again.
const TABLES: &str = "tables";

struct CopiedLeaves {
    // In this order: closed, then removed.
    leaves: Arc<dyn LeafSnapshot>,
    _copy: TempDir,
}

impl LeafSnapshot for CopiedLeaves {
    fn get(&self, key_hash: &Digest) -> Result<Option<Leaf>, LeafStoreError> {
        self.leaves.get(key_hash)
    }

    fn scan(
        &self,
        range: RangeInclusive<Digest>,
        visit: &mut LeafVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.leaves.scan(range, visit)
    }
}

/// The leaves of a tree, or none if it keeps none.
pub(crate) fn open(directory: &Path) -> Result<Arc<dyn LeafSnapshot>, OpenError> {
    let original = directory.join(LEAVES_DIRECTORY);
    if !original.exists() {
        return Ok(MemoryLeafStore::default().snapshot()?);
    }
    let copy = copy_leaves(&original).map_err(|source| OpenError::Directory {
        path: original,
        source,
    })?;
    let leaves = FjallLeafStore::open(copy.path(), &FjallOptions::default())?;
    Ok(Arc::new(CopiedLeaves {
        leaves: leaves.snapshot()?,
        _copy: copy,
    }))
}

fn copy_leaves(original: &Path) -> io::Result<TempDir> {
    let copy = tempfile::Builder::new().prefix("trunkline-").tempdir()?;
    let mut directories: Vec<(PathBuf, PathBuf)> =
        vec![(original.to_owned(), copy.path().to_owned())];
    while let Some((from, to)) = directories.pop() {
        fs::create_dir_all(&to)?;
        let immutable = from.ends_with(TABLES);
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                directories.push((source, target));
            } else if !immutable || fs::hard_link(&source, &target).is_err() {
                copy_file(&source, &target)?;
            }
        }
    }
    Ok(copy)
}

/// Not `fs::copy`: a copy of what can't be written must be writable all the same.
fn copy_file(source: &Path, target: &Path) -> io::Result<u64> {
    io::copy(
        &mut fs::File::open(source)?,
        &mut fs::File::create_new(target)?,
    )
}
