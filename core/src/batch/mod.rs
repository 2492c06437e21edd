//! A caller's batch, and its preparation for the tree: checked, hashed, sorted by path, with only the last write to
//! each key.
//!
//! Keys and values of a batch are in one buffer, before preparation (in the caller's order) and after it (`contents`,
//! in path order): nothing is allocated per operation. Preparation (`prepare`) is pure and runs on the caller's thread,
//! so that hashing scales with the callers and no stage of the pipeline waits for it.

mod contents;
mod find;
mod prepare;

pub use contents::Contents;
use contents::ContentsBuilder;
pub use find::{find_ascending, head};
pub use prepare::{
    leaf_digest, path_order, provisional_root, provisional_start, revert_digest, value_hash,
};

use bytes::Bytes;

use crate::hash::{self, Digest, ZERO};
use crate::outcome::IdempotencyKey;
use crate::params::{KEY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX};

/// Least size in bytes of a value that is hashed by several threads.
pub const PARALLEL_HASH_BYTES_MIN: usize = 256 * 1024;

/// A condition on a key that must hold for a submission to take effect.
///
/// ```
/// use trunkline_core::batch::Requirement;
/// let unchanged = Requirement::value(b"old");
/// assert_eq!(unchanged, Requirement::ValueHash(trunkline_core::hash::hash(b"old")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The key has no value.
    Absent,
    /// The BLAKE3 hash of the key's value.
    ValueHash(Digest),
}

impl Requirement {
    /// Requires that the key has exactly this value.
    pub fn value(value: &[u8]) -> Self {
        Self::ValueHash(hash::hash(value))
    }
}

/// Puts and deletes that take effect atomically, in the order given: of several writes
/// to one key, the last one counts. Requirements are checked against the state before the batch.
///
/// ```
/// use trunkline_core::batch::{Batch, Requirement};
/// let mut batch = Batch::new();
/// batch.put("alice", "10").delete("bob").require("alice", Requirement::Absent);
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Keys and values, one after the other.
    arena: Vec<u8>,
    operations: Vec<Span>,
    requirements: Vec<(Span, Requirement)>,
    metadata: Bytes,
    idempotency_key: IdempotencyKey,
}

/// The position of a key and its value in the arena. Lengths saturate; saturated lengths are refused.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    key_bytes: u32,
    /// Length of the value; [`NO_VALUE`] for a delete.
    value_bytes: u32,
}

const NO_VALUE: u32 = u32::MAX;

impl Batch {
    /// Returns an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty batch with capacity for a number of operations and of bytes of keys and values.
    pub fn with_capacity(operations: usize, bytes: usize) -> Self {
        Self {
            arena: Vec::with_capacity(bytes),
            operations: Vec::with_capacity(operations),
            ..Self::default()
        }
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        let span = self.append(key.as_ref(), Some(value.as_ref()));
        self.operations.push(span);
        self
    }

