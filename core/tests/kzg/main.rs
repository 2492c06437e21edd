//! The commitment against the official vectors, against c-kzg, and against damage.
//!
//! What needs no prover also runs without the feature `state`: that is the verifier as it ships.

#[cfg(feature = "state")]
mod a_list_with_a_false_opening_is_refused;
#[cfg(feature = "state")]
mod a_text_that_is_not_the_ceremony_is_refused;
#[cfg(feature = "state")]
mod an_aggregate_opens_many_slots_at_once;
#[cfg(feature = "state")]
mod an_opening_moves_along_with_its_values;
#[cfg(feature = "state")]
mod c_kzg_accepts_our_openings;
#[cfg(feature = "state")]
mod commitments_are_those_of_c_kzg;
#[cfg(feature = "state")]
mod every_flipped_bit_is_refused;
mod official_vectors_all_agree;
#[cfg(feature = "state")]
mod support;
#[cfg(feature = "state")]
mod the_identity_commits_to_nothing;
#[cfg(feature = "state")]
mod updates_equal_commitments_from_scratch;
