//! A caller's batch, and what becomes of it before it enters the tree: checked, hashed, sorted by
//! path, the last write to a key alone kept.
//!
//! Preparing is pure and runs on the caller's thread, so that hashing scales with the callers and
//! no stage of the pipeline waits for it. Not here: sequence numbers and outcomes.

use bytes::Bytes;

use crate::hash::{self, Digest, LEAF, PROVISIONAL, SUBMISSION, ZERO};
use crate::params::{KEY_BYTES_MAX, METADATA_BYTES_MAX, TreeParams, VALUE_BYTES_MAX};

/// Values from this size on are hashed by several threads.
pub const PARALLEL_HASH_BYTES_MIN: usize = 256 * 1024;

/// What must hold of a key for a submission to take effect.
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

/// Puts and deletes that take effect together or not at all, in the order given: of several writes
/// to one key the last one counts. Requirements are checked against the state before the batch.
///
/// ```
/// use trunkline_core::batch::{Batch, Requirement};
/// let mut batch = Batch::new();
/// batch.put("alice", "10").delete("bob").require("alice", Requirement::Absent);
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    operations: Vec<(Bytes, Option<Bytes>)>,
    requirements: Vec<(Bytes, Requirement)>,
    metadata: Bytes,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for a number of operations.
    pub fn with_capacity(operations: usize) -> Self {
        Self {
            operations: Vec::with_capacity(operations),
            ..Self::default()
        }
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.operations.push((key, Some(value)));
        self
    }

    /// Removes a key; a key that is not there is left alone.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        let key = key.into();
        self.bytes += key.len();
        self.operations.push((key, None));
        self
    }

    /// Lets the whole batch take effect only if this holds of the state before it.
    pub fn require(&mut self, key: impl Into<Bytes>, requirement: Requirement) -> &mut Self {
        let key = key.into();
        self.bytes += key.len();
        self.requirements.push((key, requirement));
        self
    }

    /// The caller's own bytes in the commit record; a batch with metadata is the last of its version.
    pub fn metadata(&mut self, metadata: impl Into<Bytes>) -> &mut Self {
        self.metadata = metadata.into();
        self
    }

    /// Operations in the batch.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether the batch has no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The most that one batch may hold.
///
/// ```
/// let limits = trunkline_core::batch::BatchLimits::default();
/// assert!(limits.operations_max >= 100_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Operations and requirements together.
    pub operations_max: usize,
    /// Bytes of keys and values together.
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

/// Why a batch was turned away at the door. Nothing of it took effect; the same batch would be
/// turned away again.
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
    /// Nothing to do.
    #[error("the batch has no operation, requirement or metadata")]
    Empty,
    /// A key without bytes.
    #[error("operation {index}: the key is empty")]
    KeyEmpty {
        /// Place in the batch, requirements counted after the operations.
        index: usize,
    },
    /// A key over the limit.
    #[error("operation {index}: the key has {bytes} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong {
        /// Place in the batch, requirements counted after the operations.
        index: usize,
        /// Length of the key.
        bytes: usize,
    },
    /// A value over the limit.
    #[error(
        "operation {index}: the value has {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed"
    )]
    ValueTooLong {
        /// Place in the batch.
        index: usize,
        /// Length of the value.
        bytes: usize,
    },
    /// Too many operations and requirements.
    #[error(
        "the batch has {operations} operations, at most {operations_max} are allowed: split it"
    )]
    TooManyOperations {
        /// Operations and requirements in the batch.
        operations: usize,
        /// The limit.
        operations_max: usize,
    },
    /// Too many bytes.
    #[error("the batch has {bytes} bytes, at most {bytes_max} are allowed: split it")]
    TooManyBytes {
        /// Bytes in the batch.
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

/// One write as the tree sees it. A delete has [`ZERO`] for both digests.
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
    /// Leaf digest of both.
    pub digest: Digest,
    /// Place in the caller's batch: of two colliding keys the later one is the newer.
    pub order: u32,
}

