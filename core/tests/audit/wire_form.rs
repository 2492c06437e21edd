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
        "080220053230a1f8fef0f7f0bbabd58ddf7ba0ea9b52c9dd9ab004edbcfe0925678a45047ee9c604\
         a30ebedf84808333d9a8bbf919f63a10fdffffffffffffffffffffffffffff7f4240a1a1a1a1a1a1\
         a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a17f7f7f7f7f7f7f7f7f7f7f7f7f7f\
         7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f4a30a063f925c9a7cbd40f95301ae61674b318a9092a\
         9228740e87bfcfddda8c73728dc3b24851c0977c7ffeb2a4a0d13948521000000000000000000000\
         000000000000",
    );
}

#[test]
fn the_wire_form_of_most_slots_and_a_record_is_fixed() {
    let bytes = fixture::audit().encode().unwrap();
    let digest = hex::encode(blake3::hash(&bytes).as_bytes());
    let expected = "11ff3f3916b3074acdd9ee55cf6683369a5f5c4d2dcb2f91e6b9e8205ca15efb";
    assert_eq!((bytes.len(), &*digest), (3685, expected));
}
