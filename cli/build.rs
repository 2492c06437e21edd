//! Notes which revision the command is built from, so that the runs that it makes can say so. Without a checkout of
//! its own, as in a packaged crate, or without git, that is empty.

use std::path::Path;
use std::process::Command;

/// What the command is made of: if any of it is not as committed, the revision ends with `-dirty`.
const SOURCES: [&str; 4] = ["src", "../actors/src", "../src", "../Cargo.lock"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Not the revision of somebody who has this crate among sources of their own.
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
        // One that is missing would count as changed at every build.
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

/// What git says; nothing if it refuses or is not there.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
