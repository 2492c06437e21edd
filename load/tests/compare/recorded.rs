use trunkline_load::compare::{RecordError, Recorded};
use trunkline_load::{
    Histogram, INTERVAL_LOG_FILE, Interval, IntervalLog, Measure, OperationKind, RUN_FORMAT, Run,
    Second,
};

fn run(seconds: u64, scheduled_us: u64) -> Run {
    let mut run = Run {
        format: RUN_FORMAT,
        ..Run::default()
    };
    run.totals.scheduled_us = scheduled_us;
    run.seconds = (0..seconds)
        .map(|second| Second {
            second,
            achieved: 100 + second,
            ..Second::default()
        })
        .collect();
    run
}

/// Returns a log with one value per second: 1000 plus the second's number.
fn log(seconds: u64, kind: OperationKind, measure: Measure) -> IntervalLog {
    let mut log = IntervalLog::new(1_700_000_000_000);
    for second in 0..seconds {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        histogram.record(1_000 + second).expect("a small value");
        let interval = Interval {
            second,
            kind,
            measure,
            histogram,
        };
        log.add(&interval).expect("a log in memory");
    }
    log
}

#[test]
fn histograms_go_to_their_kind_and_second() {
    let log = log(3, OperationKind::Read, Measure::Service);
    let recorded = Recorded::of(run(3, 3_000_000), &log).expect("a run");
    assert_eq!(recorded.latency.len(), 0);
    let reads = &recorded.service[&OperationKind::Read];
    assert_eq!(reads.len(), 3);
    assert_eq!(reads[2].bins(), [(1_002, 1)]);
}

#[test]
fn intervals_beyond_the_run_are_passed_over() {
    let log = log(30, OperationKind::Read, Measure::Latency);
    let recorded = Recorded::of(run(3, 3_000_000), &log).expect("a run");
    assert_eq!(recorded.latency[&OperationKind::Read].len(), 3);
}

#[test]
fn a_second_that_was_cut_off_is_not_compared() {
    let log = log(3, OperationKind::Read, Measure::Latency);
    let recorded = Recorded::of(run(3, 2_400_000), &log).expect("a run");
    let observed = recorded.observed();
    assert_eq!(observed.achieved, [100.0, 101.0]);
    assert_eq!(observed.latency[&OperationKind::Read].len(), 2);
}

#[test]
fn a_damaged_log_is_told_from_a_missing_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run(3, 3_000_000)
        .write_to(directory.path())
        .expect("a file");
    let missing = Recorded::read_from(directory.path());
    assert!(matches!(missing, Err(RecordError::File(_))), "{missing:?}");
    let file = directory.path().join(INTERVAL_LOG_FILE);
    std::fs::write(file, "Tag=read.latency,0.000,1.000,1.000,AAAA\n").expect("a file");
    let damaged = Recorded::read_from(directory.path());
    assert!(
        matches!(damaged, Err(RecordError::Histograms { .. })),
        "{damaged:?}"
    );
}
