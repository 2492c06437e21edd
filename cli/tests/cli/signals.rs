//! Signals: the first stops in order, a second one counts after a second, ignored ones stay ignored.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trunkline::{Config, Engine};
use trunkline_load::{Run, Warning};

use crate::support::{Workplace, command};

/// A running load.
struct Running {
    child: Child,
    workplace: Workplace,
}

impl Running {
    /// Starts a load by a program that receives the command as its arguments.
    fn start(program: &mut Command, duration: &str) -> Self {
        let workplace = Workplace::new();
        std::fs::create_dir(workplace.path("temporary")).unwrap();
        Self::start_in(workplace, program, duration)
    }

    fn start_in(workplace: Workplace, program: &mut Command, duration: &str) -> Self {
        let mut child = program
            .args(["load", "--keys", "200", "--batch", "20", "--rate", "500"])
            .args(["--proofs", "4", "--warmup", "0", "--duration", duration])
            .args(["--out", &workplace.text("run")])
            .env("TMPDIR", workplace.path("temporary"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        assert!(first.starts_with("directory "), "{first}");
        Self { child, workplace }
    }

    fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status();
        assert!(sent.unwrap().success());
    }

    fn temporary(&self) -> usize {
        entries(&self.workplace.path("temporary"))
    }
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_signal_sent_twice_at_once_is_one() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let mut running = Running::start(&mut command(), "600");
        running.signal(name);
        running.signal(name);
        let ended = running.child.wait().unwrap();
        assert_eq!(ended.code(), Some(130), "{name}");
        Run::read_from(&running.workplace.path("run")).unwrap();
        assert_eq!(running.temporary(), 0, "{name}");
    }
}

#[test]
fn a_signal_that_ends_the_process_leaves_no_temporary_directory() {
    for (name, number) in [("-QUIT", 3), ("-USR1", 10)] {
        // No core file is written into the directory of the tests.
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]);
        limited.arg(env!("CARGO_BIN_EXE_trunkline"));
        let mut running = Running::start(&mut limited, "600");
        assert_eq!(running.temporary(), 1);
        running.signal(name);
        let ended = running.child.wait().unwrap();
        assert_eq!(ended.signal(), Some(number), "{name}");
        assert_eq!(running.temporary(), 0, "{name}");
    }
}

/// The command ignores the signals that its parent ignored: `trap ''` does the same as `nohup`.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]);
    ignoring.arg(env!("CARGO_BIN_EXE_trunkline"));
    let mut running = Running::start(&mut ignoring, "1");
    running.signal("-HUP");
    running.signal("-INT");
    let ended = running.child.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let run = Run::read_from(&running.workplace.path("run")).unwrap();
    assert!(!run.warnings.contains(&Warning::Interrupted));

    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    ignoring.arg(env!("CARGO_BIN_EXE_trunkline"));
    let mut running = Running::start(&mut ignoring, "600");
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
}

/// A killed process can remove nothing. The next one does, but leaves the files of running processes.
#[test]
fn the_next_start_removes_what_a_killed_process_left() {
    let mut killed = Running::start(&mut command(), "600");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(killed.temporary(), 1);
    let mut alive = Running::start_in(killed.workplace, &mut command(), "600");
    assert_eq!(alive.temporary(), 1);
    let another = command()
        .args(["load", "--keys", "200", "--ops", "400", "--rate", "50000"])
        .args(["--proofs", "4"])
        .env("TMPDIR", alive.workplace.path("temporary"))
        .output();
    assert!(another.unwrap().status.success());
    assert_eq!(alive.temporary(), 1);
    alive.signal("-TERM");
    assert_eq!(alive.child.wait().unwrap().code(), Some(130));
    assert_eq!(alive.temporary(), 0);
}

/// A command that reads a tree with a checkpoint copies its leaf store.
#[test]
fn a_signal_that_ends_a_reading_command_leaves_no_copy() {
    let workplace = Workplace::new();
    let directory = workplace.path("tree");
    let mut config = Config::in_directory(&directory);
    config.checkpoint.bytes_max = 4096;
    let engine = Engine::open_blocking(config).unwrap();
    // More than a pipe holds, so that the command waits for its reader.
    engine.put_blocking("large", vec![b'v'; 1 << 20]).unwrap();
    while engine.metrics().checkpoints == 0 {
        let receipt = engine.put_blocking("other", "value").unwrap();
        receipt.durable_blocking().unwrap();
    }
    engine.shutdown_blocking().unwrap();
    let copies = || {
        let names = std::fs::read_dir(&directory).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("LEAVES-COPY-"))
            .count()
    };
    for (name, number) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1)] {
        let mut reading = command();
        reading.args(["get", "large", "--dir", &workplace.text("tree")]);
        let mut child = reading.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        assert_eq!(copies(), 1);
        let process = child.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        assert_eq!(copies(), 0, "{name}");
    }
}
