//! Reading keys in byte order.
//!
//! The index of the leaf store has the keys of the last checkpoint that the version reads from, and [`RecentKeys`] those
//! of the layers after it. Together they have every key of the version, and some others. Each is looked up as a single
//! read would (`read`), so a range shows what single reads show.
//!
//! [`RecentKeys`]: super::recent_keys::RecentKeys

use std::ops::{Bound, ControlFlow, RangeBounds};

use bytes::Bytes;
use trunkline_core::hash::Digest;
use trunkline_core::store::key_index::KeyScan;

use super::overlay::Overlay;
use super::past::Past;
use super::published::State;
use super::read::ReadError;
use super::values::{FetchError, StoreView};
use super::versions::Version;
use crate::health::Health;
use crate::runtime::wait::yield_point;

/// The entries of a page, unless the range sets another number.
const PAGE_ENTRIES: usize = 1_000;
/// The bytes of keys and values of a page, unless the range sets another number.
const PAGE_BYTES: usize = 1 << 20;
/// Most keys without a value that one page looks at.
const ABSENT_MAX: usize = 4_096;
/// The minimum and maximum number of keys that are taken at once from each list.
const KEYS_AT_ONCE: (usize, usize) = (16, 1_000);

/// A range of keys in byte order, the direction to read it in, and the limits of its pages.
///
/// ```
/// use trunkline::KeyRange;
/// let users = KeyRange::prefix("user/").reversed().entries_max(10);
/// assert!(users.contains(b"user/alice") && !users.contains(b"user0"));
/// assert!(KeyRange::new("a".."c").contains(b"b"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    lower: Bound<Bytes>,
    upper: Bound<Bytes>,
    is_reverse: bool,
    entries_max: usize,
    bytes_max: usize,
}

impl KeyRange {
    /// Returns the range of these bounds, forward.
    pub fn new<K: AsRef<[u8]>>(bounds: impl RangeBounds<K>) -> Self {
        let owned = |bound: Bound<&K>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        Self {
            lower: owned(bounds.start_bound()),
            upper: owned(bounds.end_bound()),
            is_reverse: false,
            entries_max: PAGE_ENTRIES,
            bytes_max: PAGE_BYTES,
        }
    }

    /// Returns the range of all keys, forward.
    pub fn all() -> Self {
        Self::new::<&[u8]>(..)
    }

    /// Returns the range of the keys that begin with these bytes, forward.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        let prefix = prefix.as_ref();
        let mut end = prefix.to_vec();
        // The first key after all that begin with these bytes: the last byte that can be incremented is, and the rest
        // is cut off.
        while end.last() == Some(&0xff) {
            end.pop();
        }
        let upper = match end.last_mut() {
            None => Bound::Unbounded,
            Some(last) => {
                *last += 1;
                Bound::Excluded(end.into())
            }
        };
        Self {
            lower: Bound::Included(Bytes::copy_from_slice(prefix)),
            upper,
            ..Self::all()
        }
    }

    /// Returns the same range in the other direction.
    pub fn reversed(mut self) -> Self {
        self.is_reverse = !self.is_reverse;
        self
    }

    /// Returns the rest of the range behind a key, in its direction: what follows a page with this resume key.
    pub fn after(mut self, key: impl Into<Bytes>) -> Self {
        let behind = Bound::Excluded(key.into());
        match self.is_reverse {
            true => self.upper = behind,
            false => self.lower = behind,
        }
        self
    }

    /// Returns the range with a maximum number of entries of a page; at least 1. The default is 1,000.
    pub fn entries_max(mut self, entries: usize) -> Self {
        self.entries_max = entries.max(1);
        self
    }

    /// Returns the range with a bound of the bytes of a page, keys and values. The default is 1 MiB. A page has more only
    /// if its first entry alone has: then it has that entry and no other.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Returns whether a key is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.scan().contains(key)
    }

    /// Returns whether the last key comes first.
    pub fn is_reverse(&self) -> bool {
        self.is_reverse
    }

    fn scan(&self) -> KeyScan<'_> {
        KeyScan {
            lower: self.lower.as_ref().map(|key| &key[..]),
            upper: self.upper.as_ref().map(|key| &key[..]),
            is_reverse: self.is_reverse,
        }
    }
}

