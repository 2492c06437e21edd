use std::path::Path;

use tempfile::TempDir;
use trunkline_load::{Plan, Replayed};

use crate::support::{Ran, run};
use crate::synthetic::{Made, Shape};

/// Directories of made-up runs.
struct Runs(TempDir);

impl Runs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn made(&self, name: &str, shape: Shape) -> String {
        self.changed(name, shape, |_| {})
    }

    fn changed(&self, name: &str, shape: Shape, change: impl FnOnce(&mut Made)) -> String {
        let directory = self.0.path().join(name);
        let mut made = Made::new(shape);
        change(&mut made);
        made.write_to(&directory);
        text(&directory)
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

fn compared(before: &str, after: &str, more: &[&str]) -> Ran {
    let arguments = ["compare", before, after, "--resamples", "200"];
    run(arguments.iter().chain(more).copied())
}

fn slower() -> Shape {
    Shape {
        seed: 2,
        rate: 200_000.0,
        update_us: 11_000.0,
        ..Shape::default()
    }
}

#[test]
fn two_runs_of_one_build_do_not_differ() {
    let runs = Runs::new();
    let before = runs.made("before", Shape::default());
    let after = runs.made(
        "after",
        Shape {
            seed: 2,
            ..Shape::default()
        },
    );
    let ran = compared(&before, &after, &["--fail-on", "5%"]).done();
    assert_eq!(
        ran.stdout.matches("no difference").count(),
        10,
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("passed: 0 of 10 figures worse by 5 % or more")
    );
}

#[test]
fn a_change_for_the_worse_fails() {
    let runs = Runs::new();
    let before = runs.made("before", Shape::default());
    let after = runs.made("after", slower());
    let ran = compared(&before, &after, &["--fail-on", "5%"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains("FAILED: 4 of 10 figures"),
        "{}",
        ran.stdout
    );
    compared(&before, &after, &["--fail-on", "60%"]).done();
    compared(&before, &after, &[]).done();
    compared(&after, &before, &["--fail-on", "5%"]).done();
}

#[test]
fn the_comparison_is_data_too() {
    let runs = Runs::new();
    let before = runs.made("before", Shape::default());
    let after = runs.made("after", slower());
    let ran = compared(&before, &after, &["--fail-on", "5%", "--json"]);
    let json = ran.json();
    assert_eq!(json["failed"], true);
    assert_eq!(json["metrics"][0]["metric"], "throughput");
    assert_eq!(json["metrics"][0]["verdict"], "slower");
    let metric = &json["metrics"][1]["metric"]["latency"];
    assert_eq!(
        (metric["kind"].as_str(), metric["quantile"].as_str()),
        (Some("read"), Some("p50"))
    );
}

#[test]
fn several_runs_make_a_side() {
    let runs = Runs::new();
    let shape = |seed| Shape {
        seed,
        ..Shape::default()
    };
    let before = [runs.made("a1", shape(1)), runs.made("a2", shape(2))].join(",");
    let after = [runs.made("b1", shape(3)), runs.made("b2", shape(4))].join(",");
    let ran = compared(&before, &after, &[]).done();
    assert!(ran.stdout.contains("A2  "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("a side has one run"), "{}", ran.stdout);
}

#[test]
fn runs_of_another_workload_or_machine_are_refused() {
    let runs = Runs::new();
    let before = runs.made("before", Shape::default());
    let workload = |made: &mut Made| {
        let plan = Plan {
            batch: 7,
            ..Plan::default()
        };
        made.run.workload = plan.to_toml();
    };
    let other = runs.changed("workload", Shape::default(), workload);
    compared(&before, &other, &[]).unusable("different workloads (batch); use --force");
    let machine = |made: &mut Made| made.run.machine.cores = 9;
    let other = runs.changed("machine", Shape::default(), machine);
    compared(&before, &other, &[]).unusable("different machines; use --force");
    let forced = compared(&before, &other, &["--force"]).done();
    assert!(
        forced
            .stdout
            .contains("warning: the runs were made on different machines")
    );
}

#[test]
fn replays_of_different_traces_or_speeds_are_refused() {
    let runs = Runs::new();
    let replay = |directory: &str, name: &str, digest: &str, speed: f64| {
        let replayed = Replayed {
            name: name.to_owned(),
            digest: digest.to_owned(),
            speed,
        };
        runs.changed(directory, Shape::default(), |made| {
            made.run.replayed = Some(replayed);
        })
    };
    let planned = runs.made("planned", Shape::default());
    let before = replay("before", "a.trace", "00", 1.0);
    let moved = replay("moved", "b.trace", "00", 1.0);
    compared(&before, &moved, &[]).done();
    let other = replay("other", "a.trace", "11", 1.0);
    compared(&before, &other, &[]).unusable("the runs did different operations");
    let faster = replay("faster", "a.trace", "00", 2.0);
    compared(&before, &faster, &[]).unusable("a.trace at speed 1 and those of the trace a.trace");
    compared(&planned, &before, &[]).unusable("those of the workload and those of the trace");
}

#[test]
fn unusable_runs_say_what_to_do() {
    let runs = Runs::new();
    let before = runs.made("before", Shape::default());
    let short = runs.made(
        "short",
        Shape {
            seconds: 8,
            ..Shape::default()
        },
    );
    compared(&before, &short, &[]).unusable("8 whole seconds, but at least 20 are needed");
    compared(&before, &before, &["--paired"]).unusable("the sides have 1 and 1 runs; pairs need");
    compared(&before, "/no/such/run", &[]).unusable("cannot use /no/such/run/run.json");
    let ran = compared(&before, &before, &["--fail-on", "much"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("expected a percentage"), "{ran:?}");
}
