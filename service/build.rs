//! Compiles the service's protocol with `protox`, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;
use tonic_prost_build::Config;

const FILE: &str = "proto/trunkline/service/v1/service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FILE}");
    let descriptors = protox::compile([FILE], ["proto"])?;
    // Served by reflection.
    let file = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(file, descriptors.encode_to_vec())?;
    let mut config = Config::new();
    // Keys and values are slices of the message that contained them.
    config.bytes(["."]);
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
