//! The index of keys of a leaf store: compares it with the leaves, and rebuilds it from them.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use trunkline_core::params::TreeParams;
use trunkline_core::store::key_index::KeyScan;
use trunkline_core::store::leaves::{
    ALL_KEY_HASHES, LEAVES_DIRECTORY, LeafSnapshot, LeafStoreError,
};

use super::finding::{CheckReport, Fault, Finding, Part, Repair};

const ALL_KEYS: KeyScan<'_> = KeyScan {
    lower: Bound::Unbounded,
    upper: Bound::Unbounded,
    is_reverse: false,
};

/// Compares the index with the leaves: it must have exactly their keys.
pub(super) fn examine(
    directory: &Path,
    params: &TreeParams,
    leaves: &dyn LeafSnapshot,
    report: &mut CheckReport,
) {
    let path = directory.join(LEAVES_DIRECTORY);
    let fault: Fault = match counts(params, leaves) {
        // Unreadable leaves are reported where the leaves are examined.
        Err(error) => error.into(),
        Ok(counts) if counts.keys == counts.leaves && counts.strays == 0 => return,
        Ok(counts) => Fault::Differs {
            what: "the index of keys",
            expected: format!("the {} keys of the leaves", counts.leaves),
            found: format!("{} keys, {} of them of no leaf", counts.keys, counts.strays),
        },
    };
    let mut finding = Finding::new(Part::KeyOrder, path, fault);
    finding.repair = cfg!(feature = "fjall").then_some(Repair::KeyOrder);
    report.add(finding);
}

/// The number of leaves, of keys in the index, and of keys without a leaf.
#[derive(Default)]
struct Counts {
    leaves: u64,
    keys: u64,
    strays: u64,
}

fn counts(params: &TreeParams, leaves: &dyn LeafSnapshot) -> Result<Counts, LeafStoreError> {
    let mut counts = Counts::default();
    leaves.scan(ALL_KEY_HASHES, &mut |_, _, _| {
        counts.leaves += 1;
        ControlFlow::Continue(())
    })?;
    let mut failed = Ok(());
    leaves.scan_keys(&ALL_KEYS, &mut |key| {
        counts.keys += 1;
        match leaves.get(&params.key_hash(key)) {
            Ok(leaf) => counts.strays += u64::from(leaf.is_none()),
            Err(error) => {
                failed = Err(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failed.map(|()| counts)
}

#[cfg(feature = "fjall")]
mod rebuild {
    use bytes::Bytes;
    use trunkline_core::store::disk::OsDisk;
    use trunkline_core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    use trunkline_core::store::key_index::KeyChange;
    use trunkline_core::store::leaves::LeafStore;
    use trunkline_core::store::tree_file;

    use super::super::repair::RepairError;
    use super::*;
    use crate::error::OpenError;

    /// Number of keys that are ingested at once.
    const KEYS_AT_ONCE: usize = 1 << 20;

    /// Rebuilds the index of a directory in place: it holds nothing that the leaves do not.
    pub(in crate::check) fn in_directory(directory: &Path) -> Result<(), RepairError> {
        let params = tree_file::read(&OsDisk, directory).map_err(OpenError::from)?;
        let options = FjallOptions {
            key_order: true,
            ..FjallOptions::default()
        };
        let store = FjallLeafStore::open(&directory.join(LEAVES_DIRECTORY), &options)?;
        of_leaves(&store, &params)?;
        Ok(store.sync()?)
    }

    /// Adds the key of each leaf to the index, and removes all others.
    pub(in crate::check) fn of_leaves(
        store: &FjallLeafStore,
        params: &TreeParams,
    ) -> Result<(), LeafStoreError> {
        let leaves = store.snapshot()?;
        let mut puts = Gathered::new(store, true);
        leaves.scan(ALL_KEY_HASHES, &mut |_, key, _| puts.add(key))?;
        puts.finish()?;
        let mut strays = Gathered::new(store, false);
        leaves.scan_keys(
            &ALL_KEYS,
            &mut |key| match leaves.get(&params.key_hash(key)) {
                Ok(Some(_)) => ControlFlow::Continue(()),
                Ok(None) => strays.add(key),
                Err(error) => strays.fail(error),
            },
        )?;
        strays.finish()
    }

    /// Keys that are gathered until there are enough for an ingestion.
    struct Gathered<'a> {
        store: &'a FjallLeafStore,
        is_present: bool,
        keys: Vec<Bytes>,
        result: Result<(), LeafStoreError>,
    }

    impl<'a> Gathered<'a> {
        fn new(store: &'a FjallLeafStore, is_present: bool) -> Self {
            Self {
                store,
                is_present,
                keys: Vec::new(),
                result: Ok(()),
            }
        }

        fn add(&mut self, key: &[u8]) -> ControlFlow<()> {
            self.keys.push(Bytes::copy_from_slice(key));
            if self.keys.len() < KEYS_AT_ONCE {
                return ControlFlow::Continue(());
            }
            match self.ingest() {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => self.fail(error),
            }
        }

        fn fail(&mut self, error: LeafStoreError) -> ControlFlow<()> {
            self.result = Err(error);
            ControlFlow::Break(())
        }

        fn finish(mut self) -> Result<(), LeafStoreError> {
            std::mem::replace(&mut self.result, Ok(()))?;
            self.ingest()
        }

        fn ingest(&mut self) -> Result<(), LeafStoreError> {
            let mut keys = std::mem::take(&mut self.keys);
            if keys.is_empty() {
                return Ok(());
            }
            keys.sort_unstable();
            let is_present = self.is_present;
            let mut changes = keys.iter().map(|key| KeyChange { key, is_present });
            self.store.ingest_keys(&mut changes)
        }
    }
}

#[cfg(feature = "fjall")]
pub(super) use rebuild::{in_directory, of_leaves};
