//! Reads of many keys.
//!
//! Keys are read in path order, so that neighbours in the tree and in the leaf store follow each other. A few keys are
//! read ahead, so that cache misses overlap. Very many keys are split into shards, which run on the pool for reads.

use bytes::Bytes;
use rayon::prelude::*;
use trunkline_actors::state::State;
use trunkline_core::batch::BatchError;
use trunkline_core::hash::Digest;

use super::checked_hash;

/// The number of keys whose nodes are fetched into the cache before the first of the keys is read.
const READ_AHEAD_KEYS: usize = 16;
/// The minimum number of keys of a shard. A read from memory takes about a microsecond, and handing a shard to a
/// sleeping thread takes some tens of them: with this many keys, that is at most a tenth of the shard.
const SHARD_KEYS_MIN: usize = 512;

/// Returns the result of `get` for each key, in the order of the keys. The first error ends it.
pub(crate) fn in_path_order<K: AsRef<[u8]>, E: From<BatchError> + Send>(
    state: &State,
    keys: &[K],
    get: impl Fn(&Digest) -> Result<Option<Bytes>, E> + Sync,
) -> Result<Vec<Option<Bytes>>, E> {
    let mut hashed = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        hashed.push((checked_hash(state, place, key.as_ref())?, place));
    }
    hashed.sort_unstable();
    let found = in_shards(state, &hashed, |shard| read(state, shard, &get))?;
    let mut values = vec![None; keys.len()];
    for ((_, place), value) in hashed.iter().zip(found) {
        values[*place] = value;
    }
    Ok(values)
}

/// Returns the values of keys in path order.
fn read<E>(
    state: &State,
    hashed: &[(Digest, usize)],
    get: impl Fn(&Digest) -> Result<Option<Bytes>, E>,
) -> Result<Vec<Option<Bytes>>, E> {
    let mut values = Vec::with_capacity(hashed.len());
    let mut key_hashes = Vec::with_capacity(READ_AHEAD_KEYS);
    for some in hashed.chunks(READ_AHEAD_KEYS) {
        key_hashes.clear();
        key_hashes.extend(some.iter().map(|(key_hash, _)| *key_hash));
        state.reader.read_ahead(&key_hashes);
        for key_hash in &key_hashes {
            values.push(get(key_hash)?);
        }
    }
    Ok(values)
}

