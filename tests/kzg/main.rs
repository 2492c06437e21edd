//! The commitment against the official vectors, against c-kzg, and against damage.

#![cfg(feature = "state")]

mod a_list_with_a_false_opening_is_refused;
mod a_text_that_is_not_the_ceremony_is_refused;
mod c_kzg_accepts_our_openings;
mod commitments_are_those_of_c_kzg;
mod every_flipped_bit_is_refused;
mod official_vectors_all_agree;
mod support;
mod the_identity_commits_to_nothing;
mod updates_equal_commitments_from_scratch;
