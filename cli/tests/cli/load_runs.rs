use std::path::Path;

use trunkline_load::{Interval, IntervalLog, Measure, OperationKind, Run, Second};

use crate::markup::Markup;
use crate::support::{Ran, Workplace, run};

const SMALL: [&str; 11] = [
    "load", "--keys", "300", "--ops", "600", "--batch", "50", "--proofs", "4", "--rate", "50000",
];

fn run_small(more: &[&str]) -> Ran {
    run(SMALL.iter().chain(more)).done()
}

#[test]
fn a_run_is_written_with_its_histograms() {
    let workplace = Workplace::new();
    run_small(&["--out", &workplace.text("runs/first"), "--name", "first"]);
    let run = Run::read_from(&workplace.path("runs/first")).unwrap();
    assert_eq!((run.name.as_str(), run.totals.offered), ("first", 600));
    assert!(run.config.contains("[group]") && run.workload.contains("keys = 300"));
    let revision = run.git_revision.trim_end_matches("-dirty");
    assert!(revision.is_empty() || revision.len() == 40, "{revision}");
    let log = IntervalLog::read_from(&workplace.path("runs/first")).unwrap();
    let seconds = log
        .by_second(OperationKind::Update, Measure::Latency)
        .unwrap();
    let count: u64 = seconds.values().map(|second| second.len()).sum();
    assert_eq!(
        count,
        run.totals.operations[&OperationKind::Update].achieved
    );
}

#[test]
fn a_run_that_breaks_off_is_kept_and_is_no_success() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let workplace = Workplace::new();
    let out = workplace.text("broken");
    let ran = run([
        "load",
        "--keys",
        "300",
        "--ops",
        "100000",
        "--closed",
        "--record",
        "/dev/full",
        "--out",
        &out,
    ]);
    assert!(ran.stdout.contains("achieved"), "{ran:?}");
    assert!(ran.stdout.contains("nothing was checked"), "{ran:?}");
    let kept = format!("the figures until the failure are in {out}");
    assert!(ran.stderr.contains(&kept), "{ran:?}");
    ran.unusable("the run failed; its figures cover the time before the failure: ");
    let run = Run::read_from(&workplace.path("broken")).unwrap();
    assert!((1..100_000).contains(&run.totals.achieved));
    assert!(run.ended_by.is_some());
    IntervalLog::read_from(&workplace.path("broken")).unwrap();
}

#[test]
fn a_directory_that_a_run_cannot_be_written_to_is_named_before_it_begins() {
    let workplace = Workplace::new();
    std::fs::write(workplace.path("file"), "").unwrap();
    let out = workplace.text("file/run");
    let ran = run(SMALL.iter().copied().chain(["--out", &out]));
    assert!(ran.stdout.is_empty(), "{ran:?}");
    ran.unusable("file/run/run.json");
}

/// Extends a run of one whole second to the number of seconds that a comparison needs, all alike.
fn prolong(directory: &Path) {
    const SECONDS: u64 = 20;
    let mut run = Run::read_from(directory).unwrap();
    let first = run.seconds[0].clone();
    assert!(first.achieved > 0 && first.second == 0);
    let second = |second| Second {
        second,
        ..first.clone()
    };
    run.seconds = (0..SECONDS).map(second).collect();
    run.totals.scheduled_us = SECONDS * 1_000_000;
    let log = IntervalLog::read_from(directory).unwrap();
    let mut longer = IntervalLog::new(run.began_unix_ms);
    for interval in log.intervals().map(Result::unwrap) {
        for second in (0..SECONDS).filter(|_| interval.second == 0) {
            let interval = Interval {
                second,
                ..interval.clone()
            };
            longer.add(&interval).unwrap();
        }
    }
    run.write_to(directory).unwrap();
    longer.write_to(directory).unwrap();
}

