use std::process::{Child, Stdio};

use trunkline_load::{Histogram, IntervalLog, Measure, Run};

use crate::support::{Workplace, command, run};

/// Starts a load generator as a separate process.
fn generator(workplace: &Workplace, instance: &str) -> Child {
    let load = [
        "load",
        "--keys",
        "300",
        "--batch",
        "50",
        "--proofs",
        "4",
        "--rate",
        "3000",
        "--duration",
        "5",
        "--warmup",
        "1",
        "--threshold",
        "failed<1",
        "--instance",
        instance,
        "--seed",
        instance,
        "--name",
        instance,
        "--out",
    ];
    let mut command = command();
    command.args(load).arg(workplace.path(instance));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap()
}

/// Returns the sum over all seconds of a log.
fn whole(log: &IntervalLog, kind: trunkline_load::OperationKind) -> Histogram<u64> {
    let mut sum = Histogram::new(3).unwrap();
    for second in log.by_second(kind, Measure::Latency).unwrap().values() {
        sum.add(second).unwrap();
    }
    sum
}

#[test]
fn the_runs_of_two_processes_are_one_run() {
    let workplace = Workplace::new();
    let running = ["1", "2"].map(|instance| generator(&workplace, instance));
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let (one, other, out) = (
        workplace.text("1"),
        workplace.text("2"),
        workplace.text("merged"),
    );
    let merge = ["report", &*one, &other, "--merge", "--out", &out];
    let ran = run(merge).done();
    assert!(
        ran.stdout
            .contains("merged        2 runs, all of them from "),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("failed<1"), "{ran:?}");

    let read = |name: &str| {
        let directory = workplace.path(name);
        (
            Run::read_from(&directory).unwrap(),
            IntervalLog::read_from(&directory).unwrap(),
        )
    };
    let parts = [read("1"), read("2")];
    let (merged, log) = read("merged");
    let sum = |count: fn(&Run) -> u64| parts.iter().map(|(run, _)| count(run)).sum::<u64>();
    assert_eq!(merged.totals.achieved, sum(|run| run.totals.achieved));
    assert_eq!(merged.totals.offered, sum(|run| run.totals.offered));
    assert_eq!(merged.totals.operations.len(), 2);
    for (kind, total) in &merged.totals.operations {
        let mut all = whole(&parts[0].1, *kind);
        all.add(whole(&parts[1].1, *kind)).unwrap();
        assert_eq!(whole(&log, *kind), all);
        assert_eq!(
            total.latency.p99_us,
            all.value_at_quantile(0.99) as f64 / 1e3
        );
        assert_eq!(
            (total.achieved, total.latency.max_us),
            (all.len(), all.max() as f64 / 1e3)
        );
    }
    // The thresholds of the plan apply to the merged run.
    let judged = run(merge.iter().chain(&["--threshold", "throughput>1M"]));
    assert_eq!(judged.code, 4);
    run(["report", &out]).done();
    run(["report", &one, &other]).unusable("2 runs were named; name one, or add --merge");
    run(["report", &one, &one, "--merge"]).unusable("runs 1 and 2 are the same run");
    run(["report", &one, &out, "--merge"]).unusable("run 2 was merged already");
    run(["report", &one, &other, "--merge", "--out", &one]).unusable("it is read too");
}
