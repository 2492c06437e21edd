//! Keys and values of a load, and what each key must hold: nothing here asks the target.
//!
//! A value follows from the seed, the key's index and how often the key was written, so what a state must be at
//! the end is known from four bytes a key.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Most keys of one load: they are counted in memory, four bytes each.
pub const KEYS_MAX: u64 = 1 << 30;

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// In a write's number: it was a delete.
const DELETED: u32 = 1 << 31;

/// How keys and values are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    seed: u64,
    value_bytes: usize,
}

impl Maker {
    pub(crate) fn new(seed: u64, value_bytes: usize) -> Self {
        Self { seed, value_bytes }
    }

    /// Replaces the buffer's content by the value of one write of a key.
    fn value_into(self, index: u64, number: u32, value: &mut Vec<u8>) {
        let place = index << 32 | u64::from(number);
        let seed = self.seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        value.resize(self.value_bytes, 0);
        SmallRng::seed_from_u64(seed).fill_bytes(value);
    }
}

/// A key as text of 16 bytes: a prefix and the index.
fn written_key(prefix: &[u8; 4], index: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    let (head, digits) = key.split_at_mut(prefix.len());
    head.copy_from_slice(prefix);
    let mut rest = index;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// The write of a key that a number stands for, after `number & !DELETED` writes before and with it. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteNumber(u32);

impl WriteNumber {
    fn next(self, is_delete: bool) -> Self {
        let number = (self.0 & !DELETED).wrapping_add(1) & !DELETED;
        // It wraps after 2^31 writes of one key; 0 would mean none.
        Self(number.max(1) | if is_delete { DELETED } else { 0 })
    }

    pub(crate) fn is_present(self) -> bool {
        self.0 != 0 && self.0 & DELETED == 0
    }
}

/// All keys that were written, how often, and so what each must hold.
///
/// ```
/// let mut records = trunkline_load::Records::new(7, 20);
/// assert_eq!(records.value(0), None);
/// records.put(0);
/// let first = records.value(0).unwrap();
/// records.put(0);
/// assert_ne!(records.value(0).unwrap(), first);
/// records.delete(0);
/// assert_eq!(records.value(0), None);
/// assert_eq!(records.key(0), *b"user000000000000");
/// ```
#[derive(Clone, Debug)]
pub struct Records {
    maker: Maker,
    writes: Vec<WriteNumber>,
}

impl Records {
    /// No key yet; values are of so many bytes.
    pub fn new(seed: u64, value_bytes: usize) -> Self {
        Self {
            maker: Maker::new(seed, value_bytes),
            writes: Vec::new(),
        }
    }

    /// One more than the highest index of a key that was ever written.
    pub fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    /// Whether no key was ever written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// A key that is or will be written.
    pub fn key(&self, index: u64) -> [u8; 16] {
        key(index)
    }

    /// A key that never is.
    pub fn absent_key(&self, index: u64) -> [u8; 16] {
        written_key(b"none", index)
    }

    /// What a key must hold now, `None` if it must be absent.
    pub fn value(&self, index: u64) -> Option<Vec<u8>> {
        let number = self.number(index);
        number.is_present().then(|| {
            let mut value = Vec::new();
            self.maker.value_into(index, number.0, &mut value);
            value
        })
    }

    /// The key gets its next value. Indices of [`KEYS_MAX`] and above are passed over.
    pub fn put(&mut self, index: u64) {
        self.write(index, false);
    }

    /// The key is removed. Indices of [`KEYS_MAX`] and above are passed over.
    pub fn delete(&mut self, index: u64) {
        self.write(index, true);
    }

    pub(crate) fn maker(&self) -> Maker {
        self.maker
    }

    pub(crate) fn number(&self, index: u64) -> WriteNumber {
        let number = usize::try_from(index)
            .ok()
            .and_then(|index| self.writes.get(index));
        number.copied().unwrap_or_default()
    }

    pub(crate) fn write(&mut self, index: u64, is_delete: bool) -> WriteNumber {
        if index >= KEYS_MAX {
            return WriteNumber::default();
        }
        let index = index as usize;
        if index >= self.writes.len() {
            self.writes.resize(index + 1, WriteNumber::default());
        }
        let number = self.writes[index].next(is_delete);
        self.writes[index] = number;
        number
    }
}

/// The key of an index.
pub(crate) fn key(index: u64) -> [u8; KEY_BYTES] {
    written_key(b"user", index)
}

/// What must hold of a key for a batch to take effect.
///
/// ```
/// use trunkline_load::MustHold;
/// assert_ne!(MustHold::Absent, MustHold::Value(b""));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustHold<'a> {
    /// It has no value.
    Absent,
    /// It has exactly this value.
    Value(&'a [u8]),
}

/// One write of a batch.
///
/// ```
/// let write = trunkline_load::Write { key: b"alice", value: None, requires: None };
/// assert!(write.value.is_none()); // a delete
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its new value; `None` removes the key.
    pub value: Option<&'a [u8]>,
    /// What the key must hold before the batch: read-modify-writes ask for it, once a key and batch.
    pub requires: Option<MustHold<'a>>,
}

/// A write in a few bytes.
#[derive(Clone, Copy, Debug)]
struct Planned {
    index: u32,
    number: WriteNumber,
    before: Option<WriteNumber>,
}

