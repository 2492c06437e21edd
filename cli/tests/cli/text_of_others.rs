//! Text from other sources controls no terminal, wherever it comes from.

use std::process::Command;

use trunkline::{Config, Engine};
use trunkline_load::{Run, Warning};

use crate::support::{Workplace, command, run};
use crate::terminal::Terminal;

/// Text that sets the title, clears the screen in two ways, and reverses the reading direction.
const ATTACK: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}2J\u{202e}x";

/// Parts of it that must not appear on a terminal. (`\u{1b}[` alone is also used to draw a progress bar.)
const FORBIDDEN: [&str; 5] = ["\u{1b}]", "\u{7}", "[2J\u{9b}", "\u{9b}", "\u{202e}"];

/// Runs a command on a terminal. Returns the terminal's text.
#[track_caller]
fn on_terminal(command: Command) -> String {
    let (seen, _) = Terminal::running(command).end();
    for forbidden in FORBIDDEN {
        assert!(!seen.contains(forbidden), "{seen:?}");
    }
    seen
}

fn typed(arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(arguments);
    command
}

#[test]
fn keys_values_and_lines_of_others_are_escaped() {
    let workplace = Workplace::new();
    let state = workplace.text("state");
    let engine = Engine::open_blocking(Config::in_directory(&state)).unwrap();
    engine.put_blocking(ATTACK, ATTACK).unwrap();
    engine.shutdown_blocking().unwrap();
    let dir = ["--dir", &*state];
    let shown = on_terminal(typed(&["get", ATTACK, "--dir", &state]));
    assert!(shown.starts_with("0x1b5d"), "{shown:?}");
    let absent = on_terminal(typed(&["get", &format!("{ATTACK}y"), "--dir", &state]));
    assert!(absent.contains("is absent"), "{absent:?}");

    let proof = workplace.text("proof");
    let prove = ["prove", "--key", ATTACK, "--top", "hash", "--out", &proof];
    run(prove.into_iter().chain(dir)).done();
    let root = hex::encode(workplace.root().commit_id);
    let verified = on_terminal(typed(&["verify", &proof, "--commit-id", &root]));
    assert!(verified.contains("pwned"), "{verified:?}");
    for more in [&[][..], &["--json"]] {
        on_terminal(typed(&[&["proof", "show", &proof][..], more].concat()));
    }
    let refused = on_terminal(typed(&[
        "prove", "--key", "a", "--out", "-", "--dir", &state,
    ]));
    assert!(refused.contains("is binary"), "{refused:?}");

    let field = serde_json::to_string(ATTACK).unwrap();
    let records =
        format!("{{\"key\": \"a\", {field}: \"b\"}}\n{{\"key\": \"ok\", \"value\": \"1\"}}\n");
    std::fs::write(workplace.path("records"), records).unwrap();
    let records = workplace.text("records");
    let imported = on_terminal(typed(&["import", &records, "--dir", &state]));
    assert!(
        imported.contains(r"unknown field `\u{1b}]0;pwned"),
        "{imported:?}"
    );
}

#[test]
fn names_in_a_run_are_escaped() {
    let workplace = Workplace::new();
    let out = workplace.text("run");
    let name = ["--name", ATTACK, "--out", &out];
    let small = [
        "--keys", "200", "--ops", "400", "--rate", "50000", "--proofs", "4",
    ];
    run(["load"].into_iter().chain(small).chain(name)).done();
    let mut written = Run::read_from(&workplace.path("run")).unwrap();
    ATTACK.clone_into(&mut written.git_revision);
    ATTACK.clone_into(&mut written.machine.processor);
    written.warnings.push(Warning::Failed {
        operations: 1,
        first: ATTACK.to_owned(),
    });
    written.write_to(&workplace.path("run")).unwrap();
    for arguments in [
        &["report", &*out][..],
        &["report", &out, "--html", "-"],
        &["compare", &out, &out, "--force"],
        &["load", "--plan", &out, "--ops", "100", "--rate", "50000"],
    ] {
        on_terminal(typed(arguments));
    }
}

#[test]
fn paths_arguments_and_settings_in_errors_are_escaped() {
    let workplace = Workplace::new();
    let file = workplace.text(&format!("{ATTACK}.toml"));
    std::fs::write(
        &file,
        format!("[group]\n{ATTACK:?} = 1\n\"{ATTACK}\" = 2\n"),
    )
    .unwrap();
    let value = format!("engine.name={ATTACK}");
    let missing = workplace.text(ATTACK);
    for arguments in [
        &["config", "check", "--config", &*file][..],
        &["config", "show", "--set", &value],
        &["config", "show", "--set", ATTACK],
        &[
            "config",
            "show",
            "--set",
            &format!("kzg.tables_path={missing}"),
        ],
        &["load", "--plan", &file],
        &["load", "--phases", &file],
        &["load", "--replay", &file],
        &["report", &missing],
        &["compare", &missing, &missing],
        &["inspect", "--dir", &missing],
        &["get", "a", "--dir", &missing],
        &["delete", "a", "--dir", &missing],
        &["verify", &missing],
        &["import", &missing, "--dir", &missing],
        &["sweep", "--vary", ATTACK],
        &["tune", "--vary", &format!("group.linger_ms={ATTACK}")],
        &[ATTACK],
        &["get", "a", "b", ATTACK],
        &["load", &format!("--{ATTACK}")],
        &["load", "--rate", ATTACK],
    ] {
        on_terminal(typed(arguments));
    }
    let mut named = typed(&["config", "check"]);
    named.env(format!("TRUNKLINE_{ATTACK}"), "1");
    on_terminal(named);
    let mut valued = typed(&["config", "check"]);
    valued.env("TRUNKLINE_GROUP_LINGER_MS", ATTACK);
    on_terminal(valued);
}
