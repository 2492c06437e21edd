//! Writes the seeds of every target into `corpus/<target>/`. Run it with `-runs=0`.
//!
//! It is a fuzz target that tests nothing, because an instrumented program needs libFuzzer to link.

#![no_main]

use std::fs;
use std::io;
use std::path::Path;

libfuzzer_sys::fuzz_target!(
    init: write().expect("the corpus can be written"),
    |_bytes: &[u8]| {}
);

fn write() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in trunkline_fuzz::seeds::all() {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{index:02}")), seed)?;
        }
    }
    Ok(())
}
