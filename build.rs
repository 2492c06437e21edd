//! Compiles the wire form of proofs with `protox`, so that no `protoc` has to be installed.

use std::error::Error;

const FILES: [&str; 2] = [
    "proto/trunkline/proof/v1/proof.proto",
    "proto/trunkline/proof/v1/audit.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
