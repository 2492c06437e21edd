//! Compiles the wire form with `protox`, so that no `protoc` has to be installed.

use std::error::Error;

const FILE: &str = "proto/trunkline/replication/v1/replication.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FILE}");
    let descriptors = protox::compile([FILE], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
