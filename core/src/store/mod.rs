//! Durability of a tree: the commit log, the checkpoint manifest, and the leaf stores.
//!
//! Everything here is synchronous: no threads, no clock, and no policy of when to sync or to checkpoint. The
//! engine decides that, and uses the modules like this:
//!
//! * persist: [`log::CommitLog::append`] for every version that waits, one
//!   [`log::CommitLog::sync`], then acknowledge them all;
//! * checkpoint: [`history_file::HistoryWriter::append`] up to H (H synced) → manifest with intent H →
//!   [`idempotency_file::write`] → [`leaves::LeafStore::ingest`] → [`leaves::LeafStore::ingest_keys`] → [`leaves::LeafStore::sync`] → manifest H → [`log::CommitLog::trim`].
//!
//! The log and the small files reach the machine through [`disk::Disk`], so that
//! [`simulated::SimulatedDisk`] can lose power under them at every call.

pub mod archive;
pub mod disk;
pub mod effect;
pub mod feed_cursors;
#[cfg(feature = "fjall")]
pub mod fjall_leaves;
pub mod history_file;
pub mod idempotency_file;
pub mod key_index;
pub mod key_order_file;
pub mod leaves;
pub mod lock;
pub mod log;
pub mod manifest;
pub mod own_directory;
pub mod pages_file;
pub mod past;
pub mod replica_file;
pub mod reverts;
pub mod simulated;
pub mod tree_file;

mod cursor;
