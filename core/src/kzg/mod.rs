//! The commitment to a root node: KZG over BLS12-381 on the 128 slots.
//!
//! The 128 slot digests, each read as a big-endian integer with its top two bits cleared, are the values of a
//! polynomial of degree below 128 on the 128th roots of unity: slot `i` at `ω^i`. The *KZG root* is the commitment to
//! that polynomial (Kate, Zaverucha, Goldberg, ASIACRYPT 2010) under the public Ethereum ceremony, so an opening of one
//! slot is exactly what the point-evaluation precompile of EIP-4844 checks.
//!
//! | file | holds |
//! | --- | --- |
//! | `point` | 48-byte points of G1, with one encoding each |
//! | `scalar` | slots and field elements, with one encoding each |
//! | `verify` | one opening; the only point of the setup that a verifier needs |
//! | `aggregate` | one opening for many slots: the part that prover and verifier share |
//! | `check` | many openings and aggregates with one pairing check |
//! | `setup` | the points of the ceremony, and their checks (feature `state`) |
//! | `affine` | many additions that share one inversion (feature `state`) |
//! | `tables` | fixed-base tables, built or read from bytes (feature `state`) |
//! | `commit` | commitment, update (feature `state`) |
//! | `open` | opening proofs (feature `state`) |
//!
//! The `tree` determines the digest in each slot, and `proof` the slots that a proof opens.

#[cfg(feature = "state")]
mod affine;
mod aggregate;
mod check;
mod point;
mod scalar;
mod verify;

#[cfg(feature = "state")]
mod commit;
#[cfg(feature = "state")]
mod open;
#[cfg(feature = "state")]
mod setup;
#[cfg(feature = "state")]
mod tables;

pub use aggregate::{AggregateProof, OpenedVersion};
pub use ark_bls12_381::Fr;
pub use check::{Checks, VerifyOpeningsError, verify_aggregate, verify_openings};
pub use point::{G1Bytes, PointError, decode_g1, encode_g1};
pub use scalar::{
    Slot, SlotError, decode_scalar, encode_scalar, root_of_unity, roots_of_unity, slot_point,
    slot_value, slot_value_bytes,
};
pub use verify::{Opening, TAU_G2, VerifyOpeningError, pairings_agree, verify_opening};

#[cfg(feature = "state")]
pub use commit::{CommitmentPoint, Committer, SlotChange};
#[cfg(feature = "state")]
pub use setup::{Setup, SetupError};
#[cfg(feature = "state")]
pub use tables::{TABLE_BITS, TABLES_BYTES, TABLES_ID, Tables, TablesError};
