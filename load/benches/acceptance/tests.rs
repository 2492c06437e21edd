//! Tests of the figures of the bench `acceptance`.

mod criteria;
mod figures;
mod pairs;

use trunkline::Quantiles;
use trunkline::decisions::Window;
use trunkline_load::compare::{CompareError, Observed};
use trunkline_load::{Latency, OperationFigures, OperationKind, Totals};

use criteria::{Aim, Criterion, Finding};
use figures::{
    Alternated, Ran, Rest, SEARCHING_WINDOWS, Series, Share, Shift, Spread, best_by_median,
    best_of_round, searched,
};
use pairs::{DRAWS, Found, Pairs};

const TARGET_US: u64 = 200_000;

/// Returns windows of half a second, the first of them from half a second on, each with 1,000 durable operations and a
/// p99 and a cap.
fn windows(each: impl IntoIterator<Item = (u64, u64)>) -> Vec<Window> {
    let window = |(number, (p99, cap)): (u64, (u64, u64))| Window {
        ended_us: (number + 2) * 500_000,
        length_us: 500_000,
        operations_accepted: 1_000,
        operations_durable: 1_000,
        group_operations_max: cap,
        durable_us: Quantiles {
            count: 2,
            p99,
            ..Quantiles::default()
        },
        ..Window::default()
    };
    (0..).zip(each).map(window).collect()
}

fn under(caps: impl IntoIterator<Item = u64>) -> Rest {
    let windows = windows(caps.into_iter().map(|cap| (90_000, cap)));
    Rest::of(&windows, TARGET_US).expect("windows that count")
}

fn at(per_second: f64, p99_us: f64) -> Rest {
    Rest {
        per_second,
        p99_us,
        ..under([500; 2])
    }
}

/// Returns a setting with its result in each round.
fn series(name: &str, rounds: &[(f64, f64)]) -> Series<Option<Rest>> {
    let rounds = rounds.iter();
    Series {
        rounds: rounds
            .map(|(per_second, p99_us)| Some(at(*per_second, *p99_us)))
            .collect(),
        ..Series::new(name)
    }
}

#[test]
fn windows_in_which_nothing_became_durable_do_not_count() {
    let mut all = windows([100_000, 200_000, 200_001, 0].map(|p99| (p99, 20_000)));
    all[3].durable_us.count = 0;
    all[3].operations_durable = 7;
    let expected = Rest {
        per_second: 2_000.0,
        p99_us: 200_000.0,
        over: Share { part: 1, of: 3 },
        amplitude_percent: 0.0,
        reversals: 0,
    };
    assert_eq!(Rest::of(&all, TARGET_US), Some(expected));
    assert_eq!(Rest::of(&all[3..], TARGET_US), None);
}

#[test]
fn the_search_begins_with_the_first_operation_of_all() {
    let mut all = windows([(90_000, 500); SEARCHING_WINDOWS + 5]);
    // The engine is idle at first. Then the fill is accepted, and nothing of it is durable yet.
    for idle in &mut all[..2] {
        (idle.operations_accepted, idle.operations_durable) = (0, 0);
    }
    all[2].durable_us.count = 0;
    let ended_us: Vec<u64> = searched(&all)
        .iter()
        .map(|window| window.ended_us)
        .collect();
    assert_eq!(ended_us, [12_000_000, 12_500_000, 13_000_000]);
    assert!(searched(&all[..SEARCHING_WINDOWS]).is_empty());
    assert!(searched(&all[..2]).is_empty());
}

#[test]
fn the_cap_is_looked_at_in_all_windows_that_count() {
    let resting = under([1_000; 25]);
    assert_eq!((resting.amplitude_percent, resting.reversals), (0.0, 0));
    let moved_at_first = under([1_250].into_iter().chain([1_000; 24]));
    assert_eq!(
        (moved_at_first.amplitude_percent, moved_at_first.reversals),
        (25.0, 0)
    );
    assert_eq!(under([1, 2, 1]).reversals, 1);
}

