use std::fs;
use std::path::{Path, PathBuf};

/// Modules and files that are compiled only with `state`, as `lib.rs` and the `mod.rs` of each say.
const WRITING_SIDE: [&str; 12] = [
    "batch",
    "frame",
    "store",
    "tree",
    "kzg/affine.rs",
    "kzg/commit.rs",
    "kzg/open.rs",
    "kzg/setup.rs",
    "kzg/tables.rs",
    "parallel.rs",
    "prefetch.rs",
    "short/lanes.rs",
];
/// Prefix of the files of `proof/` that make proofs.
const PROVING: &str = "proof/prove";

/// Returns every file of the verifier, below `src/`.
fn sources() -> Vec<(PathBuf, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![source.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the sources are there") {
            let path = entry.expect("the sources are there").path();
            let name = path.strip_prefix(&source).expect("it is below");
            let text_name = name.to_string_lossy();
            if WRITING_SIDE
                .iter()
                .any(|writing| name == Path::new(writing))
                || text_name.starts_with(PROVING)
            {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("sources are text");
                found.push((name.to_owned(), text));
            }
        }
    }
    found
}

/// Returns the lines without comments, examples and unit tests, which are at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

/// Without std the crate could not even name them; this test also covers `state`.
#[test]
fn the_verifier_names_no_file_clock_network_thread_or_environment() {
    let sources = sources();
    assert!(sources.iter().any(|(name, _)| name.ends_with("wire.rs")));
    for (name, text) in sources {
        for line in code(&text) {
            for unwanted in ["std::", "Instant", "SystemTime", "extern \"", "unsafe {"] {
                let is_found = line.contains(unwanted);
                assert!(!is_found, "{unwanted} in {}: {line}", name.display());
            }
        }
    }
}
