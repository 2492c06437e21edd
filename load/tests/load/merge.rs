use std::collections::BTreeMap;

use proptest::prelude::*;
use trunkline_load::{
    Histogram, Interval, IntervalLog, Latency, Load, Measure, MergeError, OperationFigures,
    OperationKind, Plan, RUN_FORMAT, Records, Run, Second, Warning, merge,
};

use crate::support::{Table, small};

const KINDS: [OperationKind; 2] = [OperationKind::Read, OperationKind::Update];

/// An operation that a generator recorded: second, kind, latency and service time in nanoseconds.
type Recorded = (u64, usize, u64, u64);

fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

/// Returns the run of one generator, which began `began_ms` after the first.
fn part(number: u64, began_ms: u64, recorded: &[Recorded]) -> (Run, IntervalLog) {
    let mut histograms: BTreeMap<(u64, OperationKind), (Histogram<u64>, Histogram<u64>)> =
        BTreeMap::new();
    let mut run = Run {
        format: RUN_FORMAT,
        name: format!("generator {number}"),
        began_unix_ms: 1_700_000_000_000 + began_ms,
        seed: number,
        workload: Plan::default().to_toml(),
        ..Run::default()
    };
    for (second, kind, latency, service) in recorded {
        let key = (*second, KINDS[*kind]);
        let pair = histograms
            .entry(key)
            .or_insert_with(|| (histogram(), histogram()));
        pair.0.record(*latency).unwrap();
        pair.1.record(*service).unwrap();
        let figures: &mut OperationFigures = run.totals.operations.entry(key.1).or_default();
        figures.achieved += 1;
    }
    let mut log = IntervalLog::new(run.began_unix_ms);
    for ((second, kind), (latency, service)) in histograms {
        for (measure, histogram) in [(Measure::Latency, latency), (Measure::Service, service)] {
            let interval = Interval {
                second,
                kind,
                measure,
                histogram,
            };
            log.add(&interval).unwrap();
        }
    }
    let in_second = |second| recorded.iter().filter(|one| one.0 == second).count() as u64;
    let seconds = (0..4).map(|second| Second {
        second,
        offered: in_second(second) + 1,
        achieved: in_second(second),
        failed: 1,
        ..Second::default()
    });
    run.seconds = seconds.collect();
    run.totals.achieved = recorded.len() as u64;
    run.totals.ended_in_schedule = recorded.len() as u64;
    run.totals.offered = recorded.len() as u64 + 4;
    run.totals.failed = 4;
    (run.totals.scheduled_us, run.totals.elapsed_us) = (4_000_000, 4_100_000);
    (run, log)
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let micros = |share| histogram.value_at_quantile(share) as f64 / 1e3;
    Latency {
        count: histogram.len(),
        mean_us: histogram.mean() / 1e3,
        p50_us: micros(0.5),
        p90_us: micros(0.9),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        p9999_us: micros(0.9999),
        max_us: histogram.max() as f64 / 1e3,
    }
}

/// Returns the sum over all seconds of a log.
fn whole(log: &IntervalLog, kind: OperationKind, measure: Measure) -> Histogram<u64> {
    let mut sum = histogram();
    for second in log.by_second(kind, measure).unwrap().values() {
        sum.add(second).unwrap();
    }
    sum
}