/// Returns the results of `work` for the items, in their order. Two shards of items or more run on the pool for reads;
/// fewer items run on the caller's thread. The first error ends it.
pub(crate) fn in_shards<T: Sync, R: Send, E: Send>(
    state: &State,
    items: &[T],
    work: impl Fn(&[T]) -> Result<Vec<R>, E> + Sync,
) -> Result<Vec<R>, E> {
    let shards = state.settings.proof_parallelism.get();
    let shards = shards.min(items.len() / SHARD_KEYS_MIN);
    let Some(pool) = state.pools.read.threads().filter(|_| shards >= 2) else {
        return work(items);
    };
    // Shards of equal length; an idle thread takes the next one.
    let shards = items.par_chunks(items.len().div_ceil(shards));
    let all = || shards.with_max_len(1).map(&work).collect();
    let made: Result<Vec<Vec<R>>, E> = pool.install(all);
    Ok(made?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    use trunkline_core::store::leaves::MemoryLeafStore;
    use trunkline_core::store::simulated::SimulatedDisk;

    use super::*;
    use crate::{Batch, Config, Engine, ProveOptions, Snapshot};

    /// Three shards and a part of one.
    const KEYS: u32 = 4 * SHARD_KEYS_MIN as u32 - 1;

    fn keys() -> Vec<[u8; 4]> {
        (0..KEYS).map(u32::to_be_bytes).collect()
    }

    /// Opens an engine with two threads in each pool and a value for each key.
    fn engine(proof_parallelism: usize) -> Engine {
        let mut config = Config::default();
        config.workers.threads = 2;
        config.workers.read_threads = 2;
        config.workers.proof_parallelism = proof_parallelism;
        let engine = Engine::builder(config)
            .disk(Arc::new(SimulatedDisk::new(1)))
            .leaf_store(Arc::new(MemoryLeafStore::default()))
            .open_blocking()
            .unwrap();
        let mut batch = Batch::new();
        for key in keys() {
            batch.put(key, key);
        }
        let receipt = engine.submit_blocking(batch).unwrap();
        receipt.durable_blocking().unwrap();
        engine
    }

    /// Blocks every thread of a pool until the returned sender is dropped.
    fn block(pool: &rayon::ThreadPool) -> Sender<()> {
        let (release, released) = channel();
        let released = Arc::new(parking_lot::Mutex::new(released));
        let (begun, begins) = channel();
        pool.spawn_broadcast(move |_| {
            let _ = begun.send(());
            // Nothing is ever sent: this returns when the sender is dropped.
            let _ = released.lock().recv();
        });
        for _ in 0..pool.current_num_threads() {
            begins.recv().unwrap();
        }
        release
    }

    /// Returns each item with the thread that worked on it, in the order of the items.
    fn threads(snapshot: &Snapshot, items: usize) -> Vec<(usize, ThreadId)> {
        let work = |shard: &[usize]| {
            let thread = std::thread::current().id();
            let all = shard.iter().map(|item| (*item, thread));
            Ok::<Vec<_>, BatchError>(all.collect())
        };
        let items: Vec<usize> = (0..items).collect();
        in_shards(&snapshot.state, &items, work).unwrap()
    }

    #[test]
    fn few_items_stay_on_the_callers_thread_and_many_leave_it() {
        let engine = engine(4);
        let snapshot = engine.snapshot();
        let here = std::thread::current().id();
        let few = threads(&snapshot, 2 * SHARD_KEYS_MIN - 1);
        assert!(few.iter().all(|(_, thread)| *thread == here));
        let many = threads(&snapshot, 2 * SHARD_KEYS_MIN);
        assert!(many.iter().all(|(_, thread)| *thread != here));
        let order = many.iter().map(|(item, _)| *item);
        assert!(order.eq(0..2 * SHARD_KEYS_MIN));
    }

    #[test]
    fn one_shard_stays_on_the_callers_thread() {
        let engine = engine(1);
        let here = std::thread::current().id();
        let all = threads(&engine.snapshot(), 100 * SHARD_KEYS_MIN);
        assert!(all.iter().all(|(_, thread)| *thread == here));
    }

    #[test]
    fn an_error_of_any_shard_is_the_result() {
        let engine = engine(4);
        let snapshot = engine.snapshot();
        let get = |key_hash: &Digest| match key_hash[0] {
            0xf0.. => Err(BatchError::KeyEmpty { index: 7 }),
            _ => Ok(None),
        };
        let failed = in_path_order(&snapshot.state, &keys(), get);
        assert_eq!(failed, Err(BatchError::KeyEmpty { index: 7 }));
    }

    #[test]
    fn reads_and_proofs_work_while_all_threads_for_commits_are_blocked() {
        let engine = engine(2);
        let snapshot = engine.snapshot();
        let (keys, release) = (
            keys(),
            block(snapshot.state.pools.commit.threads().unwrap()),
        );
        let expected = keys.iter().map(|key| Some(Bytes::from(key.to_vec())));
        let expected: Vec<Option<Bytes>> = expected.collect();
        assert_eq!(engine.multi_get(&keys).unwrap(), expected);
        assert_eq!(snapshot.multi_get(&keys).unwrap(), expected);
        let options = ProveOptions {
            top: crate::TopKind::Hash,
            ..ProveOptions::default()
        };
        let each = snapshot.prove_each(&keys[..64], &options).unwrap();
        assert_eq!(each.len(), 64);
        let one = snapshot.prove_with(&keys, &options).unwrap();
        assert_eq!(one.versions[0].entries.len(), keys.len());
        drop(release);
    }

    #[test]
    fn commits_work_while_all_threads_for_reads_are_blocked() {
        let engine = engine(2);
        let release = block(engine.snapshot().state.pools.read.threads().unwrap());
        let mut batch = Batch::new();
        for key in keys() {
            batch.put(key, "other");
        }
        let receipt = engine.submit_blocking(batch).unwrap();
        let version = receipt.durable_blocking().unwrap().version;
        assert_eq!(engine.snapshot().version(), version);
        // Reads of few keys do not need the pool.
        let found = engine.multi_get(&keys()[..100]).unwrap();
        let other = Some(&b"other"[..]);
        assert!(found.iter().all(|value| value.as_deref() == other));
        drop(release);
    }
}
