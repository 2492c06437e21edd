//! Turns figures with their uncertainty into verdicts whose common error is bounded.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::Statistics;

use super::{Metric, MetricComparison, Pair, Settings};

/// The result of a comparison.
///
/// See [`compare`](super::compare()) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// More operations a second, or a lower latency.
    Faster,
    /// Fewer operations a second, or a higher latency.
    Slower,
    /// No difference that can be distinguished from noise, or a negligible one.
    NoDifference,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NoDifference => "no difference",
        })
    }
}

const NANOS_PER_MICRO: f64 = 1_000.0;

/// A difference of logarithms, and its uncertainty.
struct Difference {
    logarithm: f64,
    error: f64,
    degrees: f64,
    p_value: f64,
}

/// Judges all figures together.
pub(super) fn of(pairs: &[Pair], settings: &Settings) -> Vec<MetricComparison> {
    let differences = pairs.iter().map(|pair| difference(pair, settings));
    let differences: Vec<Difference> = differences.collect();
    let p_values: Vec<f64> = differences.iter().map(|one| one.p_value).collect();
    let allowed = holm(&p_values, settings.family_error);
    let judged = pairs.iter().zip(&differences).zip(allowed);
    judged
        .map(|((pair, difference), (error_allowed, rejected))| {
            let reach = quantile(difference.degrees, 1.0 - error_allowed / 2.0) * difference.error;
            let unit = match pair.metric {
                Metric::Throughput => 1.0,
                Metric::Latency { .. } => NANOS_PER_MICRO,
            };
            MetricComparison {
                metric: pair.metric,
                before: pair.before.value / unit,
                after: pair.after.value / unit,
                change: difference.logarithm.exp_m1(),
                interval: (
                    (difference.logarithm - reach).exp_m1(),
                    (difference.logarithm + reach).exp_m1(),
                ),
                p_value: difference.p_value,
                error_allowed,
                block_seconds: (pair.before.block_seconds, pair.after.block_seconds),
                verdict: verdict(pair.metric, difference.logarithm, rejected),
            }
        })
        .collect()
}

fn verdict(metric: Metric, logarithm: f64, rejected: bool) -> Verdict {
    let is_better = (metric == Metric::Throughput) == (logarithm > 0.0);
    match (rejected, is_better) {
        (false, _) => Verdict::NoDifference,
        (true, true) => Verdict::Faster,
        (true, false) => Verdict::Slower,
    }
}

fn difference(pair: &Pair, settings: &Settings) -> Difference {
    let (logarithm, between) = match settings.paired {
        true => between_pairs(pair),
        false => (
            log_ratio(pair.before.value, pair.after.value),
            between_runs(pair),
        ),
    };
    let (variance, degrees) = match (within_runs(pair), between) {
        (within, Some(between)) if between.0 > within.0 => between,
        (within, _) => within,
    };
    let error = variance.sqrt().max(f64::EPSILON);
    let beyond = (logarithm.abs() - settings.negligible.ln_1p()).max(0.0) / error;
    Difference {
        logarithm,
        error,
        degrees,
        p_value: (2.0 * (1.0 - cumulative(degrees, beyond))).clamp(0.0, 1.0),
    }
}

/// Returns Welch's sum of both variances, with Satterthwaite's degrees of freedom.
fn within_runs(pair: &Pair) -> (f64, f64) {
    let (mut variance, mut spread) = (0.0, 0.0);
    for side in [&pair.before, &pair.after] {
        variance += side.log_variance;
        spread += side.log_variance.powi(2) / side.degrees.max(1.0);
    }
    match spread > 0.0 {
        true => (variance, variance * variance / spread),
        false => (variance, f64::MAX),
    }
}

/// Returns the variance between runs of the same side, and its degrees of freedom, if both sides have several runs.
/// Both sides share the variance.
fn between_runs(pair: &Pair) -> Option<(f64, f64)> {
    let sides = [&pair.before.of_runs, &pair.after.of_runs];
    if sides.iter().any(|runs| runs.len() < 2) {
        return None;
    }
    let (mut squares, mut degrees, mut share) = (0.0, 0.0, 0.0);
    for runs in sides {
        let others = runs.len() as f64 - 1.0;
        squares += others * runs.iter().copied().map(logarithm).variance();
        degrees += others;
        share += 1.0 / runs.len() as f64;
    }
    Some((squares / degrees * share, degrees))
}

/// Returns the mean difference of pairs of runs, and its variance with the degrees of freedom.
fn between_pairs(pair: &Pair) -> (f64, Option<(f64, f64)>) {
    let runs = pair.before.of_runs.iter().zip(&pair.after.of_runs);
    let ratios = runs.map(|(before, after)| log_ratio(*before, *after));
    let count = ratios.len() as f64;
    let variance = ratios.clone().variance() / count;
    (ratios.mean(), Some((variance, count - 1.0)))
}

fn log_ratio(before: f64, after: f64) -> f64 {
    logarithm(after) - logarithm(before)
}

