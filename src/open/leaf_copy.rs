//! A copy of the leaf store, for reading without writing: fjall writes when it opens a store.
//!
//! The copy is made in the directory of the tree. Table files never change, so the copy contains hard links to them and
//! takes little space. If the directory can't be written, the copy is made in the system's directory for temporary
//! files, and table files are copied if that is on another file system.
//!
//! The copy is removed with its last reader. If the process of a reader is killed, the next reader or engine that opens
//! the directory removes it (`temporary`).

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_core::hash::Digest;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::leaves::{
    LEAVES_DIRECTORY, Leaf, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor,
};

use super::creation::COPY_PREFIX;
use crate::error::OpenError;
use crate::temporary::{self, TemporaryDirectory};

/// Name of directories whose files never change once written.
const TABLES: &str = "tables";

struct CopiedLeaves {
    // Dropped in this order: the store is closed, then the copy is removed.
    leaves: Arc<dyn LeafSnapshot>,
    _copy: TemporaryDirectory,
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

/// Returns the leaves of a tree, from a copy of its leaf store. The caller holds a shared
/// lock of the directory.
pub(crate) fn open(directory: &Path) -> Result<Arc<dyn LeafSnapshot>, OpenError> {
    let original = directory.join(LEAVES_DIRECTORY);
    let failed = |copy: &Path, source| OpenError::LeafCopy {
        leaves: original.clone(),
        copy: copy.to_owned(),
        source,
    };
    let made = make_directory(directory);
    let copy = made.map_err(|source| failed(&std::env::temp_dir(), source))?;
    let copied = copy.path().join(LEAVES_DIRECTORY);
    copy_leaves(&original, &copied).map_err(|source| failed(copy.path(), source))?;
    let leaves = FjallLeafStore::open(&copied, &FjallOptions::default())?;
    Ok(Arc::new(CopiedLeaves {
        leaves: leaves.snapshot()?,
        _copy: copy,
    }))
}

/// Removes the copies that readers left in the directory of a tree when their process was killed.
pub(crate) fn sweep(directory: &Path) {
    temporary::sweep(directory, COPY_PREFIX);
}

fn make_directory(directory: &Path) -> io::Result<TemporaryDirectory> {
    TemporaryDirectory::create(directory, COPY_PREFIX)
        .or_else(|_| TemporaryDirectory::create(&std::env::temp_dir(), COPY_PREFIX))
}

fn copy_leaves(original: &Path, copy: &Path) -> io::Result<()> {
    let mut directories: Vec<(PathBuf, PathBuf)> = vec![(original.to_owned(), copy.to_owned())];
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
    Ok(())
}

/// Bytes that are copied, or skipped, at a time.
const COPY_BYTES: usize = 64 << 10;

/// Copies a file and leaves holes where it is zero: the journal of fjall is 64 MiB long and mostly zero. `fs::copy`
/// would also copy the permissions, but the copy of a read-only file must be writable.
fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let mut source = fs::File::open(source)?;
    let mut target = fs::File::create_new(target)?;
    let mut bytes = Vec::with_capacity(COPY_BYTES);
    let mut offset: u64 = 0;
    loop {
        bytes.clear();
        let mut block = Read::by_ref(&mut source).take(COPY_BYTES as u64);
        let count = block.read_to_end(&mut bytes)?;
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
    fn a_copy_with_holes_reads_like_its_original() {
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