    /// Removes a key; an absent key stays absent.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        let span = self.append(key.as_ref(), None);
        self.operations.push(span);
        self
    }

    /// Makes the batch conditional: it takes effect only if this holds of the state before it.
    pub fn require(&mut self, key: impl AsRef<[u8]>, requirement: Requirement) -> &mut Self {
        let span = self.append(key.as_ref(), None);
        self.requirements.push((span, requirement));
        self
    }

    /// Sets the caller's own bytes for the commit record. A batch with metadata is the last of its version.
    pub fn metadata(&mut self, metadata: impl Into<Bytes>) -> &mut Self {
        self.metadata = metadata.into();
        self
    }

    /// Sets the idempotency key, so that the batch can be submitted again without taking effect twice: if the engine
    /// still remembers the key, a repeat gets the receipt of the first submission. A batch with other content is then
    /// refused. An empty key means none.
    ///
    /// ```
    /// use trunkline_core::batch::Batch;
    /// use trunkline_core::outcome::IdempotencyKey;
    /// let key = IdempotencyKey::new(b"payment 17").ok_or("longer than 64 bytes")?;
    /// let mut batch = Batch::new();
    /// batch.put("alice", "10").idempotency_key(key);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn idempotency_key(&mut self, key: IdempotencyKey) -> &mut Self {
        self.idempotency_key = key;
        self
    }

    /// Returns the number of operations in the batch.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns whether the batch has no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Returns the size of the keys and values in bytes.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Returns the number of operations and requirements.
    fn priced_operations(&self) -> usize {
        self.operations.len() + self.requirements.len()
    }

    fn append(&mut self, key: &[u8], value: Option<&[u8]>) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value.unwrap_or_default());
        let clamp = |bytes: usize| u32::try_from(bytes).unwrap_or(NO_VALUE).min(NO_VALUE - 1);
        Span {
            start,
            key_bytes: clamp(key.len()),
            value_bytes: value.map_or(NO_VALUE, |value| clamp(value.len())),
        }
    }

    /// Returns the key of a span whose length was checked.
    fn key(&self, span: &Span) -> &[u8] {
        &self.arena[span.start..][..span.key_bytes as usize]
    }

    /// Returns the value of a span whose lengths were checked.
    fn value(&self, span: &Span) -> Option<&[u8]> {
        let value = &self.arena[span.start + span.key_bytes as usize..];
        (span.value_bytes != NO_VALUE).then(|| &value[..span.value_bytes as usize])
    }

    /// Checks the batch completely. This computes no hash, so that a refused batch costs little, and a batch that waits
    /// for admission is not hashed yet.
    pub fn check(self, limits: &BatchLimits) -> Result<CheckedBatch, BatchError> {
        self.find_fault(limits)?;
        Ok(CheckedBatch { batch: self })
    }

    fn find_fault(&self, limits: &BatchLimits) -> Result<(), BatchError> {
        let operations = self.priced_operations();
        if operations == 0 && self.metadata.is_empty() {
            return Err(BatchError::Empty);
        }
        let operations_max = limits.operations_max.min(u32::MAX as usize);
        if operations > operations_max {
            return Err(BatchError::TooManyOperations {
                operations,
                operations_max,
            });
        }
        if self.metadata.len() > METADATA_BYTES_MAX {
            return Err(BatchError::MetadataTooLong {
                bytes: self.metadata.len(),
            });
        }
        let required = self.requirements.iter().map(|(span, _)| span);
        for (index, span) in self.operations.iter().chain(required).enumerate() {
            check_key_bytes(index, span.key_bytes as usize)?;
        }
        for (index, span) in self.operations.iter().enumerate() {
            let bytes = span.value_bytes as usize;
            if span.value_bytes != NO_VALUE && bytes > VALUE_BYTES_MAX {
                return Err(BatchError::ValueTooLong { index, bytes });
            }
        }
        let bytes_max = limits.bytes_max.min(u32::MAX as usize);
        if self.bytes() > bytes_max {
            return Err(BatchError::TooManyBytes {
                bytes: self.bytes(),
                bytes_max,
            });
        }
        Ok(())
    }
}

/// A batch within its limits: its cost is known, and preparing it cannot fail.
///
/// ```
/// use trunkline_core::batch::{Batch, BatchLimits, Requirement};
/// use trunkline_core::params::TreeParams;
/// let mut batch = Batch::new();
/// batch.put("alice", "10").require("bob", Requirement::Absent);
/// let checked = batch.check(&BatchLimits::default())?;
/// assert_eq!((checked.operations(), checked.bytes()), (2, 10));
/// let prepared = checked.prepare(&TreeParams::default(), None);
/// assert_eq!((prepared.operations, prepared.bytes), (2, 10));
/// # Ok::<(), trunkline_core::batch::BatchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    batch: Batch,
}

impl CheckedBatch {
    /// Returns the number of operations and requirements, for admission.
    pub fn operations(&self) -> usize {
        self.batch.priced_operations()
    }

