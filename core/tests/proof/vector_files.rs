//! With `TRUNKLINE_WRITE_VECTORS` set the files are written instead.

use crate::vectors;

#[test]
fn the_vectors_are_what_the_model_says_byte_for_byte() {
    let write = std::env::var_os("TRUNKLINE_WRITE_VECTORS").is_some();
    for file in vectors::made() {
        let path = vectors::path(file.name);
        if write {
            std::fs::write(&path, &file.text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(
            found == file.text,
            "{} is not what the model makes of it; tests/vectors/README.md says how to write it again",
            path.display()
        );
    }
}
