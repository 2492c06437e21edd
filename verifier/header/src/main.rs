//! Compares `include/trunkline_verifier.h` with the header generated from the code of the C library; with the argument
//! `write`, writes it.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let config = cbindgen::Config::from_file(verifier.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["lib.rs", "claims.rs"] {
        builder = builder.with_src(verifier.join("src").join(file));
    }
    let mut generated = Vec::new();
    builder.generate()?.write(&mut generated);

    let header = verifier.join("include/trunkline_verifier.h");
    if std::env::args().nth(1).as_deref() == Some("write") {
        std::fs::write(header, generated)?;
    } else if std::fs::read(header)? != generated {
        return Err("include/trunkline_verifier.h is out of date: cargo run -- write".into());
    }
    Ok(())
}
