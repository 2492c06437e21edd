//! With `TRUNKLINE_WRITE_VECTORS` set the file is written instead.

use crate::vectors;

#[test]
fn the_vectors_are_what_the_model_says_byte_for_byte() {
    vectors::made().assert_written();
}