#[test]
fn the_best_static_cap_is_so_by_the_median_of_all_rounds_and_keeps_the_target() {
    let lucky_once = series("lucky", &[(990.0, 1e5), (500.0, 1e5), (510.0, 1e5)]);
    let mostly_late = series(
        "late",
        &[(900.0, 200_001.0), (900.0, 200_001.0), (900.0, 1e5)],
    );
    let steady = series(
        "steady",
        &[(800.0, 200_000.0), (800.0, 1e5), (800.0, 300_000.0)],
    );
    let all = [lucky_once, mostly_late, steady];
    let best = best_by_median(&all, TARGET_US).expect("one that keeps the target");
    assert_eq!(best.name, "steady");
    assert!(best_by_median(&all[1..2], TARGET_US).is_none());

    let adaptive = series(
        "adaptive",
        &[(400.0, 1e5), (840.0, 1e5), (760.0, 1e5), (1.0, 1e5)],
    );
    let ratios = adaptive.against(|round| best.per_second(round));
    assert_eq!(ratios, [Some(0.5), Some(1.05), Some(0.95), None]);
    let ratios = adaptive.against(|round| best_of_round(&all, round, TARGET_US));
    let of_rounds = [400.0 / 990.0, 1.05, 760.0 / 900.0].map(Some);
    assert_eq!((&ratios[..3], ratios[3]), (&of_rounds[..], None));
}

#[test]
fn a_setting_under_which_nothing_became_durable_has_no_figures() {
    let mut none: Series<Option<Rest>> = Series::new("none");
    none.rounds.push(None);
    assert_eq!(none.spread(|rest| rest.per_second), None);
    assert_eq!((none.over(), none.per_second(0)), (Share::default(), None));
    assert!(best_by_median(&[none], TARGET_US).is_none());
}

#[test]
fn a_shift_divides_windows_into_before_adapting_and_later() {
    // Every third window is above the target. The shift comes after ten windows, and the window after it is left out.
    let p99 = |number: u64| {
        if number.is_multiple_of(3) {
            300_000
        } else {
            100_000
        }
    };
    let mut all = windows((0..30).map(|number| (p99(number), 20_000)));
    all[29].operations_durable = 3_000;
    let shift = Shift::of(&all, 1_000_000..5_500_000, 6_000_000, TARGET_US);
    let expected = Shift {
        before: Share { part: 3, of: 9 },
        adapting: Share { part: 5, of: 15 },
        later: Share { part: 1, of: 4 },
        per_second_before: 2_000.0,
        per_second_later: 3_000.0,
    };
    assert_eq!(shift, expected);
    let early = Shift::of(&all[..12], 1_000_000..5_500_000, 6_000_000, TARGET_US);
    assert_eq!((early.adapting.of, early.later.of), (1, 0));
}

#[test]
fn shares_add_up() {
    let shares = [Share { part: 1, of: 20 }, Share { part: 2, of: 10 }];
    let sum: Share = shares.into_iter().sum();
    assert_eq!(
        (sum.to_string(), sum.percent()),
        ("3 of 30".to_owned(), Some(10.0))
    );
    assert_eq!(Share::default().percent(), None);
}

#[test]
fn a_spread_has_the_upper_median() {
    let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter()).expect("figures");
    assert_eq!(
        (spread.least, spread.median, spread.greatest),
        (1.0, 3.0, 4.0)
    );
    assert_eq!(
        format!("{spread} {spread:.0}"),
        "1.00 / **3.00** / 4.00 1 / **3** / 4"
    );
    assert_eq!(Spread::of([].into_iter()), None);
}

#[test]
fn a_criterion_says_who_misses_it_and_in_how_many_runs() {
    let line = |aim, findings: &[&Finding]| {
        let criterion = Criterion {
            what: "windows".to_owned(),
            aim,
            unit: " %",
            findings: findings.iter().copied().cloned().collect(),
        };
        criterion.to_string()
    };
    let finding = |name: &str, figure: Option<f64>, runs: &[Option<f64>]| Finding {
        name: name.to_owned(),
        figure,
        runs: runs.to_vec(),
        shown: figure.map_or("–".to_owned(), |figure| figure.to_string()),
    };
    let one = &finding("one", Some(5.0), &[Some(5.0), Some(4.0)]);
    let two = &finding("two", Some(5.1), &[Some(5.1), Some(5.0)]);
    let three = &finding("three", None, &[None]);
    let most = Aim::AtMost(5.0);
    assert_eq!(
        line(most, &[one]),
        "- **met**: windows, at most 5 %, met in 2 of 2 runs; one: 5"
    );
    assert_eq!(
        line(most, &[one, two, three]),
        "- **missed** by two: windows, at most 5 %, met in 3 of 5 runs; one: 5; two: 5.1; three: –"
    );
    let least = Aim::AtLeast(5.05);
    assert!(
        line(least, &[one, two])
            .starts_with("- **missed** by one: windows, at least 5.05 %, met in 1 of 4 runs; ")
    );
    assert!(line(most, &[one, three]).starts_with("- **not measured** for three: "));
}

