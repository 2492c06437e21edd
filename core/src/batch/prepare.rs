//! Prepares a batch: hashes every key and value, sorts the writes by path, and lays out the contents in that order.
//!
//! One pass hashes the keys, a sort of numbers orders them, and one more pass does the rest. Leaf digests are computed
//! by the tree, many at once, when a version is hashed.

use std::ops::Range;

use bytes::Bytes;
use rayon::ThreadPool;

use super::contents::{Contents, ContentsBuilder};
use super::find::head;
use super::{
    Batch, BatchError, BatchLimits, CheckedBatch, PARALLEL_HASH_BYTES_MIN, PreparedBatch,
    Requirement, Write,
};
use crate::hash::{self, Digest, LEAF, PROVISIONAL, REVERT, SUBMISSION, ZERO};
use crate::outcome::IdempotencyKey;
use crate::parallel;
use crate::params::{METADATA_BYTES_MAX, TreeParams};
use crate::store::effect::Effect;

/// Number of bytes of a submission's body that are hashed at once: enough chunks of BLAKE3 to fill the widest lanes,
/// but few enough to stay in the fastest cache.
const BODY_BLOCK_BYTES: usize = 16 * 1024;
/// Least number of operations for which hashing is worth waking another thread.
const SHARDED_OPERATIONS_MIN: usize = 1024;

impl Batch {
    /// Checks, hashes and sorts. With a pool, several threads hash a large batch, and all of them hash large values.
    pub fn prepare(
        self,
        params: &TreeParams,
        limits: &BatchLimits,
        pool: Option<(&ThreadPool, usize)>,
    ) -> Result<PreparedBatch, BatchError> {
        Ok(self.check(limits)?.prepare(params, pool))
    }
}

impl CheckedBatch {
    /// Hashes and sorts, as [`Batch::prepare`] does after its checks.
    pub fn prepare(self, params: &TreeParams, pool: Option<(&ThreadPool, usize)>) -> PreparedBatch {
        let operations = self.operations();
        let batch = self.batch;
        let mut key_hashes = vec![ZERO; batch.operations.len()];
        each_shard(pool, &mut key_hashes, |range, key_hashes| {
            let keys = batch.operations[range].iter().map(|span| batch.key(span));
            params.hash_keys(keys, key_hashes);
        });
        let order = path_order(&key_hashes);
        let mut preparing = Preparing::with_capacity(order.len(), batch.arena.len());
        for place in order {
            let span = &batch.operations[place as usize];
            let key_hash = key_hashes[place as usize];
            preparing.push(key_hash, batch.key(span), batch.value(span), place);
        }
        let (writes, contents) = preparing.finish(pool);

        let mut requirements: Vec<(Digest, Requirement)> = batch
            .requirements
            .iter()
            .map(|(span, requirement)| (params.key_hash(batch.key(span)), *requirement))
            .collect();
        requirements.sort_by_key(|(key_hash, _)| *key_hash);

        let digest = submission_digest(&writes, &requirements, &batch.metadata);
        PreparedBatch {
            writes,
            contents,
            requirements,
            digest,
            operations,
            bytes: batch.arena.len(),
            metadata: batch.metadata,
            idempotency_key: batch.idempotency_key,
        }
    }
}

/// Returns indices in path order; of equal hashes only the last index.
///
/// ```
/// use trunkline_core::batch::path_order;
/// let key_hashes = [[2; 32], [1; 32], [3; 32], [2; 32]];
/// assert!(path_order(&key_hashes).eq([1, 3, 2]));
/// ```
pub fn path_order(key_hashes: &[Digest]) -> impl ExactSizeIterator<Item = u32> {
    // The heads of the hashes with the index in their lowest bits: numbers, which sort fast.
    let place_bits = usize::BITS - key_hashes.len().leading_zeros();
    let head_of = |number: u64| number >> place_bits;
    let place_of = move |number: u64| (number & ((1 << place_bits) - 1)) as u32;
    let hash_of = |number: &u64| &key_hashes[place_of(*number) as usize];
    let mut order: Vec<u64> = key_hashes
        .iter()
        .zip(0_u64..)
        .map(|(key_hash, place)| head(key_hash) >> place_bits << place_bits | place)
        .collect();
    order.sort_unstable();
    // Equal heads are ordered by whole hashes, and equal hashes by index, the last one first.
    for same in order.chunk_by_mut(|a, b| head_of(*a) == head_of(*b)) {
        if same.len() > 1 {
            same.sort_unstable_by(|a, b| hash_of(a).cmp(hash_of(b)).then(b.cmp(a)));
        }
    }
    order.dedup_by(|a, b| head_of(*a) == head_of(*b) && hash_of(a) == hash_of(b));
    order.into_iter().map(place_of)
}

/// Writes with their contents, in path order.
struct Preparing {
    writes: Vec<Write>,
    contents: ContentsBuilder,
}

impl Preparing {
    fn with_capacity(writes: usize, bytes: usize) -> Self {
        Self {
            writes: Vec::with_capacity(writes),
            contents: ContentsBuilder::with_capacity(writes, bytes),
        }
    }

