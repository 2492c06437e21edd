//! trunkline over a network: gRPC and HTTP/JSON over the same handlers.

#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
pub mod auth;
pub mod backend;
pub mod error;
mod grpc;
mod http;
pub mod listen;
mod peer;
pub mod proto;
pub mod server;
pub mod systemd;
mod watched;

pub use peer::{ClientCertificate, Peer, Source};
pub use watched::FileError;
