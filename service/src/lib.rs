//! trunkline over a network: gRPC and HTTP/JSON over the same handlers.

#![forbid(unsafe_code)]

pub mod admission;
pub mod api;
pub mod backend;
pub mod error;
mod grpc;
mod http;
pub mod page;
pub mod proto;
pub mod server;
