//! NOMT: a binary Merkle trie in pages of its own, with a B-tree for values.
//!
//! Page and leaf cache of 512 MiB each, one commit worker a core, BLAKE3, buckets of its hash table
//! allocated beforehand for the keys that come. A commit syncs its files before it returns.

use std::path::Path;

use bitvec::order::Msb0;
use bitvec::view::BitView;
use nomt::hasher::{Blake3Hasher, ValueHasher};
use nomt::proof::{PathProof, PathProofTerminal};
use nomt::trie::LeafData;
use nomt::{KeyReadWrite, Nomt, Options, Root, Session, SessionParams};

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::job::Job;
use crate::workload::{Key, Value, Write};

const CACHE_MIB: usize = 512;

pub(super) struct NomtPeer {
    nomt: Nomt<Blake3Hasher>,
    /// The session that is open between commits, for reads and proofs: it blocks commits.
    session: Option<Session<Blake3Hasher>>,
}

impl NomtPeer {
    pub(super) fn open(job: &Job, directory: &Path) -> Result<Self, BenchError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Options::new();
        options.path(directory);
        let (page_mib, leaf_mib) = caches_mib(job);
        options.page_cache_size(page_mib);
        options.leaf_cache_size(leaf_mib);
        options.commit_concurrency(cores);
        options.hashtable_buckets(buckets(job));
        options.preallocate_ht(true);
        let nomt = Nomt::open(options).map_err(BenchError::at("open"))?;
        Ok(Self {
            nomt,
            session: None,
        })
    }

    fn session(&mut self) -> &Session<Blake3Hasher> {
        self.session
            .get_or_insert_with(|| self.nomt.begin_session(SessionParams::default()))
    }
}

/// A page of the trie leads to the leaves of many keys: it gets two thirds of a bound for both caches.
fn caches_mib(job: &Job) -> (usize, usize) {
    let Some(bytes) = job.cache_bytes else {
        return (CACHE_MIB, CACHE_MIB);
    };
    let third = (bytes / 3 >> 20) as usize;
    (2 * third, third)
}

/// Its default holds a few million keys: pages of fewer than twenty leaves are not stored, so that up to
/// there the first three levels of pages are nearly all there is. Beyond, the fourth fills.
fn buckets(job: &Job) -> u32 {
    const DEFAULT: u32 = 64_000;
    const FOURTH_LEVEL: u32 = 500_000;
    if job.keys + job.operations / 2 <= 2_000_000 {
        DEFAULT
    } else {
        FOURTH_LEVEL
    }
}

impl Peer for NomtPeer {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        self.session = None;
        let session = self.nomt.begin_session(SessionParams::default());
        let mut writes: Vec<(Key, KeyReadWrite)> = batch
            .iter()
            .map(|write| (write.key, KeyReadWrite::Write(Some(write.value.to_vec()))))
            .collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        let finished = session.finish(writes).map_err(BenchError::at("commit"))?;
        finished
            .commit(&self.nomt)
            .map_err(BenchError::at("commit"))?;
        Ok(durable_already())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let found = self.session().read(*key).map_err(BenchError::at("get"))?;
        let value = found.map(|value| Value::try_from(&*value));
        value.transpose().map_err(BenchError::at("get"))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &["path"]
    }

    fn proves_absence(&self) -> bool {
        true
    }

    fn prove(&mut self, _: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let session = self.session();
        let path = session.prove(*key).map_err(BenchError::at("prove"))?;
        let value = session.read(*key).map_err(BenchError::at("prove"))?;
        Ok(Box::new(PathFromRoot {
            path,
            value_bytes: value.map_or(0, |value| value.len()),
            root: self.nomt.root(),
        }))
    }

    fn close(self: Box<Self>) -> Result<(), BenchError> {
        Ok(())
    }
}

struct PathFromRoot {
    path: PathProof,
    value_bytes: usize,
    root: Root,
}

impl PathFromRoot {
    fn shows_value(&self, path: &PathProof, leaf: &LeafData) -> bool {
        let bits = leaf.key_path.view_bits::<Msb0>();
        path.verify::<Blake3Hasher>(bits, self.root.into_inner())
            .is_ok_and(|verified| verified.confirm_value(leaf).unwrap_or(false))
    }
}

impl Proof for PathFromRoot {
    /// Counts the siblings, the leaf's value hash and the value; of another key's leaf the key as well.
    fn encoded_bytes(&self) -> usize {
        let leaf = match &self.path.terminal {
            PathProofTerminal::Leaf(_) => size_of::<LeafData>(),
            PathProofTerminal::Terminator(_) => 0,
        };
        (size_of::<[u8; 32]>() * self.path.siblings.len() + leaf + self.value_bytes)
            .saturating_sub(size_of::<Key>())
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        let Some(value) = value else {
            let bits = key.view_bits::<Msb0>();
            return self
                .path
                .verify::<Blake3Hasher>(bits, self.root.into_inner())
                .is_ok_and(|verified| verified.confirm_nonexistence(key).unwrap_or(false));
        };
        let leaf = LeafData {
            key_path: *key,
            value_hash: Blake3Hasher::hash_value(value),
        };
        if self.path.terminal.as_leaf_option().as_ref() == Some(&leaf) {
            return self.shows_value(&self.path, &leaf);
        }
        let mut other = self.path.clone();
        other.terminal = PathProofTerminal::Leaf(leaf.clone());
        self.shows_value(&other, &leaf)
    }
}
