//! What readers see: the published versions, their values, and the accepted writes above them.
//!
//! | file | for |
//! | --- | --- |
//! | `published` | [`State`], which holds the rest |
//! | `read` | how a key is found |
//! | `overlay` | writes that are accepted and not applied |
//! | `layer`, `values`, `value_cache` | where values are: a layer for each version, the leaf store, a cache |
//! | `versions`, `history`, `evidence` | durable versions and what is proven about them |
//! | `cold_leaves` | leaves that are not in memory |
//! | `access_sampler` | which parts of the key space are used |

pub mod access_sampler;
pub mod cold_leaves;
pub mod evidence;
pub mod history;
mod key_hasher;
pub mod layer;
pub mod overlay;
mod published;
pub mod read;
mod value_cache;
pub mod values;
pub mod versions;

pub use published::State;
