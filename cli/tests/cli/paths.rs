//! Paths that would overwrite other files, or files that the command reads, are refused before anything is begun.

use std::fs;

use trunkline_load::Run;

use crate::support::{Workplace, contents, run};

const SMALL: [&str; 8] = [
    "--keys", "100", "--ops", "100", "--rate", "50000", "--proofs", "4",
];

#[test]
fn files_of_others_are_not_replaced() {
    let workplace = Workplace::with_three_keys();
    fs::write(workplace.path("theirs"), "name = \"theirs\"\n").unwrap();
    fs::create_dir(workplace.path("folder")).unwrap();
    fs::write(workplace.path("folder/theirs"), "theirs").unwrap();
    run(["load", "--out", &workplace.text("run")]
        .iter()
        .chain(&SMALL))
    .done();
    let state = workplace.text("state");
    let before = contents(&workplace.path(""));
    let tune = "tune --rounds 1 --vary group.in_flight_max=2 --out";
    for (words, more) in [
        ("prove --key alice --out", &["--dir", &*state][..]),
        ("history head --out", &["--dir", &state]),
        ("audit prove --out", &["--dir", &state]),
        ("load --record", &SMALL),
        (tune, &SMALL[..4]),
    ] {
        for (name, says) in [
            ("theirs", "theirs exists and holds something else"),
            ("run/run.json", "run.json exists and holds something else"),
            ("folder", "folder"),
        ] {
            let path = workplace.text(name);
            let words = words.split(' ').chain([&*path]).chain(more.iter().copied());
            run(words).unusable(says);
        }
    }
    let page = [
        "report",
        &workplace.text("run"),
        "--html",
        &workplace.text("theirs"),
    ];
    run(page).unusable("theirs exists and holds something else");
    for name in ["folder", "state"] {
        let out = workplace.text(name);
        run(["load", "--out", &out].iter().chain(&SMALL)).unusable("holds other files and no run");
    }
    assert_eq!(contents(&workplace.path("")), before);
}

#[test]
fn what_is_read_is_not_written() {
    let workplace = Workplace::new();
    let text = |name: &str| workplace.text(name);
    fs::write(workplace.path("plan.toml"), "keys = 100\n").unwrap();
    run(["load", "--out", &text("run")].iter().chain(&SMALL)).done();
    let tune = [
        "tune",
        "--rounds",
        "1",
        "--vary",
        "group.in_flight_max=2",
        "--out",
        &text("profile.toml"),
    ];
    run(tune.iter().chain(&SMALL[..4])).done();
    let before = contents(&workplace.path(""));
    let says = "would be written, but it is read too";
    run(tune
        .iter()
        .copied()
        .chain(["--config", &text("profile.toml")]))
    .unusable(says);
    let state = text("new");
    for more in [
        ["--plan", &*text("run"), "--out", &text("run")],
        ["--plan", &text("run/run.json"), "--out", &text("run")],
        ["--plan", &text("plan.toml"), "--record", &text("plan.toml")],
        ["--dir", &state, "--out", &state],
    ] {
        let load = ["load"].into_iter().chain(more);
        run(load.chain(["--ops", "100", "--rate", "50000"])).unusable(says);
    }
    let _ = fs::remove_dir(workplace.path("new"));
    assert_eq!(contents(&workplace.path("")), before);
    let trace = text("out/latency.hlog");
    let twice = ["load", "--out", &text("out"), "--record", &trace];
    run(twice.iter().chain(&SMALL)).unusable("would be written twice");
}

#[test]
fn what_the_command_wrote_is_replaced() {
    let workplace = Workplace::with_three_keys();
    let text = |name: &str| workplace.text(name);
    let state = text("state");
    for _ in 0..2 {
        run([
            "prove",
            "--key",
            "alice",
            "--dir",
            &state,
            "--out",
            &text("proof"),
        ])
        .done();
        run(["history", "head", "--dir", &state, "--out", &text("head")]).done();
        run(["audit", "prove", "--dir", &state, "--out", &text("audit")]).done();
        let load = ["load", "--out", &text("run"), "--record", &text("trace")];
        run(load.iter().chain(&SMALL)).done();
        run(["report", &text("run"), "--html"]).done();
    }
    Run::read_from(&workplace.path("run")).unwrap();
    let names = fs::read_dir(workplace.path("run")).unwrap();
    assert_eq!(names.count(), 3);
}
