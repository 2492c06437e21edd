//! Keys and values of a load, and the value that each key must hold, without asking the target.
//!
//! A value follows from the seed, the key's index and the number of times that the key was written. So four bytes per
//! key are enough to know the state at the end.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::doubts::Doubts;

/// Most keys of one load. They are counted in memory, with four bytes each.
pub const KEYS_MAX: u64 = 1 << 30;

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// Bit of a write's number that marks the write as a delete.
const DELETED: u32 = 1 << 31;

/// Makes values.
#[derive(Clone, Copy, Debug)]
struct Maker {
    seed: u64,
    value_bytes: usize,
    instance: u32,
}

impl Maker {
    /// Replaces the buffer's content by the value of one write of a key.
    fn value_into(self, index: u64, number: WriteNumber, value: &mut Vec<u8>) {
        let write = index << 32 | u64::from(number.0);
        let seed = self.seed ^ write.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        value.resize(self.value_bytes, 0);
        SmallRng::seed_from_u64(seed).fill_bytes(value);
    }
}

/// Most generators that load one target at once.
pub(crate) const INSTANCES_MAX: u32 = 999;

/// Returns a key as text of 16 bytes: a prefix and the index. For instances above 0, the number of the instance
/// replaces the prefix except its first letter, so that each instance has its own keys.
fn written_key(prefix: &[u8; 4], instance: u32, index: u64) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    let (head, digits) = key.split_at_mut(prefix.len());
    head.copy_from_slice(prefix);
    if instance > 0 {
        write_digits(&mut head[1..], instance.into());
    }
    write_digits(digits, index);
    key
}

/// Writes a number with leading zeros.
fn write_digits(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Number of a key's last write, from 1, with [`DELETED`] if it was a delete. 0 if the key was never written.
#[derive(Clone, Copy, Debug, Default)]
struct WriteNumber(u32);

impl WriteNumber {
    fn next(self, is_delete: bool) -> Self {
        let number = (self.0 & !DELETED).wrapping_add(1) & !DELETED;
        // It wraps after 2^31 writes of one key, and skips 0, which means that the key was never written.
        Self(number.max(1) | if is_delete { DELETED } else { 0 })
    }

    fn is_present(self) -> bool {
        self.0 != 0 && self.0 & DELETED == 0
    }
}

/// All written keys with their numbers of writes, from which the value of each follows.
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
    pub(crate) doubts: Doubts,
}

impl Records {
    /// Creates records without any key. Values will have `value_bytes` bytes.
    pub fn new(seed: u64, value_bytes: usize) -> Self {
        Self::of_instance(0, seed, value_bytes)
    }

    /// Creates records without any key, for one of several generators that load one target at once. Each has its own
    /// keys.
    ///
    /// ```
    /// let records = trunkline_load::Records::of_instance(7, 1, 20);
    /// assert_eq!(records.key(0), *b"u007000000000000");
    /// ```
    pub fn of_instance(instance: u32, seed: u64, value_bytes: usize) -> Self {
        let maker = Maker {
            seed,
            value_bytes,
            instance,
        };
        Self {
            maker,
            writes: Vec::new(),
            doubts: Doubts::default(),
        }
    }

    /// Returns whether the key must hold its [`value`](Self::value). That is uncertain if a batch that wrote it was
    /// refused or failed.
    ///
    /// ```
    /// let mut records = trunkline_load::Records::new(7, 20);
    /// records.put(0);
    /// assert!(records.is_certain(0));
    /// ```
    pub fn is_certain(&self, index: u64) -> bool {
        !self.doubts.is_doubtful(index)
    }

    /// Returns one more than the highest index of a key that was ever written.
    pub fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    /// Returns whether no key was ever written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns the key of an index.
    pub fn key(&self, index: u64) -> [u8; 16] {
        key(self.maker.instance, index)
    }

    /// Returns a key that is never written.
    pub fn absent_key(&self, index: u64) -> [u8; 16] {
        written_key(b"none", self.maker.instance, index)
    }

    /// Returns the value that a key must hold now, or `None` if it must be absent.
    pub fn value(&self, index: u64) -> Option<Vec<u8>> {
        let number = self.number(index);
        number.is_present().then(|| {
            let mut value = Vec::new();
            self.maker.value_into(index, number, &mut value);
            value
        })
    }

    /// Gives the key its next value. Ignores indices of [`KEYS_MAX`] and above.
    pub fn put(&mut self, index: u64) {
        self.write(index, false);
    }

