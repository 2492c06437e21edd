//! A copy of the leaf store, for reading without writing: fjall writes when it opens a store.
//!
//! Table files never change, so the copy contains hard links to them, or symbolic links if it is on another file system,
//! and takes little space. It is made in the directory of the tree, or if that cannot be written or is full, in another
//! place.
//!
//! The copy is removed with its last reader. If the process of a reader is killed, the next reader or engine that opens
//! the directory removes it (`temporary`).

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use trunkline_core::hash::Digest;
use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
use trunkline_core::store::key_index::{KeyScan, KeyVisitor};
use trunkline_core::store::leaves::{
    LEAVES_DIRECTORY, Leaf, LeafSnapshot, LeafStore, LeafStoreError, LeafVisitor,
};
use trunkline_core::store::lock::DirectoryLock;
use trunkline_core::store::past::{PastEntry, PastStore, PastVisitor, Segment};

use super::creation::{COPY_PREFIX, unusable};
use crate::error::{FailedCopy, OpenError};
use crate::temporary::{self, TemporaryDirectory};

/// The name of directories whose files never change once written.
const TABLES: &str = "tables";
/// A file system in memory, on systems that have one.
const MEMORY: &str = "/dev/shm";

/// The data that the readers of a copy share. Dropped in this order: the copy is removed, then engines may remove
/// tables.
struct Copied {
    _copy: TemporaryDirectory,
    _lock: Option<Arc<DirectoryLock>>,
}

struct CopiedLeaves {
    // Dropped in this order: the store is closed before the copy is removed.
    leaves: Arc<dyn LeafSnapshot>,
    _copied: Arc<Copied>,
}

struct CopiedPast {
    past: Arc<dyn PastStore>,
    _copied: Arc<Copied>,
}

impl PastStore for CopiedPast {
    fn segments(&self) -> Result<Vec<Segment>, LeafStoreError> {
        self.past.segments()
    }

    fn ingest(
        &self,
        segment: u64,
        entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
    ) -> Result<(), LeafStoreError> {
        self.past.ingest(segment, entries)
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        self.past.sync()
    }

    fn scan(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.past.scan(segment, range, visit)
    }

    fn scan_back(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.past.scan_back(segment, range, visit)
    }

    fn last_key(&self, segment: u64) -> Result<Option<Vec<u8>>, LeafStoreError> {
        self.past.last_key(segment)
    }

    fn remove(&self, segment: u64) -> Result<(), LeafStoreError> {
        self.past.remove(segment)
    }
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

    fn scan_keys(
        &self,
        scan: &KeyScan<'_>,
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        self.leaves.scan_keys(scan, visit)
    }
}

/// The leaves of a copy, and its archived versions.
pub(crate) type CopiedStores = (Arc<dyn LeafSnapshot>, Arc<dyn PastStore>);

/// Returns the leaves of a tree, from a copy of its leaf store. The caller holds a shared lock of the directory, which
/// is kept as long as the copy needs files of the original.
pub(crate) fn open(
    directory: &Path,
    lock: &Arc<DirectoryLock>,
    key_order: bool,
) -> Result<CopiedStores, OpenError> {
    let places = [directory.to_owned(), std::env::temp_dir(), MEMORY.into()];
    open_in(&places, directory, lock, key_order)
}

/// Makes the copy in the first place where that succeeds.
fn open_in(
    places: &[PathBuf],
    directory: &Path,
    lock: &Arc<DirectoryLock>,
    key_order: bool,
) -> Result<CopiedStores, OpenError> {
    let original = absolute(directory.join(LEAVES_DIRECTORY)).map_err(unusable(directory))?;
    let mut tried = Vec::new();
    for place in places {
        match copy_to(place, &original, key_order) {
            Ok(((leaves, past), copy, links)) => {
                let copied = Arc::new(Copied {
                    _copy: copy,
                    _lock: (links == Links::Symbolic).then(|| lock.clone()),
                });
                let _copied = copied.clone();
                let leaves = Arc::new(CopiedLeaves { leaves, _copied });
                let _copied = copied;
                return Ok((leaves, Arc::new(CopiedPast { past, _copied })));
            }
            Err(CopyError::Place(source)) => tried.push(FailedCopy {
                place: place.clone(),
                source,
            }),
            Err(CopyError::Leaves(error)) => return Err(error.into()),
        }
    }
    Err(OpenError::LeafCopy {
        leaves: original,
        tried,
    })
}

/// The reason why a copy was not made.
enum CopyError {
    /// The place cannot be written or is full.
    Place(io::Error),
    /// The leaf store itself cannot be used.
    Leaves(LeafStoreError),
}

impl From<LeafStoreError> for CopyError {
    fn from(error: LeafStoreError) -> Self {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
            error.source()
        });
        let mut of_system = chain.filter_map(|error| error.downcast_ref::<io::Error>());
        let of_place = of_system.find(|error| {
            matches!(
                error.kind(),
                QuotaExceeded | ReadOnlyFilesystem | StorageFull
            )
        });
        match of_place {
            Some(error) => Self::Place(error.kind().into()),
            None => Self::Leaves(error),
        }
    }
}

