use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ran, Workplace, command, run};

const SMALL: [&str; 9] = [
    "load", "--keys", "300", "--ops", "600", "--batch", "50", "--proofs", "40",
];

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

/// Runs with temporary files in a separate directory, which must be empty afterwards.
fn run_small(more: &[&str]) -> Ran {
    let workplace = Workplace::new();
    let temporary = workplace.path("");
    let output = command()
        .args(SMALL)
        .args(more)
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    assert!(is_empty(&temporary));
    output.into()
}

#[test]
fn every_workload_ends_with_proofs_that_hold() {
    for workload in ["a", "b", "c", "d", "e", "f", "verify", "write"] {
        let ran = run_small(&["--workload", workload]).done();
        assert!(!ran.stdout.contains("FAILED"), "{ran:?}");
        let proven = "40 keys (20 present, 20 absent) up to the state digest";
        assert!(ran.stdout.contains(proven), "{ran:?}");
        for part in [
            "fill",
            "calibrate",
            "run",
            "a closed loop reached",
            "offered 600 ",
            "dropped 0",
            "measured: ",
            "since opening ",
            "batch until root ready",
            "persist",
            "log written since opening",
            "kzg root",
        ] {
            assert!(ran.stdout.contains(part), "{ran:?}");
        }
    }
}

#[test]
fn other_distributions_and_settings_are_taken() {
    for dist in ["uniform", "zipfian", "latest", "hotspot"] {
        let more = [
            "--closed",
            "--dist",
            dist,
            "--set",
            "kzg.mode=coalesce",
            "--in-flight",
            "1",
        ];
        run_small(&more).done();
    }
    run_small(&["--set", "kzg.mode=on_demand", "--value-bytes", "0"]).done();
    run_small(&["--set", "submit.batch_operations_max=3", "--workload", "f"]).done();
}

#[test]
fn a_rate_that_is_given_is_not_looked_for() {
    for arrivals in ["poisson", "constant"] {
        let ran = run_small(&["--rate", "100000", "--arrivals", arrivals]).done();
        assert!(ran.stdout.contains("open: 100,000 operations/s"), "{ran:?}");
        assert!(!ran.stdout.contains("calibrate"), "{ran:?}");
        assert!(ran.stdout.contains("update latency"), "{ran:?}");
        assert!(
            ran.stdout.contains("the load generator was late by"),
            "{ran:?}"
        );
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for flags in [
        ["--closed", "--rate", "5"],
        ["--closed", "--rate-share", "0.5"],
        ["--replay-speed", "2", "--json"],
        ["--replay", "a.trace", "--ops=5"],
    ] {
        let ran = run(["load"].iter().chain(&flags));
        assert_eq!(ran.code, 2, "{ran:?}");
    }
}

#[test]
fn the_same_seed_ends_in_the_same_state() {
    let state = |seed: &str| {
        let ran = run_small(&["--seed", seed]).done();
        let line = ran
            .stdout
            .lines()
            .find(|line| line.contains("state digest  "));
        line.unwrap().to_owned()
    };
    assert_eq!(state("5"), state("5"));
    assert_ne!(state("5"), state("6"));
}

#[test]
fn a_directory_of_the_user_is_kept_and_can_be_loaded_again() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    for _ in 0..2 {
        run(SMALL.into_iter().chain(["--dir", &directory])).done();
    }
    let inspected = run(["inspect", "--dir", &directory, "--json"])
        .done()
        .json();
    assert_eq!(inspected["keys"], 300);
}

#[test]
fn nothing_is_left_after_an_error() {
    run_small(&["--set", "group.linger=1"]).unusable("unknown key");
    run_small(&["--value-bytes", "16777217"]).unusable("value_bytes must be 0 to 16777216");
    run_small(&["--plan", "nowhere.toml"]).unusable("cannot use nowhere.toml");
    run(["load", "--replay", "nowhere.trace"]).unusable("cannot use nowhere.trace");
}

/// The first interrupt ends the command in order. It may come before, within or after any phase.
#[cfg(unix)]
#[test]
fn nothing_is_left_after_an_interrupt() {
    let workplace = Workplace::new();
    let mut child = command()
        .args(["load", "--ops", "1000000000"])
        .env("TMPDIR", workplace.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut first).unwrap();
    assert!(first.starts_with("directory "));
    let process = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &process]).status();
    assert!(sent.unwrap().success());
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(130));
    assert!(is_empty(&workplace.path("")));
}

/// The command reports at once, and again at the end, which settings it took from the file and which it did not.
#[cfg(unix)]
#[test]
fn a_configuration_file_that_is_changed_meanwhile_is_told_of() {
    let workplace = Workplace::new();
    let (file, directory) = (workplace.text("my.toml"), workplace.text("state"));
    std::fs::write(&file, "[group]\nlinger_ms = 1\n").unwrap();
    let mut child = command()
        .args(["load", "--closed", "--keys", "200", "--ops", "1000000000"])
        .args(["--dir", &directory, "--config", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The file is watched before anything is opened.
    while !workplace.path("state").join("DECISIONS").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut wait_for = |says: &str| {
        assert!(told.any(|line| line.unwrap().contains(says)), "{says}");
    };
    std::fs::write(&file, "[group]\nlinger = 20\n").unwrap();
    wait_for("reload refused, the previous settings stay: ");
    std::fs::write(&file, "[group]\nlinger_ms = 300\n").unwrap();
    wait_for("reloaded: group.linger_ms 1 → 300");

    let process = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &process]).status();
    assert!(sent.unwrap().success());
    told.for_each(drop);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130);
    assert!(ran.stdout.contains("reloads refused: 1;"), "{ran:?}");
    let says = format!("{file}:2: unknown key group.linger");
    assert!(ran.stdout.contains(&says), "{ran:?}");
}