/// Writes that are submitted together, in order. Keys and values are made when they are looked at, so that
/// whoever submits makes them straight in the form that its own service takes.
///
/// ```
/// use trunkline_load::{Records, WriteBatch};
/// let mut records = Records::new(1, 100);
/// let mut batch = WriteBatch::new(&records);
/// batch.put(&mut records, 0);
/// batch.delete(&mut records, 1);
/// let mut seen = Vec::new();
/// batch.for_each(|write| seen.push((write.key.to_vec(), write.value.map(<[u8]>::to_vec))));
/// assert_eq!(seen[0], (records.key(0).to_vec(), records.value(0)));
/// assert_eq!(seen[1], (records.key(1).to_vec(), None));
/// ```
#[derive(Clone, Debug)]
pub struct WriteBatch {
    maker: Maker,
    writes: Vec<Planned>,
    requirements: usize,
}

impl WriteBatch {
    /// A batch without writes, for values such as these records know.
    pub fn new(records: &Records) -> Self {
        Self::with_capacity(records, 0)
    }

    /// The same, with room for so many writes.
    pub fn with_capacity(records: &Records, writes: usize) -> Self {
        Self {
            maker: records.maker(),
            writes: Vec::with_capacity(writes),
            requirements: 0,
        }
    }

    /// Sets the next value of a key.
    pub fn put(&mut self, records: &mut Records, index: u64) {
        self.add(records, index, false, None);
    }

    /// Sets the next value of a key, provided that it holds what was written to it last, or is absent.
    pub fn replace(&mut self, records: &mut Records, index: u64) {
        let before = records.number(index);
        self.add(records, index, false, Some(before));
    }

    /// Removes a key.
    pub fn delete(&mut self, records: &mut Records, index: u64) {
        self.add(records, index, true, None);
    }

    fn add(
        &mut self,
        records: &mut Records,
        index: u64,
        is_delete: bool,
        before: Option<WriteNumber>,
    ) {
        if index >= KEYS_MAX {
            return;
        }
        let number = records.write(index, is_delete);
        self.requirements += usize::from(before.is_some());
        self.writes.push(Planned {
            index: index as u32,
            number,
            before,
        });
    }

    /// Writes in it.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Writes that require something of their key.
    pub fn requirements(&self) -> usize {
        self.requirements
    }

    /// Bytes of keys and values at most, those of requirements included.
    pub fn bytes(&self) -> usize {
        self.writes.len() * (KEY_BYTES + self.maker.value_bytes) + self.requirements * KEY_BYTES
    }

    /// Each write in order.
    pub fn for_each(&self, mut act: impl FnMut(Write<'_>)) {
        let (mut value, mut before) = (Vec::new(), Vec::new());
        for planned in &self.writes {
            let index = u64::from(planned.index);
            let is_put = planned.number.is_present();
            if is_put {
                self.maker.value_into(index, planned.number.0, &mut value);
            }
            if let Some(number) = planned.before.filter(|number| number.is_present()) {
                self.maker.value_into(index, number.0, &mut before);
            }
            act(Write {
                key: &key(index),
                value: is_put.then_some(&value[..]),
                requires: planned.before.map(|number| match number.is_present() {
                    true => MustHold::Value(&before),
                    false => MustHold::Absent,
                }),
            });
        }
    }

    /// Indices of the keys that something is required of: those that a read-modify-write reads.
    pub(crate) fn required(&self) -> impl Iterator<Item = u64> {
        let required = self.writes.iter().filter(|write| write.before.is_some());
        required.map(|write| u64::from(write.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_from_seed_key_and_number_of_writes() {
        let mut records = Records::new(7, 20);
        records.put(0);
        let first = records.value(0).unwrap();
        records.put(1);
        records.put(0);
        let second = records.value(0).unwrap();
        assert!(first != second && first.len() == 20);
        assert_ne!(records.value(1).unwrap(), second);

        let mut again = Records::new(7, 20);
        again.put(0);
        assert_eq!(again.value(0).unwrap(), first);
        let mut another_seed = Records::new(8, 20);
        another_seed.put(0);
        assert_ne!(another_seed.value(0).unwrap(), first);
    }

    #[test]
    fn a_key_that_was_passed_over_is_absent() {
        let mut records = Records::new(1, 4);
        records.put(3);
        assert_eq!(records.len(), 4);
        assert_eq!(records.value(2), None);
        records.put(KEYS_MAX);
        assert_eq!(records.len(), 4);
    }

    #[test]
    fn a_deleted_key_can_be_written_again() {
        let mut records = Records::new(1, 4);
        records.put(0);
        let first = records.value(0);
        records.delete(0);
        assert_eq!(records.value(0), None);
        records.put(0);
        assert!(records.value(0).is_some() && records.value(0) != first);
    }

    #[test]
    fn a_replacement_requires_what_was_written_last() {
        let mut records = Records::new(1, 4);
        records.put(0);
        let before = records.value(0).unwrap();
        let mut batch = WriteBatch::new(&records);
        batch.replace(&mut records, 0);
        batch.replace(&mut records, 1);
        let mut seen = 0;
        batch.for_each(|write| {
            let expected = match seen {
                0 => MustHold::Value(&before),
                _ => MustHold::Absent,
            };
            assert_eq!(write.requires, Some(expected));
            seen += 1;
        });
        assert_eq!((seen, batch.requirements()), (2, 2));
    }

    #[test]
    fn keys_are_written_with_leading_zeros() {
        assert_eq!(&key(987_654_321), b"user000987654321");
    }
}
