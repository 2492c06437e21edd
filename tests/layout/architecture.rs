//! ARCHITECTURE.md names files and functions that exist.

use std::fs;

use crate::sources::root;

#[test]
fn every_file_and_function_that_the_map_names_exists() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names: Vec<&str> = map.split('`').skip(1).step_by(2).collect();
    let mut functions = 0;
    for name in names {
        let Some((path, function)) = name.split_once(".rs::") else {
            continue;
        };
        let path = format!("{path}.rs");
        let text = fs::read_to_string(root().join(&path));
        let text = text.unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
        let is_there =
            text.contains(&format!("fn {function}(")) || text.contains(&format!("fn {function}<"));
        assert!(is_there, "{path} has no function {function}");
        functions += 1;
    }
    assert!(functions >= 10, "the map walks a batch by its functions");
}
