//! Failing outputs: no command stops, nothing is lost, and the exit code keeps its meaning.

use std::fs::{File, OpenOptions};
use std::process::{Child, Command, Stdio};

use trunkline::TopKind;
use trunkline_load::{IntervalLog, Run};

use crate::support::{Workplace, command, run};
use crate::terminal::Terminal;

const SMALL: [&str; 10] = [
    "--keys", "200", "--ops", "400", "--batch", "20", "--rate", "50000", "--proofs", "4",
];
const PLAN: [&str; 6] = ["--keys", "200", "--ops", "400", "--batch", "20"];

/// Returns an output whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Returns an output without space, if the system has one.
fn full() -> Option<Stdio> {
    let full = OpenOptions::new().write(true).open("/dev/full").ok()?;
    Some(full.into())
}

fn code(command: &mut Command) -> Option<i32> {
    command.status().unwrap().code()
}

/// A command with its arguments, and its exit codes with working outputs and with a full standard output.
type Case = (&'static str, Vec<String>, i32, i32);

/// Returns every command once, in ways that end with each exit code.
fn cases(workplace: &Workplace) -> Vec<Case> {
    let proof = workplace.proof(TopKind::Hash);
    let state = workplace.text("state");
    let digest = hex::encode(workplace.root().commit_id);
    let text = |name: &str| workplace.text(name);
    std::fs::write(workplace.path("records.tsv"), "no tab\nk\tv\n").unwrap();
    let out = |name: &str| workplace.text(name);
    run(["audit", "prove", "--dir", &state, "--out", &out("audit")]).done();
    run(["history", "head", "--dir", &state, "--out", &out("head")]).done();
    for name in ["before", "after"] {
        let load = ["load", "--out", &out(name)];
        run(load.into_iter().chain(SMALL)).done();
    }
    let on = |words: &str, more: &[&str]| -> Vec<String> {
        let words = words.split(' ').map(str::to_owned);
        words
            .chain(more.iter().map(|word| (*word).to_owned()))
            .collect()
    };
    let dir = ["--dir", &*state];
    let new = workplace.text("new");
    let trusted = |commit_id: &str| on("verify --commit-id", &[commit_id, &proof]);
    vec![
        ("get", on("get alice", &dir), 0, 2),
        ("get absent", on("get nobody", &dir), 1, 1),
        ("get nothing", on("get x --dir", &[&text("nowhere")]), 2, 2),
        ("put", on("put dave 1", &dir), 0, 0),
        ("delete", on("delete dave", &dir), 0, 0),
        (
            "import",
            on("import", &[&text("records.tsv"), "--dir", &new]),
            0,
            0,
        ),
        (
            "prove",
            on("prove --key alice --out", &[&out("p"), "--dir", &state]),
            0,
            0,
        ),
        (
            "prove to standard output",
            on("prove --key alice --out -", &dir),
            0,
            2,
        ),
        ("verify", trusted(&digest), 0, 0),
        ("verify another", trusted(&"ab".repeat(32)), 1, 1),
        ("proof show", on("proof show", &[&proof]), 0, 2),
        (
            "history head",
            on("history head --out", &[&out("h"), "--dir", &state]),
            0,
            0,
        ),
        (
            "audit prove",
            on("audit prove --out", &[&out("a"), "--dir", &state]),
            0,
            0,
        ),
        ("export", on("export", &dir), 0, 2),
        (
            "export to a file",
            on("export --to", &[&out("e"), "--dir", &state]),
            0,
            0,
        ),
        ("inspect", on("inspect", &dir), 0, 2),
        ("report", on("report", &[&out("before")]), 0, 2),
        (
            "report a threshold that does not hold",
            on("report --threshold offered", &[&out("before")]),
            2,
            2,
        ),
        (
            "report a threshold that does not hold",
            on(
                "report --threshold throughput<0 --markdown -",
                &[&out("before")],
            ),
            4,
            4,
        ),
        ("check", on("check", &dir), 0, 0),
        (
            "check nothing",
            on("check --dir", &[&text("nowhere")]),
            2,
            2,
        ),
        ("inspect as JSON", on("inspect --json", &dir), 0, 2),
        ("config show", on("config show", &[]), 0, 2),
        ("config check", on("config check", &[]), 0, 0),
        ("wrong arguments", on("get --wrong", &[]), 2, 2),
        ("help", on("help", &[]), 0, 0),
        ("load", on("load", &SMALL), 0, 0),
        ("load as JSON", on("load --json", &SMALL), 0, 0),
        (
            "sweep",
            on("sweep --vary group.in_flight_max=2 --shares 50", &PLAN),
            0,
            0,
        ),
        (
            "tune",
            on("tune --rounds 1 --vary group.in_flight_max=2", &PLAN),
            0,
            0,
        ),
        ("report", on("report", &[&text("before")]), 0, 2),
        (
            "report as a page",
            on("report", &[&text("before"), "--html"]),
            0,
            0,
        ),
        (
            "compare",
            on("compare --force", &[&text("before"), &text("before")]),
            2,
            2,
        ),
    ]
}

#[test]
fn no_output_that_fails_changes_what_the_exit_code_says() {
    let workplace = Workplace::with_three_keys();
    std::fs::create_dir(workplace.path("temporary")).unwrap();
    let command = |arguments: &[String]| {
        let mut command = command();
        command
            .args(arguments)
            .env("TMPDIR", workplace.path("temporary"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    for (name, arguments, expected, if_full) in cases(&workplace) {
        let closed_output = code(command(&arguments).stdout(closed()));
        assert_eq!(closed_output, Some(expected), "{name}, output closed");
        let closed_errors = code(command(&arguments).stderr(closed()));
        assert_eq!(closed_errors, Some(expected), "{name}, errors closed");
        let both = code(command(&arguments).stdout(closed()).stderr(closed()));
        assert_eq!(both, Some(expected), "{name}, both closed");
        if let Some(full) = full() {
            let full = code(command(&arguments).stdout(full));
            assert_eq!(full, Some(if_full), "{name}, output full");
        }
        if let Some(full) = full() {
            let full = code(command(&arguments).stderr(full));
            assert_eq!(full, Some(expected), "{name}, errors full");
        }
    }
}

#[test]
fn results_that_cannot_be_written_are_kept_in_a_file() {
    let Some(full) = full() else {
        return;
    };
    let workplace = Workplace::new();
    let sweep = "sweep --vary group.in_flight_max=2 --shares 50 --json";
    let ran = command()
        .args(sweep.split(' ').chain(PLAN))
        .env("TMPDIR", workplace.path(""))
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let errors = String::from_utf8(ran.stderr).unwrap();
    let named = errors
        .lines()
        .find_map(|line| line.strip_prefix("the results are in "));
    let kept = File::open(named.unwrap_or_else(|| panic!("{errors}"))).unwrap();
    let curves: serde_json::Value = serde_json::from_reader(kept).unwrap();
    assert_eq!(curves.as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_nobody_can_be_told_of_is_kept() {
    let workplace = Workplace::new();
    let out = workplace.text("run");
    let load = ["load", "--out", &out].into_iter().chain(SMALL);
    let code = code(command().args(load).stdout(closed()).stderr(closed()));
    assert_eq!(code, Some(0));
    let run = Run::read_from(&workplace.path("run")).unwrap();
    assert_eq!(run.totals.offered, 400);
    IntervalLog::read_from(&workplace.path("run")).unwrap();
}

/// Sends a signal to a process.
fn signal(child: &Child, name: &str) {
    let process = child.id().to_string();
    let sent = Command::new("kill").args([name, &process]).status();
    assert!(sent.unwrap().success());
}

/// The terminal of a load goes away while it runs, with or without the signal that a shell's terminal sends.
#[test]
fn a_terminal_that_is_hung_up_costs_no_run() {
    for (tui, hangs_up) in [(true, false), (false, false), (true, true), (false, true)] {
        let workplace = Workplace::new();
        std::fs::create_dir(workplace.path("temporary")).unwrap();
        let out = workplace.text("run");
        let duration = if hangs_up { "600" } else { "2" };
        let mut load = command();
        load.args(["load", "--keys", "200", "--batch", "20", "--rate", "500"])
            .args(["--proofs", "4", "--warmup", "0", "--duration", duration])
            .args(["--out", &out])
            .args(tui.then_some("--tui"))
            .env("TMPDIR", workplace.path("temporary"));
        let mut terminal = Terminal::running(load);
        terminal.wait_for(if tui { "persist" } else { "directory " });
        let Terminal {
            user, mut command, ..
        } = terminal;
        drop(user);
        if hangs_up {
            signal(&command, "-HUP");
        }
        let code = command.wait().unwrap().code();
        assert_eq!(code, Some(if hangs_up { 130 } else { 0 }), "tui {tui}");
        Run::read_from(&workplace.path("run")).unwrap();
        let mut left = std::fs::read_dir(workplace.path("temporary")).unwrap();
        assert!(left.next().is_none());
    }
}