    /// Removes the key. Ignores indices of [`KEYS_MAX`] and above.
    pub fn delete(&mut self, index: u64) {
        self.write(index, true);
    }

    fn number(&self, index: u64) -> WriteNumber {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.writes.get(index).copied().unwrap_or_default()
    }

    fn write(&mut self, index: u64, is_delete: bool) -> WriteNumber {
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

/// Returns the key of an index in an instance.
pub(crate) fn key(instance: u32, index: u64) -> [u8; KEY_BYTES] {
    written_key(b"user", instance, index)
}

/// The value that a key must hold for a batch to take effect.
///
/// See [`Write::requires`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustHold<'a> {
    /// No value.
    Absent,
    /// Exactly this value.
    Value(&'a [u8]),
}

/// One write of a batch.
///
/// ```
/// use trunkline_load::{MustHold, Write};
/// /// Returns whether a write may take effect on what its key holds.
/// fn is_allowed(write: &Write<'_>, held: Option<&[u8]>) -> bool {
///     match write.requires {
///         None => true,
///         Some(MustHold::Absent) => held.is_none(),
///         Some(MustHold::Value(value)) => held == Some(value),
///     }
/// }
/// let write = Write { key: b"alice", value: Some(b"2"), requires: Some(MustHold::Value(b"1")) };
/// assert!(is_allowed(&write, Some(b"1")) && !is_allowed(&write, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its new value; `None` removes the key.
    pub value: Option<&'a [u8]>,
    /// The value that the key must hold before the batch. Only read-modify-writes require one, at most once per key and
    /// batch.
    pub requires: Option<MustHold<'a>>,
}

/// A write in compact form.
#[derive(Clone, Copy, Debug)]
struct Planned {
    index: u32,
    number: WriteNumber,
    before: Option<WriteNumber>,
}

/// Writes that are submitted together, in order. Keys and values are made when they are read, so a target can make them
/// directly in the form that its own service takes.
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
    /// Creates a batch whose values are those of `records`.
    pub fn new(records: &Records) -> Self {
        Self {
            maker: records.maker,
            writes: Vec::new(),
            requirements: 0,
        }
    }

    /// Sets the next value of a key.
    pub fn put(&mut self, records: &mut Records, index: u64) {
        self.add(records, index, false, None);
    }

    /// Sets the next value of a key, on the condition that it holds the value last written to it, or is absent.
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
        if index < KEYS_MAX {
            self.requirements += usize::from(before.is_some());
            self.writes.push(Planned {
                index: index as u32,
                number: records.write(index, is_delete),
                before,
            });
        }
    }

    /// Returns the number of writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Returns whether there are no writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns the number of writes with a requirement.
    pub fn requirements(&self) -> usize {
        self.requirements
    }

    /// Returns the maximum size of the keys and values in bytes, including those of requirements.
    pub fn bytes(&self) -> usize {
        self.writes.len() * (KEY_BYTES + self.maker.value_bytes) + self.requirements * KEY_BYTES
    }

    /// Calls `act` with each write in order.
    pub fn for_each(&self, mut act: impl FnMut(Write<'_>)) {
        let (mut value, mut before) = (Vec::new(), Vec::new());
        for planned in &self.writes {
            let index = u64::from(planned.index);
            let made = |number: WriteNumber, buffer: &mut Vec<u8>| {
                if number.is_present() {
                    self.maker.value_into(index, number, buffer);
                }
                number.is_present()
            };
            let is_put = made(planned.number, &mut value);
            let held = planned.before.map(|number| made(number, &mut before));
            act(Write {
                key: &key(self.maker.instance, index),
                value: is_put.then_some(&value[..]),
                requires: held.map(|is_held| match is_held {
                    true => MustHold::Value(&before),
                    false => MustHold::Absent,
                }),
            });
        }
    }

    /// Returns the indices of the keys that are written.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u64> {
        self.writes.iter().map(|write| u64::from(write.index))
    }

    /// Returns the indices of the keys with a requirement: those that a read-modify-write reads.
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
    fn a_key_that_was_never_written_is_absent() {
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
        assert_eq!(&key(0, 987_654_321), b"user000987654321");
        assert_eq!(&key(42, 987_654_321), b"u042000987654321");
    }

    #[test]
    fn no_two_instances_share_a_key_present_or_absent() {
        let keys = |instance| {
            let records = Records::of_instance(instance, 1, 4);
            [records.key(7), records.absent_key(7)]
        };
        let mut all: Vec<_> = [0, 1, 10, 100, INSTANCES_MAX]
            .into_iter()
            .flat_map(keys)
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10);
    }
}
