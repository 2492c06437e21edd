//! trunkline over a network.
#![forbid(unsafe_code)]

pub mod observe;
