//! trunkline over a network.
#![forbid(unsafe_code)]

pub mod auth;
pub mod listen;
mod peer;
pub mod systemd;
mod watched;

pub use peer::{ClientCertificate, Peer, Source};
pub use watched::FileError;
