//! What the verifier alone pulls in: no actor, no runtime, no store, no threads.

use std::process::Command;

#[test]
fn the_verifier_pulls_in_no_runtime_store_or_thread_pool() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "trunkline-core",
            "--no-default-features",
        ])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--offline", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let listed = String::from_utf8(output.stdout).expect("names are text");
    let packages: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(packages.contains(&"blake3") && packages.contains(&"ark-bls12-381"));
    for unwanted in ["actix", "tokio", "fjall", "lsm-tree", "rayon", "crossbeam"] {
        let found = packages
            .iter()
            .find(|package| package.starts_with(unwanted));
        assert_eq!(found, None, "the verifier must do without");
    }
}
