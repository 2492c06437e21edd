//! trunkline over a network: gRPC and HTTP with JSON over the same handlers.
//!
//! A request passes `listen` (sockets, TLS, limits of connections), `auth` (authentication and scopes), `router`
//! (admission and deadline), `http` or `grpc` (its form) and `api` (the handlers), which call the engine or replica of
//! `backend`. `page` is the page for browsers. [`Server`] combines them.

#![forbid(unsafe_code)]

mod admission;
pub mod api;
pub mod auth;
mod backend;
pub mod error;
mod grpc;
mod http;
pub mod listen;
pub mod observe;
pub mod page;
mod peer;
pub mod proto;
mod router;
mod server;
pub mod systemd;
mod watched;

pub use api::Reload;
pub use backend::Backend;
pub use peer::{ClientCertificate, Peer, Source};
pub use router::router;
pub use server::{BindError, Server, Service};
pub use watched::FileError;

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
