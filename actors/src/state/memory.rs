//! Measures who takes how much memory.
//!
//! Each owner counts what it holds. What allocators add is not counted, nor are stacks of threads and what work in
//! progress holds for a moment.

use trunkline_core::kzg::TABLES_BYTES;
use trunkline_core::store::idempotency_file::KeyedSubmission;

use super::State;
use super::past::Past;
use crate::decisions::Window;
use crate::metrics::memory::MemoryUse;

/// Bytes of a remembered idempotency key: its submission, and its entry in a table that is half full.
const REMEMBERED_BYTES: usize = size_of::<KeyedSubmission>() + 2 * size_of::<([u8; 32], u64)>();
/// Bytes of the windows that are kept.
const WINDOWS_BYTES: usize = 1200 * size_of::<Window>();

impl State {
    /// Measures who takes how much memory, and shows it in the metrics.
    pub fn measure_memory(&self) -> MemoryUse {
        let store = self.values.store().leaves();
        let remembered = self.metrics.idempotency_keys_now() as usize * REMEMBERED_BYTES;
        let bookkeeping = remembered
            + WINDOWS_BYTES
            + self.metrics.memory_bytes()
            + self.history.memory_bytes()
            + self.recent_keys.memory_bytes();
        let memory = MemoryUse {
            changes: self.reader.buffer_bytes() as u64,
            versions: (self.reader.replaced_bytes() + self.versions.memory_bytes()) as u64,
            layers: self.values.layers_bytes() as u64,
            overlay: self.overlay.memory_bytes() as u64,
            value_cache: self.values.cache_bytes(),
            leaf_store: store.map_or(0, |store| store.memory_bytes()),
            forks: self.metrics.fork_bytes_now(),
            archive: self.past.as_ref().map_or(0, Past::recent_bytes) as u64,
            kzg: TABLES_BYTES as u64,
            bookkeeping: bookkeeping as u64,
        };
        self.metrics.memory(&memory);
        memory
    }
}