/// Some keys and values of a range, in its order.
///
/// A page may have fewer entries than it may hold, or none, and a resume key: it looks at 4,096 keys without a value at
/// most, such as keys that were deleted after the last checkpoint. A page without a resume key is the last.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let mut config = trunkline::Config::in_directory(directory.path());
/// config.store.key_order = true;
/// let engine = trunkline::Engine::open_blocking(config)?;
/// for key in ["a", "b", "c"] {
///     engine.put_blocking(key, "1")?.durable_blocking()?;
/// }
/// let range = trunkline::KeyRange::all().entries_max(2);
/// let first = engine.snapshot().range(&range)?;
/// assert_eq!(first.entries.len(), 2);
/// let second = engine.snapshot().range(&range.after(first.resume.unwrap()))?;
/// assert_eq!(second.entries, [("c".into(), "1".into())]);
/// assert_eq!(second.resume, None);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangePage {
    /// The keys and values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// The last key that was looked at, if the range may have more behind it: pass it to [`KeyRange::after`].
    pub resume: Option<Bytes>,
}

/// Keys that may have a value, in the order of a scan.
struct Candidates {
    keys: Vec<Bytes>,
    /// True if there may be more after the last one.
    has_more: bool,
}

/// The first keys of accepted writes in a range. They are taken once for many candidates, since taking them looks at every
/// accepted write.
#[derive(Default)]
struct AcceptedKeys {
    keys: Vec<Bytes>,
    /// True if there may be more after the last one.
    has_more: bool,
}

impl AcceptedKeys {
    fn take(overlay: &Overlay, scan: &KeyScan<'_>) -> Self {
        let keys = overlay.keys(scan, KEYS_AT_ONCE.1);
        let has_more = keys.len() == KEYS_AT_ONCE.1;
        Self { keys, has_more }
    }

    /// Returns the keys within the rest of the range. Keys that were accepted after the first look need not be among
    /// them, and those that were applied since are listed elsewhere.
    fn within(&mut self, overlay: &Overlay, scan: &KeyScan<'_>, count: usize) -> Vec<Bytes> {
        self.keys.retain(|key| scan.contains(key));
        if self.keys.len() < count && self.has_more {
            *self = Self::take(overlay, scan);
        }
        self.keys.iter().take(count).cloned().collect()
    }
}

/// A page that is being filled.
struct Filling<'a> {
    range: &'a KeyRange,
    page: RangePage,
    bytes: usize,
    absent: usize,
}

impl Filling<'_> {
    /// Returns whether another key may be looked up.
    fn has_room(&self) -> bool {
        let (entries, range) = (self.page.entries.len(), self.range);
        let is_full = entries >= range.entries_max || self.bytes >= range.bytes_max;
        self.absent < ABSENT_MAX && (entries == 0 || !is_full)
    }

    /// Adds a key that was looked up. Returns false if it does not fit: the page ends before it.
    fn add(&mut self, key: Bytes, value: Option<Bytes>) -> bool {
        match value {
            None => self.absent += 1,
            Some(value) => {
                let bytes = self.bytes + key.len() + value.len();
                if bytes > self.range.bytes_max && !self.page.entries.is_empty() {
                    return false;
                }
                self.bytes = bytes;
                self.page.entries.push((key.clone(), value));
            }
        }
        self.page.resume = Some(key);
        true
    }
}

