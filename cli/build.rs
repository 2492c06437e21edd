//! Passes the git revision to the command, which records it in runs. The revision is empty without git, and in a packaged
//! crate.

use std::path::Path;
use std::process::Command;

/// Sources of the command. The revision ends with `-dirty` if any of them has uncommitted changes.
const SOURCES: [&str; 6] = [
    "src",
    "../actors/src",
    "../core/src",
    "../load/src",
    "../src",
    "../Cargo.lock",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Another repository that contains this crate has no `.git` here.
    let is_own = Path::new("../.git").exists();
    let revision = is_own.then(revision).flatten();
    println!(
        "cargo:rustc-env=GIT_REVISION={}",
        revision.unwrap_or_default()
    );
}

fn revision() -> Option<String> {
    let head = git(&["symbolic-ref", "-q", "HEAD"]);
    let moved_by_commits = ["HEAD", "logs/HEAD", "packed-refs"].into_iter();
    for name in moved_by_commits.chain(head.as_deref()) {
        // A missing file would count as changed in every build.
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    for path in SOURCES {
        println!("cargo:rerun-if-changed={path}");
    }
    let revision = git(&["rev-parse", "HEAD"])?;
    let status = [
        "--no-optional-locks",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
    ];
    let changes = git(&[&status[..], &SOURCES[..]].concat())?;
    match changes.is_empty() {
        true => Some(revision),
        false => Some(format!("{revision}-dirty")),
    }
}

/// Returns the output of git, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