    fn push(&mut self, key_hash: Digest, key: &[u8], value: Option<&[u8]>, place: u32) {
        self.contents.push(key, value);
        self.writes.push(Write {
            key_hash,
            value_hash: ZERO,
            order: place,
        });
    }

    /// Hashes the values, which are now in order, and returns everything.
    fn finish(mut self, pool: Option<(&ThreadPool, usize)>) -> (Vec<Write>, Contents) {
        let contents = self.contents.finish();
        let value_hashes = value_hashes(&contents, self.writes.len(), pool);
        for (write, value_hash) in self.writes.iter_mut().zip(value_hashes) {
            write.value_hash = value_hash;
        }
        (self.writes, contents)
    }
}

impl PreparedBatch {
    /// Builds a batch, as already applied to the tree, from the effects of a version on its keys: for replaying a log.
    /// `effects` ascend strictly by key hash; their keys and values are within bounds, `bytes` in total.
    pub fn of_effects<'a>(
        effects: impl ExactSizeIterator<Item = Effect<'a>>,
        bytes: usize,
    ) -> Self {
        let operations = effects.len();
        let mut preparing = Preparing::with_capacity(operations, bytes);
        for effect in effects {
            preparing.push(effect.key_hash, effect.key, effect.change, 0);
        }
        let (writes, contents) = preparing.finish(None);
        Self {
            writes,
            contents,
            operations,
            bytes,
            ..Self::default()
        }
    }
}

impl PreparedBatch {
    /// Builds a submission whose hashes are all known: effects with the hash of each value ([`ZERO`] for a delete). They
    /// ascend strictly by key hash; their keys and values are in bounds, and `bytes` of them in all.
    ///
    /// ```
    /// use trunkline_core::batch::{Batch, BatchLimits, PreparedBatch};
    /// use trunkline_core::{hash::hash, params::TreeParams, store::effect::Effect};
    /// let mut batch = Batch::new();
    /// batch.put("a", "1");
    /// let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None).unwrap();
    /// let effect = Effect { key_hash: hash(b"a"), key: b"a", change: Some(b"1") };
    /// let effects = [(effect, hash(b"1"))].into_iter();
    /// let same = PreparedBatch::of_hashed(effects, 2, Default::default(), Default::default());
    /// assert_eq!((same.digest, same.writes), (prepared.digest, prepared.writes));
    /// ```
    pub fn of_hashed<'a>(
        effects: impl ExactSizeIterator<Item = (Effect<'a>, Digest)>,
        bytes: usize,
        metadata: Bytes,
        idempotency_key: IdempotencyKey,
    ) -> Self {
        let operations = effects.len();
        let mut contents = ContentsBuilder::with_capacity(operations, bytes);
        let mut writes = Vec::with_capacity(operations);
        for (effect, value_hash) in effects {
            contents.push(effect.key, effect.change);
            writes.push(Write {
                key_hash: effect.key_hash,
                value_hash,
                order: 0,
            });
        }
        Self {
            digest: submission_digest(&writes, &[], &metadata),
            writes,
            contents: contents.finish(),
            operations,
            bytes,
            metadata,
            idempotency_key,
            ..Self::default()
        }
    }
}

/// Returns the digest of a revert, a submission that restores the state of an older version: a hash over the commit id
/// of that version, the length of the metadata (u16 little-endian) and the metadata. It does not depend on the
/// difference between the states, so that the caller can compute it.
///
/// ```
/// use trunkline_core::batch::revert_digest;
/// assert_ne!(revert_digest(&[1; 32], b""), revert_digest(&[2; 32], b""));
/// assert_ne!(revert_digest(&[1; 32], b""), revert_digest(&[1; 32], b"why"));
/// ```
pub fn revert_digest(commit_id: &Digest, metadata: &[u8]) -> Digest {
    let length = (metadata.len() as u16).to_le_bytes();
    REVERT.hash_parts(&[commit_id, &length, metadata])
}

/// Returns the hash of a value; a large one is hashed by the threads of `pool`.
pub fn value_hash(value: &[u8], pool: Option<&ThreadPool>) -> Digest {
    match pool {
        Some(pool) if value.len() >= PARALLEL_HASH_BYTES_MIN => pool.install(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_rayon(value);
            *hasher.finalize().as_bytes()
        }),
        _ => hash::hash(value),
    }
}

/// Returns the hashes of all values, and [`ZERO`] for deletes.
fn value_hashes(
    contents: &Contents,
    writes: usize,
    pool: Option<(&ThreadPool, usize)>,
) -> Vec<Digest> {
    let mut value_hashes = vec![ZERO; writes];
    let is_large = |value: &&[u8]| value.len() >= PARALLEL_HASH_BYTES_MIN;
    each_shard(pool, &mut value_hashes, |range, value_hashes| {
        let values = range.map(|place| contents.value(place)).enumerate();
        let values = values.filter_map(|(place, value)| Some((place, value?)));
        let small = values.filter(|(_, value)| !is_large(value));
        hash::hash_each(None, small, value_hashes);
    });
    // Each of these keeps all threads busy by itself.
    let values = (0..writes).filter_map(|place| Some((place, contents.value(place)?)));
    for (place, value) in values.filter(|(_, value)| is_large(value)) {
        value_hashes[place] = value_hash(value, pool.map(|(pool, _)| pool));
    }
    value_hashes
}

