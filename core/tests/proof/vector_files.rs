//! With `TRUNKLINE_WRITE_VECTORS` set the files are written instead.

use crate::vectors;

#[test]
fn the_vectors_are_what_the_model_says_byte_for_byte() {
    for file in vectors::made() {
        file.assert_written();
    }
}