    /// Returns the size of the keys and values in bytes, for admission.
    pub fn bytes(&self) -> usize {
        self.batch.bytes()
    }
}

/// The limits of one batch.
///
/// ```
/// let limits = trunkline_core::batch::BatchLimits::default();
/// assert!(limits.operations_max >= 100_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most operations and requirements together; more than 2^32 - 1 are never accepted.
    pub operations_max: usize,
    /// Most bytes of keys and values together; more than 2^32 - 1 are never accepted.
    pub bytes_max: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            operations_max: 200_000,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// The reason why a batch was refused before admission. It had no effect, and the same batch would be refused again.
///
/// ```
/// use trunkline_core::batch::{Batch, BatchLimits};
/// use trunkline_core::params::TreeParams;
/// let limits = BatchLimits { operations_max: 1, ..BatchLimits::default() };
/// let mut batch = Batch::new();
/// batch.put("alice", "10").put("bob", "7");
/// let error = batch.prepare(&TreeParams::default(), &limits, None).unwrap_err();
/// assert_eq!(error.to_string(), "the batch has 2 operations, at most 1 are allowed: split it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// An empty batch.
    #[error("the batch has no operation, requirement or metadata")]
    Empty,
    /// A key without bytes.
    #[error("operation {index}: the key is empty")]
    KeyEmpty {
        /// Index in the batch; requirements are counted after the operations.
        index: usize,
    },
    /// A key over the limit.
    #[error("operation {index}: the key has {bytes} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong {
        /// Index in the batch; requirements are counted after the operations.
        index: usize,
        /// Length of the key.
        bytes: usize,
    },
    /// A value over the limit.
    #[error(
        "operation {index}: the value has {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed"
    )]
    ValueTooLong {
        /// Index in the batch.
        index: usize,
        /// Length of the value.
        bytes: usize,
    },
    /// Too many operations and requirements.
    #[error(
        "the batch has {operations} operations, at most {operations_max} are allowed: split it"
    )]
    TooManyOperations {
        /// Number of operations and requirements in the batch.
        operations: usize,
        /// The limit.
        operations_max: usize,
    },
    /// Too many bytes.
    #[error("the batch has {bytes} bytes, at most {bytes_max} are allowed: split it")]
    TooManyBytes {
        /// Size of the batch in bytes.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Metadata over the limit.
    #[error("the metadata has {bytes} bytes, at most {METADATA_BYTES_MAX} are allowed")]
    MetadataTooLong {
        /// Length of the metadata.
        bytes: usize,
    },
}

/// One write in the form for the tree. A delete has [`ZERO`] for the value's hash, which no value has.
///
/// ```
/// use trunkline_core::batch::{Batch, BatchLimits};
/// use trunkline_core::params::TreeParams;
/// let mut batch = Batch::new();
/// batch.delete("k");
/// let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None).unwrap();
/// assert!(prepared.writes[0].is_delete());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Hash of the key.
    pub key_hash: Digest,
    /// Hash of the value.
    pub value_hash: Digest,
    /// Index in the caller's batch: of two colliding keys the later one is the newer.
    pub order: u32,
}

impl Write {
    /// Returns whether the write removes the key.
    pub fn is_delete(&self) -> bool {
        self.value_hash == ZERO
    }
}

