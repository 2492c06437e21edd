//! What a contract can check of trunkline, in an EVM.

mod support;

mod a_contract_checks_a_slot_digest;
mod a_contract_computes_a_compression;
mod the_precompile_accepts_openings_of_slots;
