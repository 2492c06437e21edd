use std::process::Command;

/// Returns a line for each package of the verifier, in this format.
fn tree(arguments: &[&str], format: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none"])
        .args(["--format", format, "--offline", "--locked"])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .args(arguments)
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let listed = String::from_utf8(output.stdout).expect("names are text");
    listed.lines().map(str::to_owned).collect()
}

const VERIFIER: [&str; 3] = ["--package", "trunkline-core", "--no-default-features"];
const C_LIBRARY: [&str; 2] = ["--package", "trunkline-verifier"];

#[test]
fn the_verifier_pulls_in_no_runtime_store_or_thread_pool() {
    for package in [&VERIFIER[..], &C_LIBRARY] {
        let packages = tree(package, "{p}");
        assert!(packages.iter().any(|name| name.starts_with("blake3 ")));
        for unwanted in ["actix", "tokio", "fjall", "lsm-tree", "rayon", "crossbeam"] {
            let found = packages.iter().find(|name| name.starts_with(unwanted));
            assert_eq!(found, None, "the verifier must do without");
        }
    }
}

/// `verifier/no-std` shows that it links without std; this test names the cause sooner.
#[test]
fn the_verifier_pulls_in_no_crate_that_needs_std_and_no_feature_that_asks_for_it() {
    let packages = tree(&VERIFIER, "{p}|{f}");
    for unwanted in [
        "libc ",
        "getrandom ",
        "memchr ",
        "tempfile ",
        "mio ",
        "parking_lot",
    ] {
        let found = packages.iter().find(|name| name.starts_with(unwanted));
        assert_eq!(found, None, "the verifier must do without");
    }
    // Procedural macros and their dependencies run in the compiler.
    let in_compiler = [
        "anyhow",
        "either",
        "enum-ordinalize",
        "itertools",
        "proc-macro2",
        "prost-derive",
        "quote",
        "syn",
        "unicode-ident",
    ];
    for package in packages {
        let name = package.split(' ').next().unwrap_or_default();
        let features = package.rsplit('|').next().unwrap_or_default();
        let asks = features.split(',').any(|feature| feature.ends_with("std"));
        assert!(!asks || in_compiler.contains(&name), "{package}");
    }
}