/// A batch that is ready for the tree: sorted strictly ascending by key hash.
///
/// ```
/// use trunkline_core::batch::{Batch, BatchLimits};
/// use trunkline_core::params::TreeParams;
/// let mut batch = Batch::new();
/// batch.put("k", "1").put("k", "2");
/// let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None).unwrap();
/// assert_eq!((prepared.key(0), prepared.value(0)), (&b"k"[..], Some(&b"2"[..])));
/// assert_eq!(prepared.find(&prepared.writes[0].key_hash), Some(0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PreparedBatch {
    /// The writes in the form for the tree, in path order.
    pub writes: Vec<Write>,
    /// Key and value of each write, in the same order.
    pub contents: Contents,
    /// Key hash and requirement, ascending by key hash.
    pub requirements: Vec<(Digest, Requirement)>,
    /// The caller's own bytes for the commit record.
    pub metadata: Bytes,
    /// The caller's idempotency key; empty if there is none.
    pub idempotency_key: IdempotencyKey,
    /// Digest of the submission, which is chained into the provisional root.
    pub digest: Digest,
    /// Number of the caller's operations and requirements, for admission.
    pub operations: usize,
    /// Size of the caller's keys and values in bytes, for admission.
    pub bytes: usize,
}

impl PreparedBatch {
    /// Returns the key of a write.
    ///
    /// # Panics
    ///
    /// Panics if there is no such write, as does [`Self::value`].
    pub fn key(&self, write: usize) -> &[u8] {
        self.contents.key(write)
    }

    /// Returns the value that a write puts; `None` removes the key.
    pub fn value(&self, write: usize) -> Option<&[u8]> {
        self.contents.value(write)
    }

    /// Returns the index of the write to a key.
    pub fn find(&self, key_hash: &Digest) -> Option<usize> {
        find_ascending(
            self.writes.len(),
            |place| &self.writes[place].key_hash,
            key_hash,
        )
    }

    /// Returns a copy of only these writes, in ascending order of indices.
    pub fn selected(&self, writes: impl Iterator<Item = u32>) -> Self {
        let mut selected = Self::default();
        let mut contents = ContentsBuilder::with_capacity(0, 0);
        for place in writes.map(|write| write as usize) {
            selected.writes.push(self.writes[place]);
            selected.bytes += self.key(place).len() + self.value(place).map_or(0, <[u8]>::len);
            contents.push(self.key(place), self.value(place));
        }
        selected.operations = selected.writes.len();
        selected.contents = contents.finish();
        selected
    }

    /// Returns the size of the batch in memory in bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.writes.capacity() * size_of::<Write>()
            + self.requirements.capacity() * size_of::<(Digest, Requirement)>()
            + self.contents.memory_bytes()
    }
}

/// Checks the length of a key as in a batch.
pub fn check_key(index: usize, key: &[u8]) -> Result<(), BatchError> {
    check_key_bytes(index, key.len())
}

