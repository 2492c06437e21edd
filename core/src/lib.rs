//! The pure half of trunkline: an authenticated key-value tree, its commitment, its proofs and the stores that make it
//! durable.
//!
//! It has no actors, clocks, threads or network; those are in the crates that use it.
//!
//! With default features off, the crate is only the verifier: [`hash`], [`params`], [`record`] and the checking halves
//! of [`audit`], `kzg`, `proof`, [`history`] and [`evidence`]. It then needs `core` and `alloc`, and no `std`
//! (`README.md`).

#![cfg_attr(not(any(feature = "state", test)), no_std)]
#![cfg_attr(not(feature = "state"), forbid(unsafe_code))]
#![cfg_attr(feature = "state", deny(unsafe_code))]

extern crate alloc;

pub mod audit;
#[cfg(feature = "state")]
pub mod batch;
pub mod evidence;
#[cfg(feature = "state")]
pub mod frame;
pub mod hash;
pub mod history;
pub mod kzg;
pub mod outcome;
#[cfg(feature = "state")]
mod parallel;
pub mod params;
#[cfg(feature = "state")]
mod prefetch;
pub mod proof;
pub mod record;
mod short;
#[cfg(feature = "state")]
pub mod store;
#[cfg(feature = "state")]
pub mod tree;
pub mod wire;

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
