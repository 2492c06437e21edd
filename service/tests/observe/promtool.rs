//! Prometheus' own checker, from Debian's package `prometheus`. If it is not installed, the checks are skipped; CI
//! installs it.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `promtool` and returns what it wrote; `None` if it is not installed.
///
/// # Panics
///
/// Panics if it finds a fault, or warns.
pub(crate) fn check(arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new("promtool");
    command
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("promtool is not installed: {arguments:?} was not checked");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "promtool {arguments:?}:\n{text}");
    Some(text)
}
