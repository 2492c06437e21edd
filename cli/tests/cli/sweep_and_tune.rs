#[cfg(unix)]
use std::io::{BufRead, BufReader};
#[cfg(unix)]
use std::process::{Command, Stdio};

use trunkline::Config;

#[cfg(unix)]
use crate::support::{Ran, command};
use crate::support::{Workplace, run};

const PLAN: [&str; 6] = ["--keys", "200", "--ops", "400", "--batch", "20"];

#[test]
fn a_sweep_runs_every_combination_in_a_closed_loop_and_at_every_share() {
    let sweep = [
        "sweep",
        "--vary",
        "group.operations_max=50,100",
        "--shares",
        "20,50",
    ];
    let json = ["--target-p99-ms", "60000", "--json"];
    let curves = run(sweep.iter().chain(&PLAN).chain(&json)).done().json();
    let curves = curves.as_array().unwrap();
    assert_eq!(curves.len(), 2);
    for (curve, value) in curves.iter().zip(["50", "100"]) {
        assert_eq!(curve["settings"][0]["value"], value);
        assert!(curve["closed"]["achieved_per_second"].as_f64().unwrap() > 0.0);
        assert_eq!(curve["open"].as_array().unwrap().len(), 2);
    }

    let text = run(sweep.iter().chain(&PLAN)).done().stdout;
    assert!(text.contains("group.operations_max=50 "), "{text}");
    assert!(text.contains("knee with the most throughput: "), "{text}");
}

#[test]
fn what_was_tuned_is_a_configuration_file() {
    let workplace = Workplace::with_three_keys();
    let file = workplace.text("profile.toml");
    let tune = [
        "tune",
        "--vary",
        "group.in_flight_max=1,2",
        "--rounds",
        "1",
        "--out",
        &file,
    ];
    run(tune.iter().chain(&PLAN)).done();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("# in_flight_max = 4: "), "{text}");
    let config = Config::layers()
        .text("profile.toml", &text)
        .unwrap()
        .build()
        .unwrap();
    let mut expected = Config::default();
    expected.group.in_flight_max = config.group.in_flight_max;
    assert_eq!(config, expected);
}

#[test]
fn a_share_of_what_can_be_done_is_a_rate_to_tune_at() {
    let share = ["tune", "--rate-share", "0.5", "--rounds", "1"];
    let vary = ["--vary", "group.in_flight_max=2"];
    let tuned = run(share.iter().chain(&vary).chain(&PLAN)).done();
    let text = tuned.stdout;
    assert!(text.contains("the least 99th percentile"), "{text}");
    assert!(text.contains("\n#   rate = "), "{text}");
    assert!(text.contains("one after the other"), "{text}");
}

/// Runs a command that is interrupted as soon as it prints something.
#[cfg(unix)]
fn run_interrupted<'a>(arguments: impl IntoIterator<Item = &'a str>, at: &str) -> Ran {
    let mut command = command();
    command.args(arguments).args(PLAN);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().starts_with(at)));
    let process = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &process]).status();
    assert!(sent.unwrap().success());
    told.for_each(drop);
    child.wait_with_output().unwrap().into()
}

#[cfg(unix)]
#[test]
fn what_was_measured_before_an_interrupt_is_shown() {
    let vary = ["--vary", "group.operations_max=50,100", "--rounds", "250"];
    let sweep = ["sweep", "--shares", "50", "--json"]
        .into_iter()
        .chain(vary);
    let swept = run_interrupted(sweep, "round 2 of 250");
    assert_eq!(swept.code, 130);
    assert_eq!(swept.json().as_array().unwrap().len(), 2);

    let tuned = run_interrupted(["tune"].into_iter().chain(vary), "round 2 of 250");
    assert_eq!(tuned.code, 130);
    let says = "# Interrupted, before these keys were tried to the end: group.operations_max.";
    assert!(tuned.stdout.contains(says), "{tuned:?}");
    let config = Config::layers().text("tuned", &tuned.stdout).unwrap();
    assert_eq!(config.build().unwrap(), Config::default());
}

#[test]
fn a_trial_that_fails_ends_tune_with_a_profile_of_what_was_found() {
    let workplace = Workplace::new();
    let file = workplace.text("profile.toml");
    // No batch of this load is that small.
    let vary = ["group.linger_ms=1", "submit.batch_bytes_max=1"];
    let vary = vary.iter().flat_map(|vary| ["--vary", vary]);
    let tune = ["tune", "--rounds", "1", "--out", &file].into_iter();
    run(tune.chain(vary).chain(PLAN)).unusable("the keys could not be put");
    let text = std::fs::read_to_string(&file).unwrap();
    let says = "# A trial with submit.batch_bytes_max=1 failed (the keys could not be put";
    assert!(text.contains(says), "{text}");
    assert!(text.contains("# linger_ms = 1: "), "{text}");
    assert!(
        text.contains("tried to the end: submit.batch_bytes_max."),
        "{text}"
    );
    let config = Config::layers().text("profile.toml", &text).unwrap();
    assert_eq!(config.build().unwrap(), Config::default());
}

#[test]
fn a_file_that_can_not_be_written_is_named_before_anything_is_tried() {
    let workplace = Workplace::new();
    let file = workplace.text("nowhere/profile.toml");
    let ran = run(["tune", "--out", &file]);
    assert!(!ran.stderr.contains("round 1"), "{ran:?}");
    ran.unusable("cannot write");
}

#[test]
fn a_trial_that_fails_ends_a_sweep_with_the_points_before_it() {
    let sweep = ["sweep", "--shares", "50", "--json", "--vary"].into_iter();
    let vary = ["submit.batch_bytes_max=67108864,1"];
    let swept = run(sweep.chain(vary).chain(PLAN));
    let curves = swept.json();
    assert_eq!(curves.as_array().unwrap().len(), 1);
    assert_eq!(curves[0]["open"].as_array().unwrap().len(), 1);
    assert!(curves[0]["closed"]["warnings"].is_array());
    swept.unusable("the keys could not be put");
}

#[test]
fn a_sweep_takes_no_rate() {
    for flags in [
        &["--rate", "5"][..],
        &["--rate-share", "0.5"],
        &["--closed"],
    ] {
        let says = format!("{} cannot be used with sweep", flags[0]);
        run(["sweep"].iter().chain(flags)).unusable(&says);
    }
    let help = run(["sweep", "--help"]).done().stdout;
    assert!(help.contains("are refused"), "{help}");
}

#[test]
fn what_can_not_be_tried_is_named() {
    for (vary, says) in [
        ("group.operations=5", "unknown key group.operations"),
        ("group.linger_ms=often", "group.linger_ms"),
    ] {
        run(["sweep", "--vary", vary]).unusable(says);
    }
}