impl Write {
    /// Whether this removes the key.
    pub fn is_delete(&self) -> bool {
        self.digest == ZERO
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
/// assert_eq!(prepared.contents, [("k".into(), Some("2".into()))]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct PreparedBatch {
    /// What the tree needs, in path order.
    pub writes: Vec<Write>,
    /// Key and value of each write, in the same order; `None` removes the key.
    pub contents: Vec<(Bytes, Option<Bytes>)>,
    /// Key hash and requirement, ascending by key hash.
    pub requirements: Vec<(Digest, Requirement)>,
    /// The caller's own bytes for the commit record.
    pub metadata: Bytes,
    /// Digest of the submission: what the provisional root chains.
    pub digest: Digest,
    /// Operations and requirements that the caller gave, for credit.
    pub operations: usize,
    /// Bytes that the caller gave, for credit.
    pub bytes: usize,
}

impl Batch {
    /// Checks, hashes and sorts. Large values are hashed on `pool` if one is given.
    pub fn prepare(
        self,
        params: &TreeParams,
        limits: &BatchLimits,
        pool: Option<&rayon::ThreadPool>,
    ) -> Result<PreparedBatch, BatchError> {
        self.check(limits)?;
        let operations = self.operations.len() + self.requirements.len();
        let mut hashed: Vec<(Digest, u32)> = (0_u32..)
            .zip(&self.operations)
            .map(|(order, (key, _))| (params.key_hash(key), order))
            .collect();
        hashed.sort_unstable();

        let mut writes = Vec::with_capacity(hashed.len());
        let mut contents = Vec::with_capacity(hashed.len());
        let mut taken = self.operations;
        for (index, &(key_hash, order)) in hashed.iter().enumerate() {
            let superseded = hashed
                .get(index + 1)
                .is_some_and(|(next, _)| *next == key_hash);
            if superseded {
                continue;
            }
            let (key, value) = std::mem::take(&mut taken[order as usize]);
            writes.push(write(key_hash, value.as_deref(), order, pool));
            contents.push((key, value));
        }

        let mut requirements: Vec<(Digest, Requirement)> = self
            .requirements
            .iter()
            .map(|(key, requirement)| (params.key_hash(key), *requirement))
            .collect();
        requirements.sort_by_key(|(key_hash, _)| *key_hash);

        let digest = submission_digest(&writes, &requirements, &self.metadata);
        Ok(PreparedBatch {
            writes,
            contents,
            requirements,
            metadata: self.metadata,
            digest,
            operations,
            bytes: self.bytes,
        })
    }

    fn check(&self, limits: &BatchLimits) -> Result<(), BatchError> {
        let operations = self.operations.len() + self.requirements.len();
        if operations == 0 && self.metadata.is_empty() {
            return Err(BatchError::Empty);
        }
        if operations > limits.operations_max {
            return Err(BatchError::TooManyOperations {
                operations,
                operations_max: limits.operations_max,
            });
        }
        if self.metadata.len() > METADATA_BYTES_MAX {
            return Err(BatchError::MetadataTooLong {
                bytes: self.metadata.len(),
            });
        }
        let keys = self.operations.iter().map(|(key, _)| key);
        for (index, key) in keys
            .chain(self.requirements.iter().map(|(key, _)| key))
            .enumerate()
        {
            check_key(index, key)?;
        }
        for (index, (_, value)) in self.operations.iter().enumerate() {
            let bytes = value.as_ref().map_or(0, Bytes::len);
            if bytes > VALUE_BYTES_MAX {
                return Err(BatchError::ValueTooLong { index, bytes });
            }
        }
        if self.bytes > limits.bytes_max {
            return Err(BatchError::TooManyBytes {
                bytes: self.bytes,
                bytes_max: limits.bytes_max,
            });
        }
        Ok(())
    }
}

/// Checks the length of a key, as at the door of a batch.
pub fn check_key(index: usize, key: &[u8]) -> Result<(), BatchError> {
    match key.len() {
        0 => Err(BatchError::KeyEmpty { index }),
        bytes if bytes > KEY_BYTES_MAX => Err(BatchError::KeyTooLong { index, bytes }),
        _ => Ok(()),
    }
}

/// The hash of a value; a large one is hashed by the threads of `pool`.
pub fn value_hash(value: &[u8], pool: Option<&rayon::ThreadPool>) -> Digest {
    match pool {
        Some(pool) if value.len() >= PARALLEL_HASH_BYTES_MIN => pool.install(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_rayon(value);
            *hasher.finalize().as_bytes()
        }),
        _ => hash::hash(value),
    }
}

