use trunkline_load::compare::{Comparison, Metric, Observed, Settings, Verdict, compare};

use crate::synthetic::{Shape, observed};

/// A small number, so that the tests are fast: the variance of the logarithm is known to a tenth.
const RESAMPLES: usize = 200;

fn compared(before: &[Observed], after: &[Observed], seed: u64) -> Comparison {
    let settings = Settings {
        seed,
        resamples: RESAMPLES,
        ..Settings::default()
    };
    compare(before, after, &settings).expect("runs that are long enough")
}

/// Returns the share of trials in which a comparison has a property.
fn share(trials: u64, before: Shape, after: Shape, property: impl Fn(&Comparison) -> bool) -> f64 {
    let found = (0..trials).filter(|trial| {
        let before = observed(before, 2 * trial + 1);
        let after = observed(after, 2 * trial + 2);
        property(&compared(&[before], &[after], *trial))
    });
    found.count() as f64 / trials as f64
}

fn any_difference(comparison: &Comparison) -> bool {
    let mut metrics = comparison.metrics.iter();
    metrics.any(|metric| metric.verdict != Verdict::NoDifference)
}

fn slower(comparison: &Comparison, is_meant: impl Fn(Metric) -> bool) -> bool {
    let mut metrics = comparison.metrics.iter();
    metrics.any(|metric| is_meant(metric.metric) && metric.verdict == Verdict::Slower)
}

fn same_build(noise: f64, correlation: f64, trials: u64) -> f64 {
    let shape = Shape {
        noise,
        correlation,
        ..Shape::default()
    };
    share(trials, shape, shape, any_difference)
}

#[test]
fn the_same_build_shows_no_difference_in_steady_noise() {
    let differences = same_build(0.10, 0.0, 200);
    assert!(differences <= 0.05, "{differences}");
}

#[test]
fn the_same_build_shows_no_difference_in_noise_that_remembers() {
    let differences = same_build(0.10, 0.6, 200);
    assert!(differences <= 0.05, "{differences}");
}

#[test]
fn a_tenth_less_throughput_is_found() {
    let before = Shape::default();
    let after = Shape {
        rate: before.rate * 0.9,
        ..before
    };
    let found = share(100, before, after, |comparison| {
        slower(comparison, |metric| metric == Metric::Throughput)
    });
    assert!(found >= 0.8, "{found}");
}

#[test]
fn a_tenth_more_latency_is_found() {
    let before = Shape::default();
    let after = Shape {
        median_us: before.median_us * 1.1,
        ..before
    };
    let found = share(100, before, after, |comparison| {
        slower(comparison, |metric| metric != Metric::Throughput)
    });
    assert!(found >= 0.8, "{found}");
}

#[test]
fn noise_that_remembers_hides_more_and_still_a_tenth_is_found_in_less_of_it() {
    let before = Shape {
        noise: 0.06,
        correlation: 0.6,
        ..Shape::default()
    };
    let after = Shape {
        rate: before.rate * 0.9,
        median_us: before.median_us * 1.1,
        ..before
    };
    let found = share(100, before, after, |comparison| {
        comparison.worse_by(0.05).next().is_some()
    });
    assert!(found >= 0.8, "{found}");
}

#[test]
fn a_gain_is_faster() {
    let before = Shape::default();
    let after = Shape {
        rate: before.rate * 1.3,
        median_us: before.median_us * 0.7,
        ..before
    };
    let comparison = compared(&[observed(before, 1)], &[observed(after, 2)], 1);
    let mut metrics = comparison.metrics.iter();
    assert!(metrics.all(|metric| metric.verdict == Verdict::Faster));
    assert_eq!(comparison.worse_by(0.0).count(), 0);
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let (before, after) = (
        [observed(Shape::default(), 1)],
        [observed(Shape::default(), 2)],
    );
    assert_eq!(compared(&before, &after, 3), compared(&before, &after, 3));
    assert_ne!(compared(&before, &after, 3), compared(&before, &after, 4));
}

#[test]
fn several_runs_of_a_side_count_together() {
    let shape = Shape {
        seconds: 30,
        ..Shape::default()
    };
    let worse = Shape {
        rate: shape.rate * 0.9,
        ..shape
    };
    let side = |shape, seed: u64| -> Vec<Observed> {
        let runs = (0..4).map(|run| observed(shape, seed + run));
        runs.collect()
    };
    let comparison = compared(&side(shape, 1), &side(worse, 11), 1);
    assert!(slower(&comparison, |metric| metric == Metric::Throughput));
    assert!(!slower(&comparison, |metric| metric != Metric::Throughput));
}