/// Calls `work` for each shard of a list, with the indices of its items.
fn each_shard<T: Send>(
    pool: Option<(&ThreadPool, usize)>,
    items: &mut [T],
    work: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    let pool = pool.filter(|_| items.len() >= SHARDED_OPERATIONS_MIN);
    let width = items.len().div_ceil(parallel::shards_for(pool)).max(1);
    let starts = (0..).step_by(width);
    let mut shards: Vec<(usize, &mut [T])> = starts.zip(items.chunks_mut(width)).collect();
    parallel::each(pool, &mut shards, |(start, items)| {
        work(*start..*start + items.len(), items);
    });
}

/// Returns the digest of a leaf.
pub fn leaf_digest(key_hash: &Digest, value_hash: &Digest) -> Digest {
    LEAF.hash(&hash::pair(key_hash, value_hash))
}

/// Returns the provisional root after one more submission.
pub fn provisional_root(previous: &Digest, submission: &Digest) -> Digest {
    PROVISIONAL.hash(&hash::pair(previous, submission))
}

/// Returns the provisional root from which a newly opened engine continues: over the last durable commit id and the
/// open epoch (u64 little-endian).
pub fn provisional_start(commit_id: &Digest, open_epoch: u64) -> Digest {
    hash::EPOCH.hash_parts(&[commit_id, &open_epoch.to_le_bytes()])
}

/// Body, integers little-endian: number of writes u64; each: key hash, 1 for a put or 0 for a delete, value hash or
/// zero; number of requirements u64; each: key hash, 1 for a value hash or 0 for absent, value hash or zero; metadata
/// length u16 and metadata. Colliding keys within a batch are in the order of `order`, which matters only under the
/// policy `overwrite`.
fn submission_digest(
    writes: &[Write],
    requirements: &[(Digest, Requirement)],
    metadata: &[u8],
) -> Digest {
    let entries = writes.len() + requirements.len();
    let mut body = Body::with_capacity(65 * entries + 18 + metadata.len());
    body.push(&(writes.len() as u64).to_le_bytes());
    for write in writes {
        let tag = u8::from(!write.is_delete());
        body.push_entry(&write.key_hash, tag, &write.value_hash);
    }
    body.push(&(requirements.len() as u64).to_le_bytes());
    for (key_hash, requirement) in requirements {
        match requirement {
            Requirement::Absent => body.push_entry(key_hash, 0, &ZERO),
            Requirement::ValueHash(value_hash) => body.push_entry(key_hash, 1, value_hash),
        }
    }
    body.push(&(metadata.len() as u16).to_le_bytes());
    body.push(metadata);
    body.finish()
}

/// The body of a submission, hashed while it is written, so that it never exists as a whole.
struct Body {
    hasher: blake3::Hasher,
    block: Vec<u8>,
}

impl Body {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            hasher: blake3::Hasher::new_keyed(SUBMISSION.key()),
            block: Vec::with_capacity(bytes.min(BODY_BLOCK_BYTES + METADATA_BYTES_MAX)),
        }
    }

    fn push_entry(&mut self, key_hash: &Digest, tag: u8, value_hash: &Digest) {
        let mut entry = [tag; 65];
        entry[..32].copy_from_slice(key_hash);
        entry[33..].copy_from_slice(value_hash);
        self.push(&entry);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        // Whole blocks are hashed at once, so that each call begins at a multiple of the block size.
        if let Some((block, rest)) = self.block.split_at_checked(BODY_BLOCK_BYTES) {
            self.hasher.update(block);
            let rest = rest.len();
            self.block.copy_within(BODY_BLOCK_BYTES.., 0);
            self.block.truncate(rest);
        }
    }

    fn finish(mut self) -> Digest {
        self.hasher.update(&self.block);
        *self.hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_hashed_in_blocks_has_the_digest_of_the_whole() {
        for entries in [0, 1, 251, 252, 253, 1000, 3000] {
            let mut body = Body::with_capacity(65 * entries);
            let mut whole = Vec::new();
            for index in 0..entries {
                let entry = [index as u8; 65];
                body.push_entry(&[entry[0]; 32], entry[0], &[entry[0]; 32]);
                whole.extend_from_slice(&entry);
            }
            assert_eq!(body.finish(), SUBMISSION.hash(&whole));
        }
    }

    #[test]
    fn places_come_in_the_order_of_whole_hashes_and_the_last_of_equal_ones_counts() {
        let hash = |head: u8, tail: u8| {
            let mut hash = [head; 32];
            hash[31] = tail;
            hash
        };
        let hashes = [
            hash(9, 1),
            hash(1, 2),
            hash(1, 1),
            hash(9, 1),
            hash(1, 2),
            hash(1, 3),
        ];
        assert_eq!(path_order(&hashes).collect::<Vec<_>>(), [2, 4, 5, 3]);
        assert_eq!(path_order(&[]).len(), 0);
    }
}
