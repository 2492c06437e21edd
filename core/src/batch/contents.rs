//! Keys and values of many writes in one allocation.
//!
//! `prepare` determines their order.

use bytes::Bytes;

/// The ratio of an allocation to a value up to which the value shares it. A shared value keeps the whole allocation
/// alive.
const HELD_TIMES_MAX: usize = 4;

/// Keys and values in path order, next to each other in one allocation.
///
/// ```
/// use trunkline_core::batch::{Batch, BatchLimits, Contents};
/// use trunkline_core::params::TreeParams;
/// let mut batch = Batch::new();
/// batch.put("alice", "10");
/// let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None).unwrap();
/// let contents: &Contents = &prepared.contents;
/// assert_eq!((contents.key(0), contents.value(0)), (&b"alice"[..], Some(&b"10"[..])));
/// assert_eq!(contents.held_value(0).as_deref(), Some(&b"10"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    bytes: Bytes,
    entries: Vec<Entry>,
}

/// The position of a key; its value follows it, up to the next key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u32,
    key_bytes: u16,
    is_put: bool,
}

impl Contents {
    /// Returns the key at an index.
    ///
    /// # Panics
    ///
    /// Panics if there is no such index, as do the methods below.
    pub fn key(&self, place: usize) -> &[u8] {
        let entry = self.entries[place];
        &self.bytes[entry.start as usize..][..usize::from(entry.key_bytes)]
    }

    /// Returns the value at an index, or `None` for a delete.
    pub fn value(&self, place: usize) -> Option<&[u8]> {
        let (start, end) = self.value_range(place)?;
        Some(&self.bytes[start..end])
    }

    /// Returns the value at an index, to keep: a copy if the value is small compared with its allocation.
    pub fn held_value(&self, place: usize) -> Option<Bytes> {
        let (start, end) = self.value_range(place)?;
        if (end - start) * HELD_TIMES_MAX < self.bytes.len() {
            return Some(Bytes::copy_from_slice(&self.bytes[start..end]));
        }
        Some(self.bytes.slice(start..end))
    }

    /// Returns the size of all keys and values and of their index, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.entries.capacity() * size_of::<Entry>()
    }

    fn value_range(&self, place: usize) -> Option<(usize, usize)> {
        let entry = self.entries[place];
        let start = entry.start as usize + usize::from(entry.key_bytes);
        let next = self.entries.get(place + 1);
        let end = next.map_or(self.bytes.len(), |next| next.start as usize);
        entry.is_put.then_some((start, end))
    }
}

/// Contents under construction. Keys and values are within bounds, and fewer than 4 GiB in total.
#[derive(Debug)]
pub(super) struct ContentsBuilder {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl ContentsBuilder {
    pub(super) fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            entries: Vec::with_capacity(entries),
        }
    }

    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.entries.push(Entry {
            start: self.bytes.len() as u32,
            key_bytes: key.len() as u16,
            is_put: value.is_some(),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    pub(super) fn finish(mut self) -> Contents {
        // Superseded writes left unused capacity.
        self.bytes.shrink_to_fit();
        Contents {
            bytes: self.bytes.into(),
            entries: self.entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_read_back_with_its_value_or_without() {
        let mut builder = ContentsBuilder::with_capacity(0, 0);
        let entries: [(&[u8], Option<&[u8]>); 4] = [
            (b"alice", Some(b"10")),
            (b"bob", None),
            (b"c", Some(b"")),
            (b"dora", Some(b"7")),
        ];
        entries
            .iter()
            .for_each(|(key, value)| builder.push(key, *value));
        let contents = builder.finish();
        for (place, (key, value)) in entries.into_iter().enumerate() {
            assert_eq!((contents.key(place), contents.value(place)), (key, value));
            assert_eq!(contents.held_value(place).as_deref(), value);
        }
    }

    #[test]
    fn a_small_value_does_not_hold_its_batch() {
        let mut builder = ContentsBuilder::with_capacity(2, 0);
        builder.push(b"small", Some(b"1"));
        builder.push(b"large", Some(&[2; 100]));
        let contents = builder.finish();
        let within = |value: &Bytes| contents.bytes.as_ptr_range().contains(&value.as_ptr());
        assert!(!within(&contents.held_value(0).unwrap()));
        assert!(within(&contents.held_value(1).unwrap()));
    }
}
