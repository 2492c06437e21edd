//! Compiles the wire form of proofs with `protox`, so that no `protoc` has to be installed.

use std::error::Error;

const PROOF: &str = "proto/trunkline/proof/v1/proof.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROOF}");
    let descriptors = protox::compile([PROOF], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