/// The digest of a leaf.
pub fn leaf_digest(key_hash: &Digest, value_hash: &Digest) -> Digest {
    LEAF.hash(&hash::pair(key_hash, value_hash))
}

/// The provisional root after one more submission.
pub fn provisional_root(previous: &Digest, submission: &Digest) -> Digest {
    PROVISIONAL.hash(&hash::pair(previous, submission))
}

/// The provisional root that a newly opened engine chains from: the last durable commit id and the
/// open epoch (u64 little-endian).
pub fn provisional_start(commit_id: &Digest, open_epoch: u64) -> Digest {
    hash::EPOCH.hash_parts(&[commit_id, &open_epoch.to_le_bytes()])
}

fn write(
    key_hash: Digest,
    value: Option<&[u8]>,
    order: u32,
    pool: Option<&rayon::ThreadPool>,
) -> Write {
    let Some(value) = value else {
        return Write {
            key_hash,
            value_hash: ZERO,
            digest: ZERO,
            order,
        };
    };
    let value_hash = value_hash(value, pool);
    Write {
        key_hash,
        value_hash,
        digest: leaf_digest(&key_hash, &value_hash),
        order,
    }
}

/// Body, integers little-endian: number of writes u64; each: key hash, 1 for a put or 0 for a
/// delete, value hash or zero; number of requirements u64; each: key hash, 1 for a value hash or 0
/// for absent, value hash or zero; metadata length u16 and metadata. The order of colliding keys
/// within a batch is their order of `order`, which policy `overwrite` alone can see.
fn submission_digest(
    writes: &[Write],
    requirements: &[(Digest, Requirement)],
    metadata: &[u8],
) -> Digest {
    let mut body =
        Vec::with_capacity(65 * (writes.len() + requirements.len()) + 18 + metadata.len());
    body.extend_from_slice(&(writes.len() as u64).to_le_bytes());
    for write in writes {
        body.extend_from_slice(&write.key_hash);
        body.push(u8::from(!write.is_delete()));
        body.extend_from_slice(&write.value_hash);
    }
    body.extend_from_slice(&(requirements.len() as u64).to_le_bytes());
    for (key_hash, requirement) in requirements {
        let (tag, value_hash) = match requirement {
            Requirement::Absent => (0, ZERO),
            Requirement::ValueHash(value_hash) => (1, *value_hash),
        };
        body.extend_from_slice(key_hash);
        body.push(tag);
        body.extend_from_slice(&value_hash);
    }
    body.extend_from_slice(&(metadata.len() as u16).to_le_bytes());
    body.extend_from_slice(metadata);
    SUBMISSION.hash(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(batch: &Batch) -> Result<PreparedBatch, BatchError> {
        batch
            .clone()
            .prepare(&TreeParams::default(), &BatchLimits::default(), None)
    }

    #[test]
    fn writes_come_out_sorted_and_the_last_write_to_a_key_counts() {
        let mut batch = Batch::new();
        for i in 0..100_u32 {
            batch.put((i % 40).to_le_bytes().to_vec(), i.to_string());
        }
        batch.delete(7_u32.to_le_bytes().to_vec());
        let prepared = prepare(&batch).unwrap();
        assert_eq!(prepared.writes.len(), 40);
        assert!(prepared.writes.is_sorted_by(|a, b| a.key_hash < b.key_hash));
        for (write, (key, value)) in prepared.writes.iter().zip(&prepared.contents) {
            assert_eq!(write.key_hash, hash::hash(key));
            let number = u32::from_le_bytes(key[..].try_into().unwrap());
            let last = if number < 20 {
                number + 80
            } else {
                number + 40
            };
            match value {
                None => assert_eq!(number, 7),
                Some(value) => assert_eq!(value, &last.to_string()),
            }
        }
    }

    #[test]
    fn bad_input_is_named_at_the_door() {
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
