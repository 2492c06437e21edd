//! Walks over all keys and values of a snapshot.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use trunkline_actors::state::read::ReadError;
use trunkline_actors::state::values::FetchError;
use trunkline_core::hash::Digest;
use trunkline_core::tree::{Leaf, NotInMemory};

use super::Snapshot;

/// A walk over all keys and values of a snapshot, in the order of the key hashes. Created by [`Snapshot::iter`].
///
/// Reads ahead about a mebibyte of leaves that are not in memory. After an error the walk ends.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let all = engine.snapshot().iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(all, [("alice".into(), "10".into())]);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SnapshotIter<'a> {
    snapshot: &'a Snapshot,
    ready: VecDeque<Entry>,
    /// The key hash from which the next entries are read.
    next: Option<Digest>,
}

/// An entry of a walk.
#[derive(Debug)]
enum Entry {
    /// A leaf in memory, whose value has not been read yet.
    Leaf(Leaf),
    /// A key and its value, read from the leaf store.
    Pair((Bytes, Bytes)),
}

/// Some entries, and the key hash from which the next ones are read.
type Step = (VecDeque<Entry>, Option<Digest>);

/// The bytes of keys and values that a walk reads ahead.
const STEP_BYTES_MAX: usize = 1 << 20;

impl Snapshot {
    /// Returns an iterator over all keys and values, in the order of the key hashes. Each step may block while it reads
    /// the leaf store.
    pub fn iter(&self) -> SnapshotIter<'_> {
        SnapshotIter {
            snapshot: self,
            ready: VecDeque::new(),
            next: Some([0; 32]),
        }
    }

    /// Reads keys and values that are not in memory, in the range from `from` to before `end`. Stops when the bytes
    /// reach the bound.
    fn evicted_pairs(&self, from: Digest, end: Option<Digest>) -> Result<Step, ReadError> {
        let leaves = self.store().leaves()?;
        let (mut ready, mut bytes, mut next) = (VecDeque::new(), 0, end);
        let scanned = leaves.scan(from..=[0xff; 32], &mut |key_hash, key, value| {
            if end.is_some_and(|end| *key_hash >= end) {
                return ControlFlow::Break(());
            }
            if bytes > STEP_BYTES_MAX {
                next = Some(*key_hash);
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            let pair = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            ready.push_back(Entry::Pair(pair));
            ControlFlow::Continue(())
        });
        self.check_readable()?;
        scanned.map_err(FetchError::from)?;
        self.state.metrics.store_read();
        Ok((ready, next))
    }
}

impl SnapshotIter<'_> {
    fn step(&self, from: Digest) -> Result<Step, ReadError> {
        let snapshot = self.snapshot;
        if let Some(past) = snapshot.past() {
            let (pairs, next) = past.step(from)?;
            let pairs = pairs.into_iter().map(|(_, pair)| Entry::Pair(pair));
            return Ok((pairs.collect(), next));
        }
        let (leaves, next) = snapshot.state.reader.leaves_from(snapshot.version(), &from);
        snapshot.check_readable()?;
        match leaves {
            Ok(leaves) => Ok((leaves.into_iter().map(Entry::Leaf).collect(), next)),
            Err(NotInMemory) => snapshot.evicted_pairs(from, next),
        }
    }

    fn next_entry(&mut self) -> Result<Option<(Bytes, Bytes)>, ReadError> {
        while self.ready.is_empty() {
            let Some(from) = self.next.take() else {
                return Ok(None);
            };
            (self.ready, self.next) = self.step(from)?;
        }
        match self.ready.pop_front() {
            None => Ok(None),
            Some(Entry::Pair(pair)) => Ok(Some(pair)),
            Some(Entry::Leaf(leaf)) => {
                let (state, snapshot) = (&self.snapshot.state, self.snapshot);
                let found = state.values.key_and_value(&leaf, || snapshot.store());
                snapshot.readable(found).map(Some)
            }
        }
    }
}

impl Iterator for SnapshotIter<'_> {
    type Item = Result<(Bytes, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_entry();
        if entry.is_err() {
            self.ready.clear();
            self.next = None;
        }
        entry.transpose()
    }
}