fn logarithm(value: f64) -> f64 {
    value.max(f64::MIN_POSITIVE).ln()
}

/// Returns for each p-value the error that it was compared with, and whether it is below it. Holm's procedure goes from
/// the smallest p-value to the first that is not below its error.
fn holm(p_values: &[f64], family_error: f64) -> Vec<(f64, bool)> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut allowed = vec![(family_error, false); p_values.len()];
    let (mut error, mut rejected) = (family_error, true);
    for (rank, index) in order.into_iter().enumerate() {
        if rejected {
            error = family_error / (p_values.len() - rank) as f64;
            rejected = p_values[index] < error;
        }
        allowed[index] = (error, rejected);
    }
    allowed
}

/// Returns Student's distribution. Above a million degrees of freedom it equals the normal distribution to all digits
/// that matter.
fn student(degrees: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, degrees.clamp(1.0, 1e6)).ok()
}

fn cumulative(degrees: f64, value: f64) -> f64 {
    student(degrees).map_or(0.0, |student| student.cdf(value))
}

fn quantile(degrees: f64, share: f64) -> f64 {
    student(degrees).map_or(f64::INFINITY, |student| student.inverse_cdf(share))
}

#[cfg(test)]
mod tests {
    use super::super::estimate::Estimate;
    use super::*;

    #[test]
    fn holm_stops_at_the_first_that_is_not_small_enough() {
        let allowed = holm(&[0.03, 0.001, 0.04, 0.02], 0.05);
        assert_eq!(allowed[1], (0.0125, true));
        let stopped = 0.05 / 3.0;
        for index in [0, 2, 3] {
            assert_eq!(allowed[index], (stopped, false));
        }
        assert_eq!(holm(&[0.01, 0.02], 0.05), [(0.025, true), (0.05, true)]);
        assert_eq!(holm(&[], 0.05), []);
    }

    #[test]
    fn students_quantiles_are_those_of_tables() {
        assert!((quantile(4.0, 0.975) - 2.776).abs() < 1e-3);
        assert!((quantile(30.0, 0.99375) - 2.657).abs() < 1e-3);
        assert!((quantile(1e300, 0.975) - 1.960).abs() < 1e-3);
    }

    fn side(of_runs: &[f64], log_variance: f64) -> Estimate {
        Estimate {
            value: of_runs.iter().sum::<f64>() / of_runs.len() as f64,
            of_runs: of_runs.to_vec(),
            log_variance,
            degrees: 50.0,
            block_seconds: 3,
        }
    }

    fn judged(before: Estimate, after: Estimate) -> MetricComparison {
        let metric = Metric::Throughput;
        let pair = Pair {
            metric,
            before,
            after,
        };
        of(&[pair], &Settings::default())[0]
    }

    #[test]
    fn runs_that_differ_among_themselves_make_a_difference_less_sure() {
        let alike = judged(
            side(&[100.0, 100.1, 99.9], 1e-5),
            side(&[94.0, 94.1, 93.9], 1e-5),
        );
        assert_eq!(alike.verdict, Verdict::Slower);
        let unlike = judged(
            side(&[100.0, 107.0, 93.0], 1e-5),
            side(&[94.0, 99.0, 89.0], 1e-5),
        );
        assert_eq!(unlike.verdict, Verdict::NoDifference);
    }

    #[test]
    fn what_both_runs_of_a_pair_suffer_is_no_difference() {
        let drifting = [100.0, 62.0, 81.0, 118.0];
        let slower = drifting.map(|value| value * 0.9);
        let judged = |paired, after: &[f64]| {
            let pair = Pair {
                metric: Metric::Throughput,
                before: side(&drifting, 1e-6),
                after: side(after, 1e-6),
            };
            let settings = Settings {
                paired,
                ..Settings::default()
            };
            of(&[pair], &settings)[0]
        };
        assert_eq!(judged(false, &slower).verdict, Verdict::NoDifference);
        let paired = judged(true, &slower);
        assert_eq!(paired.verdict, Verdict::Slower);
        assert!((paired.change + 0.1).abs() < 1e-9);
        // Pairs that disagree are as uncertain as runs that do.
        let either = [110.0, 56.0, 88.0, 108.0];
        assert_eq!(judged(true, &either).verdict, Verdict::NoDifference);
    }

    #[test]
    fn the_verdict_agrees_with_the_interval() {
        for after in [1.0, 0.995, 0.98, 0.96, 0.9, 1.05, 1.5] {
            let judged = judged(side(&[1.0], 1e-4), side(&[after], 1e-4));
            let beyond = judged.interval.0 > 0.01 || judged.interval.1 < 1.0 / 1.01 - 1.0;
            assert_eq!(
                judged.verdict != Verdict::NoDifference,
                beyond,
                "{judged:?}"
            );
        }
    }

    #[test]
    fn a_negligible_change_is_none_however_sure() {
        let judged = judged(side(&[1.0], 1e-12), side(&[1.009], 1e-12));
        assert_eq!(judged.verdict, Verdict::NoDifference);
    }
}
