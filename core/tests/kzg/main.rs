//! The commitment, compared with the official vectors and with c-kzg, and tested with damaged input.

#[cfg(feature = "state")]
mod aggregate;
#[cfg(feature = "state")]
mod batch_verification;
#[cfg(feature = "state")]
mod c_kzg_commitments;
#[cfg(feature = "state")]
mod c_kzg_openings;
#[cfg(feature = "state")]
mod ceremony_text;
#[cfg(feature = "state")]
mod commitment_update;
#[cfg(feature = "state")]
mod flipped_bits;
#[cfg(feature = "state")]
mod identity;
mod official_vectors;
#[cfg(feature = "state")]
mod opening_update;
#[cfg(feature = "state")]
mod support;
