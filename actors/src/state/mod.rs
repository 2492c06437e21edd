//! What readers see: the published versions, their values, and the accepted writes above them.

pub mod access_sampler;
pub mod cold_leaves;
pub mod evidence;
pub mod history;
pub mod layer;
pub mod overlay;
mod value_cache;
pub mod values;
pub mod versions;
