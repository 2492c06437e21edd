//! Bytes that may never change while the format is 2.

use trunkline_core::params::TreeParams;

use crate::fixture;

#[test]
fn the_wire_form_of_a_state_with_two_slots_is_fixed() {
    let mut slots = [[0; 32]; 128];
    (slots[1], slots[127]) = ([0xa1; 32], [0x7f; 32]);
    let bytes = fixture::audit_of(TreeParams::default(), slots).encode();
    assert_eq!(
        hex::encode(bytes.unwrap()),
        "080120053230a1f8fef0f7f0bbabd58ddf7ba0ea9b52c9dd9ab004edbcfe0925678a45047ee9c604\
         a30ebedf84808333d9a8bbf919f63a10fdffffffffffffffffffffffffffff7f4240a1a1a1a1a1a1\
         a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a17f7f7f7f7f7f7f7f7f7f7f7f7f7f\
         7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f4a30af5b02414a3dd63cab4d2c62c87d3a295660395b\
         b6306279f2ce1e132e42073d9fa6f6a6281fb2986a8a89c84d6ab617",
    );
}

#[test]
fn the_wire_form_of_most_slots_and_a_record_is_fixed() {
    let bytes = fixture::audit().encode().unwrap();
    let digest = hex::encode(blake3::hash(&bytes).as_bytes());
    let expected = "84bea965b5518d66a9542fb52c0297e261bd873386a94302173835a7e5c854e7";
    assert_eq!((bytes.len(), &*digest), (3667, expected));
}
