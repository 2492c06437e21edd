//! The naive baseline: a first attempt at the same tree.
//!
//! Width 128, depth 8, and every one of the 8 nodes on a key's path is a KZG commitment to its 128 slots, computed
//! again from all of them at each change; the value of a child is the hash of its commitment. Nodes are JSON in fjall.
//! One thread; a put reads, changes, commits and writes the 8 nodes of its path, and returns when that is on the
//! device.
//!
//! Some choices favour the baseline: its commitments come from the engine's own tables, an empty slot costs nothing,
//! and the nine entries of a put share one sync. Keys that share all 56 bits of path replace one another here; the
//! workloads have none.

mod node;
mod scratch;
mod store;

use std::path::Path;
use std::time::Instant;

use trunkline::core::hash::hex;
use trunkline::core::kzg::{CommitmentPoint, Committer, G1Bytes, Setup};

use crate::error::LadderError;
use crate::figures::{Figures, Latencies};
use crate::job::NaiveJob;
use crate::process;
use crate::workload::{self, Fresh, Key, Updates, Value, Write};

use node::{DEPTH, Position, value_of_child, value_of_leaf};
use store::Store;

/// Number of keys of the small state on which each run first checks its root.
const CHECKED_KEYS: u64 = 40;

/// The baseline in a directory.
struct Naive {
    store: Store,
    committer: Committer,
    root: G1Bytes,
}

impl Naive {
    fn open(directory: &Path) -> Result<Self, LadderError> {
        let setup = Setup::ceremony().map_err(LadderError::at("check the setup"))?;
        Ok(Self {
            store: Store::open(directory)?,
            committer: Committer::new(&setup),
            root: CommitmentPoint::IDENTITY.to_bytes(),
        })
    }

    /// Builds the nodes above many keys at once, in an empty store.
    fn load(&mut self, writes: &[Write]) -> Result<(), LadderError> {
        let leaves = scratch::leaves(writes.iter().map(|write| (&write.key, &write.value)));
        let store = &mut self.store;
        self.root = scratch::root(&self.committer, &leaves, &mut |position, node| {
            store.put_node(position, node)
        })?;
        for write in writes {
            self.store.put_value(&write.key, &write.value)?;
        }
        self.store.sync()
    }

    fn put(&mut self, key: &Key, value: &Value) -> Result<(), LadderError> {
        let leaf = Position::leaf_of(key);
        let mut child = value_of_leaf(key, value);
        for level in (0..DEPTH).rev() {
            let position = leaf.ancestor(level);
            let mut node = self.store.node(&position)?.unwrap_or_default();
            node.set(leaf.digit(level), &child);
            let commitment = node.commit(&self.committer)?;
            self.store.put_node(&position, &node)?;
            child = value_of_child(&commitment);
            self.root = commitment;
        }
        self.store.put_value(key, value)?;
        self.store.sync()
    }
}

/// Checks the baseline, loads it, and puts one key after the other.
pub(crate) fn run(job: &NaiveJob) -> Result<Figures, LadderError> {
    let directory = tempfile::Builder::new()
        .prefix("ladder-naive-")
        .tempdir_in(&job.directory)
        .map_err(LadderError::file(&job.directory))?;
    check(&directory.path().join("checked"))?;
    let mut naive = Naive::open(&directory.path().join("state"))?;
    let mut writes = Vec::new();
    workload::fill_preload(&mut writes, 0, job.keys);
    naive.load(&writes)?;
    process::wait_until_idle();
    process::warm_memory().map_err(LadderError::at("touch memory"))?;
    let mut updates = Updates::after_preload(job.keys, Fresh::Half);
    updates.fill(&mut writes, job.puts);
    let written_before = process::written_bytes();
    let mut figures = measure(&mut naive, &writes)?;
    for write in &writes {
        if naive.store.value(&write.key)? != Some(write.value) {
            return Err(LadderError::WrongRead { read: "present" });
        }
    }
    figures.root = hex(&naive.root.0);
    drop(naive);
    let written = process::written_bytes() - written_before;
    figures.written_bytes_per_update = written as f64 / job.puts as f64;
    directory
        .close()
        .map_err(LadderError::file(&job.directory))?;
    Ok(figures)
}

fn measure(naive: &mut Naive, writes: &[Write]) -> Result<Figures, LadderError> {
    let mut durable = Latencies::new().map_err(LadderError::at("make a histogram"))?;
    let cpu_before = process::cpu_seconds();
    let started_at = Instant::now();
    for write in writes {
        let (put_at, root_before) = (Instant::now(), naive.root);
        naive.put(&write.key, &write.value)?;
        durable.record(put_at.elapsed());
        if naive.root == root_before {
            return Err(LadderError::Differs {
                what: "a root that a put did not change",
            });
        }
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let puts = writes.len() as f64;
    Ok(Figures {
        updates_per_second: puts / seconds,
        durable_p50_ms: durable.at_ms(0.5),
        durable_p99_ms: durable.at_ms(0.99),
        cpu_us_per_update: (process::cpu_seconds() - cpu_before) * 1e6 / puts,
        resident_bytes: process::resident_bytes(),
        ..Figures::default()
    })
}

/// Checks on a small state that the root after each put is the one computed from scratch.
fn check(directory: &Path) -> Result<(), LadderError> {
    let mut naive = Naive::open(directory)?;
    let mut writes = Vec::new();
    workload::fill_preload(&mut writes, 0, CHECKED_KEYS / 2);
    naive.load(&writes)?;
    let mut updates = Updates::after_preload(CHECKED_KEYS / 2, Fresh::Half);
    let mut batch = Vec::new();
    updates.fill(&mut batch, CHECKED_KEYS);
    for write in batch {
        naive.put(&write.key, &write.value)?;
        writes.retain(|earlier| earlier.key != write.key);
        writes.push(write);
        let leaves = scratch::leaves(writes.iter().map(|write| (&write.key, &write.value)));
        let expected = scratch::root(&naive.committer, &leaves, &mut |_, _| Ok(()))?;
        if naive.root != expected {
            return Err(LadderError::Differs {
                what: "the baseline's root",
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_puts_are_those_computed_from_scratch() {
        let directory = tempfile::tempdir().expect("a directory");
        check(directory.path()).expect("the same roots");
    }

    #[test]
    fn a_load_gives_the_root_of_the_same_puts_one_by_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut writes = Vec::new();
        workload::fill_preload(&mut writes, 0, 20);
        let mut loaded = Naive::open(&directory.path().join("loaded")).expect("a store");
        loaded.load(&writes).expect("loaded");
        let mut put = Naive::open(&directory.path().join("put")).expect("a store");
        for write in writes.iter().rev() {
            put.put(&write.key, &write.value).expect("put");
        }
        assert_eq!(loaded.root, put.root);
    }
}