impl State {
    /// Returns the first page of a range at a version.
    ///
    /// # Errors
    ///
    /// Fails if there is no index, if the version has expired, or if the leaf store cannot be read.
    pub fn range_at(&self, version: &Version, range: &KeyRange) -> Result<RangePage, ReadError> {
        let candidates = |scan: &KeyScan<'_>, count| {
            let recent = self.recent(version.number(), scan, count);
            let stored = stored(&self.store_of(version), scan, count)?;
            Ok(merged(vec![recent, stored], count, scan.is_reverse))
        };
        let page = self.page(range, candidates, |key_hash| self.get_at(version, key_hash));
        self.check_readable(version.number())?;
        page
    }

    /// Returns the first page of a range at a version that memory does not keep. The keys that it had are among those that
    /// the index has now, those of layers, and those that were deleted since.
    ///
    /// # Errors
    ///
    /// Fails if there is no index, if the version was pruned, or if a store cannot be read.
    pub fn range_past(
        &self,
        past: &Past,
        version: u64,
        range: &KeyRange,
    ) -> Result<RangePage, ReadError> {
        let candidates = |scan: &KeyScan<'_>, count| {
            let recent = self.recent(self.present(), scan, count);
            // A key that the view has no more was stored as deleted before.
            let mut lists = vec![recent, stored(&self.values.store(), scan, count)?];
            yield_point();
            lists.extend(past.deleted_keys(version, scan, count)?);
            Ok(merged(lists, count, scan.is_reverse))
        };
        let page = self.page(range, candidates, |key_hash| {
            let found = past.get(&self.values, version, key_hash)?;
            Ok(found.map(|(_, value)| value))
        });
        past.check(version)?;
        page
    }

    /// Returns the first page of a range, each key with its latest accepted value.
    ///
    /// # Errors
    ///
    /// Fails if there is no index, if the engine has failed, or if the leaf store cannot be read.
    pub fn range_latest(&self, health: &Health, range: &KeyRange) -> Result<RangePage, ReadError> {
        health.check()?;
        let mut accepted = AcceptedKeys::take(&self.overlay, &range.scan());
        // A key moves from the accepted ones to those of layers and of the index, and is in the next before it leaves the
        // one before: so the look at them is in this order, too, and misses none.
        let candidates = |scan: &KeyScan<'_>, count| {
            let accepted = accepted.within(&self.overlay, scan, count);
            let recent = self.recent(self.present(), scan, count);
            let stored = stored(&self.values.store(), scan, count)?;
            Ok(merged(
                vec![accepted, recent, stored],
                count,
                scan.is_reverse,
            ))
        };
        self.page(range, candidates, |key_hash| {
            self.get_latest(health, key_hash)
        })
    }

    /// Returns a page of the candidates that have a value. `candidates` returns the first ones of a scan: at least this
    /// many, or all.
    fn page(
        &self,
        range: &KeyRange,
        mut candidates: impl FnMut(&KeyScan<'_>, usize) -> Result<Candidates, ReadError>,
        get: impl Fn(&Digest) -> Result<Option<Bytes>, ReadError>,
    ) -> Result<RangePage, ReadError> {
        if !self.settings.config().store.key_order {
            return Err(ReadError::NoKeyOrder);
        }
        let mut filling = Filling {
            range,
            page: RangePage::default(),
            bytes: 0,
            absent: 0,
        };
        let mut rest = range.clone();
        loop {
            let (least, most) = KEYS_AT_ONCE;
            let wanted = range.entries_max - filling.page.entries.len();
            let count = wanted.saturating_add(1).clamp(least, most);
            let found = candidates(&rest.scan(), count)?;
            for key in found.keys {
                if !filling.has_room() {
                    return Ok(filling.page);
                }
                let value = get(&self.params.key_hash(&key))?;
                if !filling.add(key, value) {
                    return Ok(filling.page);
                }
            }
            let mut page = filling.page;
            if !found.has_more {
                page.resume = None;
                return Ok(page);
            }
            if let Some(last) = &page.resume {
                rest = rest.after(last.clone());
            }
            filling.page = page;
        }
    }

    /// Returns the first keys of a scan that layers of versions up to one have put, and perhaps later ones.
    fn recent(&self, version: u64, scan: &KeyScan<'_>, count: usize) -> Vec<Bytes> {
        let mut recent = Vec::new();
        let layers = |version| self.values.layers_after(version);
        self.recent_keys.scan(version, layers, scan, |key| {
            recent.push(key.clone());
            recent.len() < count
        });
        recent
    }
}

