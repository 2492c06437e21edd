//! The state that readers see, with everything that a read or a proof needs.

use std::fmt;
use std::sync::Arc;

use trunkline_core::kzg::{Committer, slot_value};
use trunkline_core::params::TreeParams;
use trunkline_core::tree::TreeReader;

use super::access_sampler::AccessSampler;
use super::history::History;
use super::layer::Layer;
use super::overlay::Overlay;
use super::past::Past;
use super::recent_keys::RecentKeys;
use super::values::Values;
use super::versions::{Expired, Version, Versions};
use crate::config::runtime::RuntimeSettings;
use crate::metrics::Metrics;
use crate::runtime::pool::Pools;

/// The state that readers see. It is sufficient for snapshots, with or without a running engine.
pub struct State {
    /// Parameters of the tree.
    pub params: TreeParams,
    /// Digests and leaves of all readable versions.
    pub reader: TreeReader,
    /// The accepted writes that the tree has not applied yet.
    pub overlay: Overlay,
    /// Values of all readable versions.
    pub values: Values,
    /// The keys that the index of the leaf store may not have yet.
    pub recent_keys: RecentKeys,
    /// Durable versions that can be read.
    pub versions: Versions,
    /// The versions that are no longer in memory, if they are archived.
    pub past: Option<Past>,
    /// Commit ids of all versions.
    pub history: History,
    /// The source of KZG roots and openings.
    pub committer: Arc<Committer>,
    /// Worker threads.
    pub pools: Arc<Pools>,
    /// The settings in force.
    pub settings: Arc<RuntimeSettings>,
    /// The samples of the keys that are read and written.
    pub access_sampler: AccessSampler,
    /// The measurements.
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("State")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Returns the last version that the tree has applied.
    pub fn present(&self) -> u64 {
        self.values.newest()
    }

    /// Returns the oldest version that can be read, in memory or archived.
    pub fn oldest_version(&self) -> u64 {
        let in_memory = self.versions.oldest();
        let past = self.past.as_ref().map(Past::oldest);
        past.map_or(in_memory, |archived| archived.min(in_memory))
    }

    /// Makes the next applied version the present one. Its writes may leave the overlay only after that.
    pub fn advance_present(&self, layer: Arc<Layer>) {
        self.values.push(layer);
    }

    /// Returns the KZG root of a version. The first call for a version that has none yet computes it (2 ms).
    pub fn kzg_root(&self, version: &Version) -> [u8; 48] {
        *version.kzg_root.get_or_init(|| {
            let values = version.roots.slots.each_ref().map(slot_value);
            self.committer.commit(&values).to_bytes().0
        })
    }

    /// Frees data that no reader needs any more, on the caller's thread.
    pub fn forget(&self, expired: Expired) {
        if let Some(past) = &self.past {
            past.capture(&self.reader, &expired);
        }
        self.reader.retire(expired.oldest);
        self.values.forget(expired.layers_up_to);
        self.recent_keys.forget(expired.layers_up_to);
    }
}