fn recorded() -> impl Strategy<Value = Vec<Recorded>> {
    let nanos = || prop_oneof![1..1_000_u64, 1_000..10_000_000_u64, 1..60_000_000_000_u64];
    prop::collection::vec((0..4_u64, 0..2_usize, nanos(), nanos()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merged_runs_have_the_histogram_of_all_recorded_values(
        generators in prop::collection::vec((0..3_000_u64, recorded()), 2..5)
    ) {
        let numbered = (0..).zip(&generators);
        let parts: Vec<_> = numbered.map(|(number, (began_ms, all))| part(number, *began_ms, all)).collect();
        let (run, log) = merge(&parts).unwrap();
        for (index, kind) in KINDS.into_iter().enumerate() {
            let (mut latencies, mut services) = (histogram(), histogram());
            for one in generators.iter().flat_map(|(_, all)| all).filter(|one| one.1 == index) {
                latencies.record(one.2).unwrap();
                services.record(one.3).unwrap();
            }
            prop_assert_eq!(&whole(&log, kind, Measure::Latency), &latencies);
            prop_assert_eq!(&whole(&log, kind, Measure::Service), &services);
            let total = run.totals.operations.get(&kind).copied().unwrap_or_default();
            prop_assert_eq!(total.achieved, latencies.len());
            if total.achieved > 0 {
                prop_assert_eq!(total.latency, latency(&latencies));
                prop_assert_eq!(total.service, latency(&services));
            }
        }
        let all: usize = generators.iter().map(|(_, all)| all.len()).sum();
        prop_assert_eq!(run.totals.achieved, all as u64);
        prop_assert_eq!(run.totals.offered, (all + 4 * generators.len()) as u64);
        let of_seconds = |count: fn(&Second) -> u64| run.seconds.iter().map(count).sum::<u64>();
        prop_assert_eq!(of_seconds(|second| second.achieved), all as u64);
        prop_assert_eq!(of_seconds(|second| second.failed), 4 * generators.len() as u64);
        for second in &run.seconds {
            let of_kinds: u64 = second.operations.values().map(|figures| figures.achieved).sum();
            prop_assert_eq!(of_kinds, second.achieved);
        }
    }
}

#[test]
fn seconds_are_those_of_the_same_time_of_day_and_the_common_window_is_stated() {
    let (first, second) = (
        part(1, 0, &[(3, 0, 10, 5)]),
        part(2, 1_600, &[(1, 0, 20, 5)]),
    );
    let (run, _) = merge(&[first, second]).unwrap();
    // The second generator's seconds are shifted by two.
    let achieved: Vec<u64> = run.seconds.iter().map(|second| second.achieved).collect();
    assert_eq!(achieved, [0, 0, 0, 2, 0, 0]);
    let merged = run.merged.clone().unwrap();
    assert_eq!(
        (merged.window.begin_us, merged.window.end_us),
        (1_600_000, 4_000_000)
    );
    assert_eq!(
        (run.totals.scheduled_us, run.totals.elapsed_us),
        (5_600_000, 5_700_000)
    );
    assert_eq!(merged.parts.len(), 2);
    assert_eq!((merged.parts[1].seed, merged.parts[1].achieved), (2, 1));
    let partly = Warning::PartlyOverlapping {
        window_s: 2.4,
        whole_s: 5.6,
    };
    assert!(run.warnings.contains(&partly), "{:?}", run.warnings);
    // The merged run is like any other.
    let directory = tempfile::tempdir().unwrap();
    run.write_to(directory.path()).unwrap();
    assert_eq!(Run::read_from(directory.path()).unwrap(), run);
}

#[test]
fn what_cannot_be_merged_exactly_is_refused_with_its_reason() {
    let recorded = [(0, 0, 10, 5)];
    let first = || part(1, 0, &recorded);
    let refused = |change: fn(&mut (Run, IntervalLog))| {
        let mut second = part(2, 0, &recorded);
        change(&mut second);
        merge(&[first(), second]).unwrap_err()
    };
    assert!(matches!(merge(&[first()]), Err(MergeError::Count(1))));
    let same = merge(&[first(), first()]).unwrap_err();
    assert!(matches!(
        same,
        MergeError::Same {
            first: 1,
            second: 2
        }
    ));
    let format = refused(|(run, _)| run.format = 3);
    assert!(matches!(
        format,
        MergeError::Format {
            number: 2,
            found: 3
        }
    ));
    let version = refused(|(run, _)| run.version = "0.0.1".to_owned());
    assert!(matches!(version, MergeError::Version { number: 2, .. }));
    let plans = refused(|(run, _)| run.workload = "rate = 5.0\nseed = 9\nname = \"b\"".to_owned());
    assert!(
        matches!(&plans, MergeError::Plans { number: 2, keys } if *keys == ["rate"]),
        "{plans}"
    );
    let no_plan = refused(|(run, _)| run.workload = "x".to_owned());
    assert!(matches!(no_plan, MergeError::NoPlan(2)));
    let traces = refused(|(run, _)| run.replayed = Some(Default::default()));
    assert!(matches!(traces, MergeError::Traces(2)));
    let apart = refused(|(run, _)| run.began_unix_ms += 4_000);
    assert!(matches!(apart, MergeError::Apart { ended: 1, began: 2 }));
    let merged = refused(|(run, _)| run.merged = Some(Default::default()));
    assert!(matches!(merged, MergeError::Merged(2)));
    // A run of many hours has left out its first seconds.
    let incomplete = refused(|(_, log)| *log = IntervalLog::new(0));
    assert!(
        matches!(
            incomplete,
            MergeError::Incomplete {
                number: 2,
                counted: 0,
                achieved: 1,
                ..
            }
        ),
        "{incomplete}"
    );
    let log = refused(|(_, log)| {
        *log = IntervalLog::from_bytes(b"Tag=x,0.000,1.000,5.0,AAAA\n".to_vec())
    });
    assert!(matches!(log, MergeError::Log { number: 2, .. }));
}

#[test]
fn several_generators_load_one_target_at_once_with_keys_of_their_own() {
    let table = Table::default();
    let plan = |instance| Plan {
        instance,
        seed: u64::from(instance),
        thresholds: vec![
            "failed<1".parse().unwrap(),
            "update.p99<1us".parse().unwrap(),
        ],
        ..small()
    };
    let run = |instance| Load::new(&plan(instance), &table).unwrap().run().unwrap();
    let outcomes = std::thread::scope(|scope| {
        let running = [1, 2].map(|instance| scope.spawn(move || run(instance)));
        running.map(|one| one.join().unwrap())
    });
    let held = |records: &Records| {
        let keys = (0..records.len()).map(|index| (records.key(index), records.value(index)));
        keys.collect::<Vec<_>>()
    };
    for outcome in &outcomes {
        for (key, value) in held(&outcome.records) {
            let found = table.values.lock().unwrap().get(&key[..]).cloned();
            assert_eq!(found.map(Vec::from), value);
        }
    }
    // Schedules of 2 ms need not overlap by the clock, and the figures do not depend on it.
    let parts = outcomes.each_ref().map(|one| {
        let began_unix_ms = 1_700_000_000_000;
        let run = Run {
            began_unix_ms,
            ..one.run.clone()
        };
        (run, one.log.clone())
    });
    let (run, log) = merge(&parts).unwrap();
    let sum = |count: fn(&Run) -> u64| parts.iter().map(|(run, _)| count(run)).sum::<u64>();
    assert_eq!(run.totals.offered, 4_000);
    assert_eq!(run.totals.achieved, sum(|run| run.totals.achieved));
    assert_eq!(run.totals.generator_late.count, 4_000);
    assert_eq!(log.generator_late().unwrap().len(), 4_000);
    let holds: Vec<bool> = run.thresholds.iter().map(|result| result.holds).collect();
    assert_eq!(holds, [true, false]);
}

#[test]
fn counts_that_cannot_be_are_no_panic() {
    let parts = [1, 2].map(|number| {
        let (mut run, log) = part(number, 0, &[(0, 0, 10, 5)]);
        run.totals.offered = u64::MAX;
        run.totals.cpu.generator_us = u64::MAX;
        (run.totals.elapsed_us, run.began_unix_ms) = (u64::MAX, u64::MAX - number);
        run.seconds[0].offered = u64::MAX;
        run.seconds[1].second = u64::MAX;
        (run, log)
    });
    let (run, _) = merge(&parts).unwrap();
    assert_eq!(run.totals.offered, u64::MAX);
}
