//! The leaves of a directory in a temporary copy, because fjall has no way of opening without writing.
//!
//! Its tables, which never change, are hard links where the file system allows it, everything else is
//! copied. The copy is gone when the last reader of it is.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
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

/// Bytes that are copied, or left out, at a time.
const COPY_BYTES: usize = 64 << 10;

/// Copies a file and leaves out what is zero: fjall's journal is made 64 MiB long and never written
/// to. Not `fs::copy`: a copy of what can't be written must be writable all the same.
fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let mut source = fs::File::open(source)?;
    let mut target = fs::File::create_new(target)?;
    let mut bytes = Vec::with_capacity(COPY_BYTES);
    let mut offset: u64 = 0;
    loop {
        bytes.clear();
        let mut piece = Read::by_ref(&mut source).take(COPY_BYTES as u64);
        let count = piece.read_to_end(&mut bytes)?;
        if count == 0 {
            return target.set_len(offset);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(offset))?;
            target.write_all(&bytes)?;
        }
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_with_holes_reads_as_its_original_does() {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("a"), directory.path().join("b"));
        for (leading, last) in [(0, 1), (3 * COPY_BYTES + 5, 1), (2 * COPY_BYTES, 0)] {
            let mut bytes = vec![0; leading];
            bytes.extend([7, 0, last]);
            bytes.resize(bytes.len() + COPY_BYTES * usize::from(last == 0), 0);
            fs::write(&source, &bytes).unwrap();
            copy_file(&source, &target).unwrap();
            assert_eq!(fs::read(&target).unwrap(), bytes);
            fs::remove_file(&target).unwrap();
        }
    }
}