fn check_key_bytes(index: usize, bytes: usize) -> Result<(), BatchError> {
    match bytes {
        0 => Err(BatchError::KeyEmpty { index }),
        bytes if bytes > KEY_BYTES_MAX => Err(BatchError::KeyTooLong { index, bytes }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::TreeParams;

    fn prepare(batch: &Batch) -> Result<PreparedBatch, BatchError> {
        batch
            .clone()
            .prepare(&TreeParams::default(), &BatchLimits::default(), None)
    }

    #[test]
    fn writes_come_out_sorted_and_the_last_write_to_a_key_counts() {
        let mut batch = Batch::new();
        for i in 0..100_u32 {
            batch.put((i % 40).to_le_bytes(), i.to_string());
        }
        batch.delete(7_u32.to_le_bytes());
        let prepared = prepare(&batch).unwrap();
        assert_eq!(prepared.writes.len(), 40);
        assert!(prepared.writes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        for (place, write) in prepared.writes.iter().enumerate() {
            let (key, value) = (prepared.key(place), prepared.value(place));
            assert_eq!(write.key_hash, hash::hash(key));
            assert_eq!(prepared.find(&write.key_hash), Some(place));
            let number = u32::from_le_bytes(key.try_into().unwrap());
            let last = if number < 20 {
                number + 80
            } else {
                number + 40
            };
            match value {
                None => assert!(number == 7 && write.is_delete()),
                Some(value) => {
                    assert_eq!(value, last.to_string().as_bytes());
                    assert_eq!(write.value_hash, hash::hash(value));
                }
            }
        }
    }

    #[test]
    fn bad_input_is_named_before_admission() {
        assert_eq!(prepare(&Batch::new()).unwrap_err(), BatchError::Empty);
        let mut batch = Batch::new();
        batch.put("a", "b").put("", "c");
        assert_eq!(
            prepare(&batch).unwrap_err(),
            BatchError::KeyEmpty { index: 1 }
        );
        let mut batch = Batch::new();
        batch.put(vec![1; KEY_BYTES_MAX + 1], "");
        let bytes = KEY_BYTES_MAX + 1;
        assert_eq!(
            prepare(&batch).unwrap_err(),
            BatchError::KeyTooLong { index: 0, bytes }
        );
        let mut batch = Batch::new();
        batch.put("a", vec![0; VALUE_BYTES_MAX + 1]);
        let bytes = VALUE_BYTES_MAX + 1;
        assert_eq!(
            prepare(&batch).unwrap_err(),
            BatchError::ValueTooLong { index: 0, bytes }
        );
        let mut batch = Batch::new();
        batch.put("a", "b").metadata(vec![0; 257]);
        assert_eq!(
            prepare(&batch).unwrap_err(),
            BatchError::MetadataTooLong { bytes: 257 }
        );
        let mut batch = Batch::new();
        batch.require("", Requirement::Absent);
        assert_eq!(
            prepare(&batch).unwrap_err(),
            BatchError::KeyEmpty { index: 0 }
        );
    }

    #[test]
    fn what_a_checked_batch_costs_is_what_it_costs_prepared() {
        let mut batch = Batch::new();
        let mut costs = Vec::new();
        for round in 0..4_u8 {
            batch.put("twice", vec![round; 9]).put([round], "1");
            batch.delete([round, round]);
            batch.require([round], Requirement::Absent);
            batch.metadata(vec![round; 20]);
            let checked = batch.clone().check(&BatchLimits::default()).unwrap();
            let cost = (checked.operations(), checked.bytes());
            let prepared = checked.prepare(&TreeParams::default(), None);
            assert_eq!(cost, (prepared.operations, prepared.bytes));
            costs.push(cost);
        }
        assert_eq!(costs[0], (4, 14 + 2 + 2 + 1));
        assert_eq!(costs[3], (16, 4 * costs[0].1));
    }

    #[test]
    fn the_limits_of_a_batch_hold() {
        let limits = BatchLimits {
            operations_max: 2,
            bytes_max: 5,
        };
        let params = TreeParams::default();
        let mut batch = Batch::new();
        batch.put("a", "b").put("c", "d").put("e", "f");
        assert!(matches!(
            batch.prepare(&params, &limits, None),
            Err(BatchError::TooManyOperations { operations: 3, .. })
        ));
        let mut batch = Batch::new();
        batch.put("abc", "def");
        assert!(matches!(
            batch.prepare(&params, &limits, None),
            Err(BatchError::TooManyBytes { bytes: 6, .. })
        ));
    }

    #[test]
    fn large_values_hash_the_same_on_a_pool() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap();
        let value: Vec<u8> = (0..PARALLEL_HASH_BYTES_MIN * 2).map(|i| i as u8).collect();
        assert_eq!(value_hash(&value, Some(&pool)), hash::hash(&value));
    }

    #[test]
    fn the_submission_digest_tells_apart_what_differs() {
        let mut variants = Vec::new();
        let mut batch = Batch::new();
        batch.put("a", "1");
        variants.push(prepare(&batch).unwrap().digest);
        batch.metadata("m");
        variants.push(prepare(&batch).unwrap().digest);
        batch.require("a", Requirement::Absent);
        variants.push(prepare(&batch).unwrap().digest);
        batch.require("b", Requirement::value(b""));
        variants.push(prepare(&batch).unwrap().digest);
        batch.delete("a");
        variants.push(prepare(&batch).unwrap().digest);
        variants.sort_unstable();
        variants.dedup();
        assert_eq!(variants.len(), 5);
    }
}