/// Returns the first keys of a scan that the index has in a view of the leaf store.
fn stored(view: &StoreView, scan: &KeyScan<'_>, count: usize) -> Result<Vec<Bytes>, FetchError> {
    let (mut stored, leaves) = (Vec::new(), view.leaves()?);
    leaves.scan_keys(scan, &mut |key| {
        stored.push(Bytes::copy_from_slice(key));
        match stored.len() < count {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(stored)
}

/// Merges lists of keys that are in the order of a scan. A list of `count` keys may have more behind them, so nothing
/// behind its last key is taken from the other lists.
fn merged(lists: Vec<Vec<Bytes>>, count: usize, is_reverse: bool) -> Candidates {
    let is_before = |a: &Bytes, b: &Bytes| match is_reverse {
        true => a > b,
        false => a < b,
    };
    let mut end: Option<Bytes> = None;
    for last in lists.iter().filter(|list| list.len() >= count) {
        let last = &last[last.len() - 1];
        if end.as_ref().is_none_or(|end| is_before(last, end)) {
            end = Some(last.clone());
        }
    }
    let mut keys = lists.concat();
    keys.retain(|key| end.as_ref().is_none_or(|end| !is_before(end, key)));
    keys.sort_unstable();
    if is_reverse {
        keys.reverse();
    }
    keys.dedup();
    Candidates {
        keys,
        has_more: end.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_does_not_begin_with_it() {
        for (prefix, within, behind) in [
            (&b"ab"[..], &b"ab\xff\xff"[..], Some(&b"ac"[..])),
            (b"a\xff", b"a\xff\xff", Some(b"b")),
            (b"\xff\xff", b"\xff\xff\xff", None),
            (b"", b"\0", None),
        ] {
            let range = KeyRange::prefix(prefix);
            assert!(range.contains(within));
            assert!(behind.is_none_or(|behind| !range.contains(behind)));
        }
    }

    #[test]
    fn a_page_ends_at_its_bounds_and_after_many_keys_without_a_value() {
        let range = KeyRange::all().bytes_max(10).entries_max(3);
        let filling = || Filling {
            range: &range,
            page: RangePage::default(),
            bytes: 0,
            absent: 0,
        };
        let value = |bytes: usize| Some(Bytes::from(vec![0; bytes]));
        let mut exact = filling();
        assert!(exact.add("a".into(), value(4)) && exact.has_room());
        assert!(!exact.add("b".into(), value(5)));
        assert!(exact.add("b".into(), value(4)) && !exact.has_room());
        assert_eq!(exact.page.resume, Some("b".into()));
        let mut large = filling();
        assert!(large.add("a".into(), value(99)) && !large.has_room());
        let mut absent = filling();
        for _ in 0..ABSENT_MAX {
            assert!(absent.has_room() && absent.add("a".into(), None));
        }
        assert!(!absent.has_room() && absent.page.resume.is_some());
    }

    #[test]
    fn a_merge_ends_where_a_list_may_have_more() {
        let keys = |keys: &str| -> Vec<Bytes> {
            let each = keys.bytes().map(|key| Bytes::copy_from_slice(&[key]));
            each.collect()
        };
        let found = merged(vec![keys("bd"), keys("ace"), keys("")], 3, false);
        assert_eq!((found.keys, found.has_more), (keys("abcde"), true));
        let found = merged(vec![keys("gf"), keys("gec"), keys("a")], 3, true);
        assert_eq!((found.keys, found.has_more), (keys("gfec"), true));
        let found = merged(vec![keys("b"), keys("ab"), keys("c")], 3, false);
        assert_eq!((found.keys, found.has_more), (keys("abc"), false));
    }
}