#[test]
fn runs_that_were_made_can_be_shown_and_compared() {
    let workplace = Workplace::new();
    let runs = ["before", "after"].map(|name| workplace.text(name));
    for out in &runs {
        run([
            "load",
            "--keys",
            "300",
            "--workload",
            "f",
            "--batch",
            "50",
            "--proofs",
            "4",
            "--closed",
            "--duration",
            "1",
            "--warmup",
            "0",
            "--name",
            "of a service",
            "--out",
            out,
        ])
        .done();
        run(["report", out]).done();
        run(["report", out, "--html"]).done();
        let page = std::fs::read_to_string(Path::new(out).join("report.html")).unwrap();
        let markup = Markup::parse(&page);
        let made = Run::read_from(Path::new(out)).unwrap();
        assert!(made.workload.contains("workload = \"f\""));
        for text in ["of a service", &made.workload, &made.config] {
            assert!(markup.texts().any(|one| one == text), "{text}");
        }
        assert!(!markup.lines("Latency of read over time").is_empty());
    }
    let [before, after] = &runs;
    run(["compare", before, after]).unusable("at least 20 are needed");
    for out in &runs {
        prolong(Path::new(out));
    }
    let compared = run(["compare", before, after, "--resamples", "200", "--json"]).done();
    assert_eq!(compared.json()["metrics"][0]["metric"], "throughput");
}

#[test]
fn the_plan_of_a_run_can_be_run_again() {
    let workplace = Workplace::new();
    run_small(&[
        "--out",
        &workplace.text("first"),
        "--workload",
        "f",
        "--seed",
        "9",
    ]);
    let first = Run::read_from(&workplace.path("first")).unwrap();
    std::fs::write(workplace.path("plan.toml"), &first.workload).unwrap();
    for plan in ["first", "plan.toml"] {
        let (plan, again) = (workplace.text(plan), workplace.text("again"));
        run(["load", "--plan", &plan, "--out", &again, "--proofs", "4"]).done();
        let again = Run::read_from(&workplace.path("again")).unwrap();
        assert_eq!(again.workload, first.workload);
        assert_eq!(again.totals.offered, first.totals.offered);
    }
}

#[test]
fn what_was_recorded_is_replayed() {
    let workplace = Workplace::new();
    let (trace, out) = (workplace.text("operations.trace"), workplace.text("replay"));
    let digest = |ran: Ran| ran.json()["state_digest"].clone();
    let first = run_small(&["--workload", "d", "--record", &trace, "--json"]);
    let replay = [
        "load",
        "--replay",
        &trace,
        "--replay-speed",
        "4",
        "--proofs",
        "4",
        "--json",
        "--out",
        &out,
    ];
    let second = run(replay).done();
    assert_eq!(second.json()["totals"]["offered"], 600);
    assert_eq!(digest(first), digest(second));
    let file = workplace.text("replay/run.json");
    let says = format!("{file} is a replay of \"operations.trace\" and has no plan");
    run(["load", "--plan", &out]).unusable(&says);

    std::fs::write(
        &trace,
        "trunkline-trace 1\nkeys 5\nvalue_bytes 4\n7 read 5\n",
    )
    .unwrap();
    run(replay).unusable("operations.trace:4: key 5 does not exist yet");
}

#[test]
fn json_is_all_that_is_printed() {
    let json = run_small(&["--json"]).json();
    assert_eq!(json["totals"]["offered"], 600);
    assert_eq!(json["checks"][0]["holds"], true);
    assert!(json["totals"]["operations"]["update"]["latency"]["p99_us"].is_number());
}

#[test]
fn phases_are_laid_over_a_plan() {
    let workplace = Workplace::new();
    let phases = workplace.text("phases.toml");
    std::fs::write(
        &phases,
        "[[phase]]\nat_s = 0\nrate_factor = 2.0\nworkload = \"c\"",
    )
    .unwrap();
    let json = run_small(&["--phases", &phases, "--json"]).json();
    assert_eq!(json["totals"]["operations"]["read"]["achieved"], 600);
    std::fs::write(&phases, "[[phase]]\nat_s = 0\nfactor = 2.0").unwrap();
    let ran = run(SMALL.iter().copied().chain(["--phases", &phases]));
    ran.unusable("phases.toml:3:1: unknown field `factor`");
}
