//! trunkline over a network: gRPC and HTTP/JSON over the same handlers.

#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
pub mod backend;
pub mod error;
pub mod proto;
