//! Bytes that may never change while the format is 1.

use trunkline_core::proof::Proof;

use crate::fixture::{self, colliding_keys, number_key, plain};
use crate::naive::NaiveState;

fn assert_fixed(proof: &Proof, expected: &str) {
    let expected: String = expected.split_whitespace().collect();
    assert_eq!(hex::encode(proof.encode().unwrap()), expected);
}
