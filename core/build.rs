//! Compiles the wire forms with `protox`, so that no `protoc` has to be installed.
//!
//! Each file by itself and into a directory of its own: its messages belong to the module that reads
//! them.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 2] = [
    "proto/trunkline/proof/v1/proof.proto",
    "proto/trunkline/proof/v1/audit.proto",
];

/// Directory of what is generated, and the file that it comes from.
const OTHERS: [(&str, &str); 2] = [
    ("history", "proto/trunkline/proof/v1/history.proto"),
    ("evidence", "proto/trunkline/proof/v1/evidence.proto"),
];

const FRAMES: &str = "proto/trunkline/frame/v1/frame.proto";

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    for (name, file) in OTHERS {
        println!("cargo:rerun-if-changed={file}");
        let directory = PathBuf::from(std::env::var("OUT_DIR")?).join(name);
        std::fs::create_dir_all(&directory)?;
        prost_build::Config::new()
            .out_dir(directory)
            .compile_fds(protox::compile([file], ["proto"])?)?;
    }
    if std::env::var_os("CARGO_FEATURE_STATE").is_some() {
        compile_frames()?;
    }
    Ok(())
}

/// Compiles the messages of the writing side. Their fields of bytes share the allocation that they are read from.
fn compile_frames() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FRAMES}");
    let descriptors = protox::compile([FRAMES], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