/// Copies a leaf store to a place and opens the copy.
fn copy_to(
    place: &Path,
    original: &Path,
    key_order: bool,
) -> Result<(CopiedStores, TemporaryDirectory, Links), CopyError> {
    let copy = TemporaryDirectory::create(place, COPY_PREFIX).map_err(CopyError::Place)?;
    let copied = copy.path().join(LEAVES_DIRECTORY);
    let links = copy_leaves(original, &copied).map_err(CopyError::Place)?;
    let options = FjallOptions {
        key_order,
        ..FjallOptions::default()
    };
    let leaves = FjallLeafStore::open(&copied, &options)?;
    Ok(((leaves.snapshot()?, leaves.past()), copy, links))
}

/// Removes the copies that readers left in the directory of a tree when their process was killed.
pub(crate) fn sweep(directory: &Path) {
    temporary::sweep(directory, COPY_PREFIX);
}

/// The kind of links from a copy to the tables of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Links {
    /// The tables stay as long as the copy.
    Hard,
    /// Some tables are lost once the original removes them.
    Symbolic,
}

fn copy_leaves(original: &Path, copy: &Path) -> io::Result<Links> {
    let mut links = Links::Hard;
    let mut directories: Vec<(PathBuf, PathBuf)> = vec![(original.to_owned(), copy.to_owned())];
    while let Some((from, to)) = directories.pop() {
        fs::create_dir_all(&to)?;
        let immutable = from.ends_with(TABLES);
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                directories.push((source, target));
            } else if !immutable {
                copy_file(&source, &target)?;
            } else if fs::hard_link(&source, &target).is_err() {
                symlink(&source, &target)?;
                links = Links::Symbolic;
            }
        }
    }
    Ok(links)
}

/// The bytes that are copied, or skipped, at a time.
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
    use std::os::unix::fs::MetadataExt;

    use trunkline_core::store::leaves::LeafChange;

    use super::*;

    /// Returns a directory with a leaf store of one leaf, and its lock.
    fn stored() -> (tempfile::TempDir, Arc<DirectoryLock>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LEAVES_DIRECTORY);
        let store = FjallLeafStore::open(&path, &FjallOptions::default()).unwrap();
        let leaf = leaf();
        let change = LeafChange {
            key_hash: [7; 32],
            leaf: Some(leaf.borrowed()),
        };
        store.ingest(&mut std::iter::once(change)).unwrap();
        store.sync().unwrap();
        drop(store);
        let lock = DirectoryLock::acquire_shared(directory.path()).unwrap();
        (directory, Arc::new(lock))
    }

    fn leaf() -> Leaf {
        Leaf {
            key: "alice".into(),
            value: "10".into(),
        }
    }

    #[test]
    fn the_first_place_where_a_copy_can_be_made_is_used() {
        let (directory, lock) = stored();
        let (missing, file) = (
            directory.path().join("missing"),
            directory.path().join("file"),
        );
        fs::write(&file, "").unwrap();
        let place = tempfile::tempdir().unwrap();
        let places = [missing, file, place.path().to_owned()];
        let (leaves, past) = open_in(&places, directory.path(), &lock, false).unwrap();
        assert_eq!(leaves.get(&[7; 32]).unwrap(), Some(leaf()));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        drop((leaves, past));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_error_names_all_places_that_were_tried() {
        let (directory, lock) = stored();
        let places = ["one", "two"].map(|name| directory.path().join(name));
        let Err(error) = open_in(&places, directory.path(), &lock, false) else {
            panic!("there is no such place");
        };
        assert!(
            places
                .iter()
                .all(|place| error.to_string().contains(&*place.to_string_lossy()))
        );
        let OpenError::LeafCopy { tried, .. } = error else {
            panic!("{error:?}");
        };
        assert!(
            tried
                .iter()
                .all(|copy| copy.source.kind() == io::ErrorKind::NotFound)
        );
        assert_eq!(tried.len(), 2);
    }

    /// Returns a directory on another file system than a path.
    fn other_file_system(path: &Path) -> Option<tempfile::TempDir> {
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let places = [MEMORY, "/tmp", "/var/tmp", env!("CARGO_MANIFEST_DIR")];
        let mut made = places
            .iter()
            .filter_map(|place| tempfile::tempdir_in(place).ok());
        made.find(|made| device(made.path()) != device(path))
    }

    /// The directory stays locked, since the copy needs the tables of the original.
    #[test]
    fn a_copy_on_another_file_system_links_the_tables_and_keeps_the_lock() {
        let (directory, lock) = stored();
        let other = other_file_system(directory.path());
        let other = other.expect("this test needs two file systems that can be written");
        let (leaves, past) =
            open_in(&[other.path().to_owned()], directory.path(), &lock, false).unwrap();
        drop(lock);
        assert_eq!(leaves.get(&[7; 32]).unwrap(), Some(leaf()));
        assert!(DirectoryLock::acquire(directory.path()).is_err());
        drop((leaves, past));
        assert!(DirectoryLock::acquire(directory.path()).is_ok());
    }

    #[test]
    fn a_store_that_is_damaged_is_no_fault_of_the_place() {
        let (directory, lock) = stored();
        fs::write(directory.path().join("leaves/version"), "FJL?").unwrap();
        let places = [directory.path().to_owned()];
        let opened = open_in(&places, directory.path(), &lock, false);
        assert!(matches!(opened.err(), Some(OpenError::Leaves(_))));
    }

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
