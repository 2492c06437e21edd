//! The pure half of trunkline: an authenticated key-value tree, its commitment, its proofs and
//! the stores that make it durable.
//!
//! Deliberately not here: actors, clocks, threads of its own, the network. Those live in the
//! `trunkline` crate, which drives this one.
//!
//! With default features off the crate is the verifier alone: [`hash`], [`params`], [`record`]
//! and the checking halves of `kzg` and `proof`.

#![forbid(unsafe_code)]

pub mod hash;
pub mod history;
pub mod params;
pub mod record;
#[cfg(feature = "state")]
pub mod store;