#[test]
fn a_run_is_known_by_its_throughput_and_its_slowest_writes() {
    let total = |achieved, p99_us| OperationFigures {
        achieved,
        latency: Latency {
            p99_us,
            ..Latency::default()
        },
        ..OperationFigures::default()
    };
    let mut totals = Totals {
        scheduled_us: 2_000_000,
        ended_in_schedule: 600,
        ..Totals::default()
    };
    totals.operations = [(OperationKind::Read, total(500, 9_000.0))].into();
    let reads_alone = Ran::of(&totals);
    assert_eq!(
        (reads_alone.per_second, reads_alone.write_p99_us),
        (300.0, None)
    );
    totals
        .operations
        .insert(OperationKind::Update, total(50, 70.0));
    totals
        .operations
        .insert(OperationKind::Insert, total(50, 80.0));
    totals
        .operations
        .insert(OperationKind::Delete, total(0, 90.0));
    assert_eq!(Ran::of(&totals).write_p99_us, Some(80.0));
}

#[test]
fn alternated_runs_are_compared_round_by_round() {
    let ran = |per_second| Ran {
        per_second,
        write_p99_us: None,
    };
    let alternated = Alternated {
        name: "YCSB C",
        fixed: [100.0, 200.0, 0.0].map(ran).into(),
        adaptive: [110.0, 190.0, 5.0].map(ran).into(),
    };
    assert_eq!(alternated.name, "YCSB C");
    assert_eq!(alternated.ratios(), [Some(1.1), Some(0.95), None]);
}

/// Returns runs of a machine that drifts. The seconds of each differ a little.
fn runs(factors: &[f64]) -> Vec<Observed> {
    let drift = [100.0, 62.0, 81.0, 118.0, 95.0, 71.0];
    let run = |(factor, drift): (&f64, f64)| {
        let second = |second: u32| factor * drift * f64::from(100 + second % 3);
        Observed {
            achieved: (0..20).map(second).collect(),
            ..Observed::default()
        }
    };
    factors.iter().zip(drift).map(run).collect()
}

#[test]
fn a_slowdown_is_found_in_pairs_and_in_draws_of_half_of_them() {
    let pairs = |after: [f64; 6]| {
        let pairs = Pairs {
            before: runs(&[1.0; 6]),
            after: runs(&after),
        };
        pairs.compared(7).expect("runs that are long enough")
    };
    let slowed = pairs([0.9, 0.9, 0.9, 0.9, 0.9, 0.9]);
    let equal = pairs([1.0, 1.001, 0.999, 1.0, 1.001, 0.999]);
    let text = Found { slowed, equal }.to_string();
    let has = |part: &str| assert!(text.contains(part), "no \"{part}\" in\n{text}");
    has("one of each pair slowed, 6 pairs | slower in draws of 3");
    has("| throughput | -10.0 % (");
    has(&format!("): slower | {DRAWS} of {DRAWS} | "));
    has("): no difference | 0 of 24 |");
    has(
        "- **found**: a slowdown over all 6 pairs; any figure slower in 24 of 24 draws of 3 of them",
    );
    has(
        "- **no difference** over all 6 equal pairs; any figure different in 0 of 24 draws of 3 of",
    );
}

#[test]
fn pairs_that_disagree_are_found_in_some_draws_alone() {
    let pairs = Pairs {
        before: runs(&[1.0; 6]),
        after: runs(&[0.9, 0.9, 0.9, 0.9, 0.9, 1.9]),
    };
    let once = pairs.compared(7).expect("runs that are long enough");
    let again = pairs.compared(7).expect("runs that are long enough");
    let text = |slowed| {
        let equal = again.clone();
        Found { slowed, equal }.to_string()
    };
    assert_eq!(text(once.clone()), text(again.clone()));
    let text = text(once);
    assert!(text.contains("- **not found**: a slowdown"), "{text}");
    assert!(
        !text.contains(" 24 of 24 draws") && !text.contains(" 0 of 24 draws"),
        "{text}"
    );
}

#[test]
fn runs_that_are_too_short_are_refused_as_they_are_by_the_comparison() {
    let mut pairs = Pairs {
        before: runs(&[1.0; 3]),
        after: runs(&[1.0; 3]),
    };
    pairs.after[2].achieved.truncate(2);
    let refused = pairs.compared(1).map(|_| ());
    assert_eq!(refused, Err(CompareError::Seconds { seconds: 2 }));
}
