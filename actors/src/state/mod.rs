//! The state that readers see: the published versions, their values, and the accepted writes on top of them.
//!
//! | file | content |
//! | --- | --- |
//! | `published` | [`State`], which holds the rest |
//! | `read` | finding a key |
//! | `order`, `recent_keys` | reading keys in byte order |
//! | `overlay` | writes that are accepted and not applied yet |
//! | `layer`, `values`, `value_cache` | values: a layer for each version, the leaf store, a cache |
//! | `versions`, `history`, `evidence` | durable versions, and proofs about them |
//! | `past` | versions that memory does not keep, if they are archived |
//! | `cold_leaves` | leaves that are evicted from memory |
//! | `remembered_keys` | the last submissions that had an idempotency key |
//! | `memory` | who takes how much memory |
//! | `access_sampler` | samples of the keys that are used |
//! | `key_hasher` | the hasher of maps from key hashes |

pub mod access_sampler;
pub mod cold_leaves;
pub mod evidence;
pub mod history;
pub mod key_hasher;
pub mod layer;
pub mod memory;
pub mod order;
pub mod overlay;
pub mod past;
mod published;
pub mod read;
pub mod recent_keys;
pub mod remembered_keys;
pub mod value_cache;
pub mod values;
pub mod versions;

pub use published::State;
