//! Shared parts of trunkline's tests and benches: a naive model for comparison, states and proofs, and allocators that
//! check.
//!
//! * by definition, without code of the core: [`naive`], [`naive_kzg`], [`protobuf`], [`wire_mutations`];
//! * inputs: [`keys`], [`states`], [`proven`], [`random`], [`fixture`], [`points`];
//! * servers and networks: `nats`, `namespaces`;
//! * checks: [`tree`], [`counting`], [`guarded`], [`patience`], [`vectors`].
//!
//! Parts that only one test binary needs are not here.

pub mod cap_at_rest;
pub mod counting;
pub mod fixture;
#[cfg(target_os = "linux")]
pub mod guarded;
pub mod keys;
pub mod naive;
pub mod naive_kzg;
#[cfg(target_os = "linux")]
pub mod namespaces;
#[cfg(target_os = "linux")]
pub mod nats;
pub mod patience;
pub mod points;
pub mod protobuf;
pub mod proven;
pub mod random;
pub mod states;
pub mod tree;
pub mod vectors;
pub mod wire_mutations;

pub use keys::path_collisions;
