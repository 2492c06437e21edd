use proptest::prelude::*;
use trunkline::{Config, Engine, Stage};
use trunkline_load::{
    Histogram, Interval, IntervalLog, IntervalLogError, Load, Measure, OperationKind, Plan,
    Workload,
};

use crate::support::{Table, small};

fn interval(second: u64, kind: OperationKind, values: &[u64]) -> Interval {
    let mut histogram = Histogram::new(3).unwrap();
    for value in values {
        histogram.record(*value).unwrap();
    }
    Interval {
        second,
        kind,
        measure: Measure::Latency,
        histogram,
    }
}

#[test]
fn histograms_are_read_as_they_were_written() {
    let mut log = IntervalLog::new(1_700_000_000_123);
    let intervals = [
        interval(0, OperationKind::Update, &[1_000, 2_000_000]),
        interval(0, OperationKind::ReadModifyWrite, &[5]),
        interval(7, OperationKind::Update, &[60_000_000_000]),
        interval(7, OperationKind::Update, &[1]),
    ];
    intervals
        .iter()
        .for_each(|interval| log.add(interval).unwrap());
    let directory = tempfile::tempdir().unwrap();
    log.write_to(directory.path()).unwrap();
    let log = IntervalLog::read_from(directory.path()).unwrap();
    let read: Vec<Interval> = log.intervals().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, intervals);
    let updates = log
        .by_second(OperationKind::Update, Measure::Latency)
        .unwrap();
    assert_eq!(updates.keys().copied().collect::<Vec<_>>(), [0, 7]);
    assert_eq!((updates[&7].len(), updates[&7].min()), (2, 1));
    assert!(updates[&7].max() >= 60_000_000_000);
}

#[test]
fn the_log_says_its_unit_and_its_start() {
    let log = IntervalLog::new(1_700_000_000_123);
    let text = String::from_utf8(log.as_bytes().to_vec()).unwrap();
    assert!(text.contains("nanoseconds"), "{text}");
    assert!(text.contains("#[StartTime: 1700000000.123 "), "{text}");
}

#[test]
fn stages_of_an_engine_are_in_the_log_with_operations() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(Config::in_directory(directory.path())).unwrap();
    let plan = Plan {
        workload: Workload::Write,
        ..small()
    };
    let outcome = Load::new(&plan, &engine).unwrap().run().unwrap();
    engine.shutdown_blocking().unwrap();
    for stage in Stage::ALL {
        let seconds = outcome.log.stage_by_second(stage).unwrap();
        let versions: u64 = seconds.values().map(Histogram::len).sum();
        assert!(versions > 0, "{stage}");
    }
    let mut intervals = outcome.log.intervals();
    assert!(intervals.all(|interval| interval.unwrap().kind == OperationKind::Update));
}

#[test]
fn histograms_and_figures_of_a_run_agree() {
    let table = Table::default();
    let plan = Plan {
        workload: Workload::A,
        ..small()
    };
    let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
    for (kind, total) in &outcome.run.totals.operations {
        for (measure, latency) in [
            (Measure::Latency, total.latency),
            (Measure::Service, total.service),
        ] {
            let seconds = outcome.log.by_second(*kind, measure).unwrap();
            let count: u64 = seconds.values().map(Histogram::len).sum();
            assert_eq!(count, latency.count);
            let max = seconds.values().map(Histogram::max).max().unwrap();
            assert!((max as f64 / 1e3 / latency.max_us - 1.0).abs() < 0.002);
        }
    }
}

#[test]
fn what_holds_no_histogram_of_ours_is_refused_by_its_line() {
    let mut log = IntervalLog::new(0);
    log.add(&interval(0, OperationKind::Read, &[5])).unwrap();
    let whole = String::from_utf8(log.as_bytes().to_vec()).unwrap();
    let first = |text: String| {
        let log = IntervalLog::from_bytes(text.into_bytes());
        let found = log.intervals().next();
        found.unwrap().unwrap_err()
    };
    let other_tag = first(whole.replace("read.latency", "read.late"));
    assert!(matches!(other_tag, IntervalLogError::Tag { line: 1 }));
    let no_tag = first(whole.replace("Tag=read.latency,", ""));
    assert!(matches!(no_tag, IntervalLogError::Tag { line: 1 }));
    let cut = first(whole.replace("HISTFAAA", "HISTFAA"));
    assert!(matches!(cut, IntervalLogError::Histogram { line: 1 }));
    let no_line = first("#comment\nrubbish".to_owned());
    assert!(matches!(no_line, IntervalLogError::Form { offset: 9 }));
}

#[test]
fn a_histogram_with_five_digits_is_refused() {
    let mut histogram = Histogram::new_with_bounds(1, u64::MAX / 2, 5).unwrap();
    histogram.record(7).unwrap();
    let (kind, measure) = (OperationKind::Read, Measure::Latency);
    let mut log = IntervalLog::new(0);
    log.add(&Interval {
        second: 0,
        kind,
        measure,
        histogram,
    })
    .unwrap();
    let read = log.intervals().next().unwrap();
    assert!(matches!(read, Err(IntervalLogError::Histogram { line: 1 })));
}

proptest! {
    #[test]
    fn any_change_gives_intervals_or_an_error(index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut log = IntervalLog::new(0);
        log.add(&interval(0, OperationKind::Read, &[5, 70_000, 1 << 40])).unwrap();
        log.add(&interval(1, OperationKind::Update, &[5])).unwrap();
        let mut bytes = log.as_bytes().to_vec();
        let index = index.index(bytes.len());
        bytes[index] = byte;
        let log = IntervalLog::from_bytes(bytes);
        prop_assert!(log.intervals().count() <= 4);
        let _ = log.stage_by_second(Stage::Tree);
    }
}
