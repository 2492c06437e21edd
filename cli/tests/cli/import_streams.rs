//! Imports from streams that wait, that have no end, or that nobody has opened.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, Workplace, command, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition.
#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn import(file: &str, directory: &str) -> Child {
    command()
        .args(["import", file, "--dir", directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    let process = child.id().to_string();
    let sent = Command::new("kill").args([name, &process]).status();
    assert!(sent.unwrap().success());
}

/// Returns whether the log of a directory has these bytes.
fn log_has(directory: &Path, bytes: &[u8]) -> bool {
    let log = fs::read_dir(directory.join("log")).into_iter().flatten();
    let mut contents = log
        .flatten()
        .filter_map(|entry| fs::read(entry.path()).ok());
    contents.any(|content| content.windows(bytes.len()).any(|window| window == bytes))
}

/// Starts an import from standard input, which has received one record and then waits.
fn waiting(workplace: &Workplace) -> Child {
    let mut child = import("-", &workplace.text("state"));
    let input = child.stdin.as_mut().unwrap();
    input
        .write_all(b"{\"key\": \"that-waits\", \"value\": \"1\"}\n{\"key\": \"half")
        .unwrap();
    let state = workplace.path("state");
    wait_until(|| log_has(&state, b"that-waits"));
    child
}

#[test]
fn what_was_read_is_stored_while_the_input_waits() {
    let workplace = Workplace::new();
    let mut child = waiting(&workplace);
    child.kill().unwrap();
    child.wait().unwrap();
    let got = run(["get", "that-waits", "--dir", &workplace.text("state")]);
    assert_eq!((got.code, &*got.stdout), (0, "1"), "{got:?}");
}

#[test]
fn a_signal_ends_an_import_that_waits_for_input() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let workplace = Workplace::new();
        let mut child = waiting(&workplace);
        let input = child.stdin.take();
        signal(&child, name);
        let ran = Ran::from(child.wait_with_output().unwrap());
        // The input ends only now: its end would have ended the import too.
        drop(input);
        assert_eq!(ran.code, 130, "{ran:?}");
        assert!(ran.stdout.contains("interrupted after line 1: "), "{ran:?}");
        assert!(ran.stdout.contains("1 keys are present"), "{ran:?}");
    }
}

#[test]
fn a_signal_ends_an_import_within_a_line_without_an_end() {
    let workplace = Workplace::new();
    let mut child = waiting(&workplace);
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // The thread ends when the import does.
        while input.write_all(&[b'0'; 4096]).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    signal(&child, "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    writer.join().unwrap();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stdout.contains("interrupted after line 1: "), "{ran:?}");
}

#[test]
fn a_stream_without_line_ends_is_given_up() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let ran = run(["import", "/dev/zero", "--dir", &directory]);
    assert!(ran.stderr.contains("/dev/zero:1: longer than"), "{ran:?}");
    ran.unusable("line 1 has no end after 402755584 bytes");
}

/// Returns whether the process handles signals.
#[cfg(target_os = "linux")]
fn listens(child: &Child) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id()));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == "signals")
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_an_import_from_a_fifo_that_nobody_writes_to() {
    let workplace = Workplace::new();
    let fifo = workplace.text("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let child = import(&fifo, &workplace.text("state"));
    wait_until(|| listens(&child));
    signal(&child, "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("nothing was read"), "{ran:?}");
    assert!(!workplace.path("state").exists());
}
