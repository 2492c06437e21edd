//! The past: values, digests and records of versions that memory does not keep any more.
//!
//! An entry says what was there *until* a version. So what version V saw is in the first entry after V; if there is none,
//! nothing changed since, and the present has it. Entries are never wrong, however far the present has gone on, and
//! writing one again changes nothing.
//!
//! Entries lie in segments, each with the entries of consecutive versions. The oldest segment is removed as a whole when
//! it is not wanted any more. Not here: when versions are stored, and where the present is (the engine).

mod entry;
#[cfg(feature = "fjall")]
mod fjall_past;
mod memory;

use std::ops::{ControlFlow, RangeInclusive};

pub use entry::{
    ENTRY_BYTES_MAX, PastDigest, PastKey, PastSubmissions, PastVersion, TOP_NODE, decode_digest,
    decode_leaf, decode_version, deleted_key, digest_key, encode_digest, encode_leaf,
    encode_version, value_key, version_key,
};
#[cfg(feature = "fjall")]
pub(super) use fjall_past::FjallPast;
pub use memory::MemoryPast;

use super::leaves::LeafStoreError;

/// A segment of a store.
///
/// ```
/// use trunkline_core::store::past::{MemoryPast, PastStore};
/// assert!(MemoryPast::default().segments()?.is_empty());
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of the segment: that of the first version in it.
    pub number: u64,
    /// The bytes that it takes.
    pub bytes: u64,
}

/// The encoded key and the encoded content of an entry to store.
pub type PastEntry = (Vec<u8>, Vec<u8>);

/// The callback of a scan for each entry: key and content. `Break` ends the scan.
pub type PastVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A store of entries of the past.
///
/// After a crash, an ingestion that [`PastStore::sync`] did not follow is complete or missing.
///
/// ```
/// use std::ops::ControlFlow;
/// use trunkline_core::store::past::{MemoryPast, PastStore, digest_key, version_key};
/// let store = MemoryPast::default();
/// let entries = [(digest_key(0, 1, 8).to_vec(), vec![1]), (version_key(8).to_vec(), vec![2])];
/// store.ingest(7, &mut entries.into_iter().map(Ok))?;
/// store.sync()?;
/// let mut seen = 0;
/// store.scan(7, vec![0]..=vec![0xff], &mut |_, _| {
///     seen += 1;
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(seen, 2);
/// store.remove(7)?;
/// assert!(store.segments()?.is_empty());
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
pub trait PastStore: Send + Sync + 'static {
    /// Returns the segments in ascending order.
    fn segments(&self) -> Result<Vec<Segment>, LeafStoreError>;
    /// Adds entries that ascend strictly by key to a segment, which is created if it is missing. An existing entry is
    /// replaced. If an entry is an error, nothing is added.
    fn ingest(
        &self,
        segment: u64,
        entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
    ) -> Result<(), LeafStoreError>;
    /// Makes every ingestion that returned before this call durable.
    fn sync(&self) -> Result<(), LeafStoreError>;
    /// Visits the entries of a segment in a range of keys, ascending. A segment that was removed has none.
    fn scan(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError>;
    /// Does what [`PastStore::scan`] does, descending.
    fn scan_back(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError>;
    /// Returns the last key of a segment.
    fn last_key(&self, segment: u64) -> Result<Option<Vec<u8>>, LeafStoreError>;
    /// Removes a segment. Scans that have begun may continue without an error.
    fn remove(&self, segment: u64) -> Result<(), LeafStoreError>;
}

/// Passes on entries until one does not ascend.
fn ascending(
    entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
) -> impl Iterator<Item = Result<PastEntry, LeafStoreError>> {
    let mut previous: Option<Vec<u8>> = None;
    entries.enumerate().map(move |(index, entry)| {
        let (key, content) = entry?;
        if previous.as_ref().is_some_and(|previous| *previous >= key) {
            return Err(LeafStoreError::Order { index });
        }
        previous = Some(key.clone());
        Ok((key, content))
    })
}
