//! The header that C reads is the one that this crate gives.

use std::path::Path;

const HEADER: &str = "include/trunkline_verifier.h";

#[test]
fn the_header_is_up_to_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("settings");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["lib.rs", "claims.rs"] {
        builder = builder.with_src(here.join("src").join(file));
    }
    let mut generated = Vec::new();
    builder.generate().expect("bindings").write(&mut generated);
    let generated = String::from_utf8(generated).expect("text");
    let path = here.join(HEADER);
    if std::env::var_os("TRUNKLINE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).expect("the header can be written");
    }
    let found = std::fs::read_to_string(&path).expect("the header is there");
    assert!(
        found == generated,
        "{HEADER} is out of date: run this test with TRUNKLINE_WRITE_HEADER=1"
    );
}
