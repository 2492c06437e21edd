//! Estimates for how long a series is correlated with itself. That gives the length of the blocks that a bootstrap
//! draws, and the factor by which such blocks understate the variance. Series of several runs are used together; no
//! block extends from one into another.
//!
//! Sources: Politis & White, "Automatic block-length selection for the dependent bootstrap" (2004), with the correction
//! of Patton, Politis & White (2009), for the circular block bootstrap; Andrews & Monahan (1992) for the correction by
//! a fitted AR(1).

use statrs::statistics::Statistics;

/// The properties of a series that a bootstrap over seconds needs.
pub(super) struct Memory {
    /// Length of a block.
    pub(super) block_seconds: usize,
    /// Factor by which the blocks understate the variance.
    pub(super) variance_factor: f64,
    /// Degrees of freedom of that variance.
    pub(super) degrees: f64,
}

/// Highest correlation between successive seconds for which the variance is corrected.
const CORRELATION_MAX: f64 = 0.9;

impl Memory {
    /// Estimates the memory of a figure from one series per run.
    pub(super) fn of(runs: &[Vec<f64>]) -> Self {
        let seconds: usize = runs.iter().map(Vec::len).sum();
        let shortest = runs.iter().map(Vec::len).min().unwrap_or(0);
        let lags_max = (seconds as f64).sqrt().ceil() as usize + insignificant_lags(seconds);
        let covariances = autocovariances(runs, lags_max.min(shortest.saturating_sub(1)));
        let variance = covariances.first().copied().unwrap_or(0.0);
        if seconds < 2 || variance <= f64::EPSILON {
            return Self {
                block_seconds: 1,
                variance_factor: 1.0,
                degrees: seconds.max(1) as f64,
            };
        }
        let block_max = (3.0 * (seconds as f64).sqrt()).min(shortest as f64 / 3.0);
        let block = block_length(&covariances, seconds)
            .min(block_max.ceil())
            .max(1.0);
        let drawn = seconds as f64;
        let correlation = covariances.get(1).map_or(0.0, |next| next / variance);
        let correlation = unbiased(correlation, drawn / runs.len() as f64);
        let few_blocks = drawn / (drawn - block * runs.len() as f64).max(1.0);
        Self {
            block_seconds: block as usize,
            variance_factor: few_blocks * tapering(correlation, block as usize),
            degrees: (1.5 * drawn / block).min(drawn * (1.0 - correlation) / (1.0 + correlation)),
        }
    }
}

/// Returns the number of successive lags that must be insignificant for the memory to have ended.
fn insignificant_lags(seconds: usize) -> usize {
    let lags = (seconds.max(2) as f64).log10().sqrt().ceil();
    (lags as usize).max(5)
}

/// Returns the autocovariances at lags 0 to `lags_max`, each run around its own mean.
fn autocovariances(runs: &[Vec<f64>], lags_max: usize) -> Vec<f64> {
    let seconds: usize = runs.iter().map(Vec::len).sum();
    let mut sums = vec![0.0; lags_max + 1];
    for run in runs {
        let mean = run.mean();
        let centred: Vec<f64> = run.iter().map(|value| value - mean).collect();
        for (lag, sum) in sums.iter_mut().enumerate() {
            let later = centred.iter().skip(lag);
            *sum += centred.iter().zip(later).map(|(a, b)| a * b).sum::<f64>();
        }
    }
    sums.iter().map(|sum| sum / seconds.max(1) as f64).collect()
}

/// Returns the block length with the least mean square error of the variance: `(2 G² / D)^(1/3) N^(1/3)`.
fn block_length(covariances: &[f64], seconds: usize) -> f64 {
    let bandwidth = bandwidth(covariances, seconds);
    let (mut spectrum_at_zero, mut slope) = (0.0, 0.0);
    for (lag, covariance) in covariances.iter().enumerate().take(bandwidth + 1) {
        // The flat-top window, twice for lags on both sides of 0.
        let window = (2.0 * (1.0 - lag as f64 / bandwidth as f64)).min(1.0);
        let weighted = window * covariance * if lag == 0 { 1.0 } else { 2.0 };
        spectrum_at_zero += weighted;
        slope += lag as f64 * weighted;
    }
    let spread = 4.0 / 3.0 * spectrum_at_zero * spectrum_at_zero;
    if spread <= 0.0 {
        return 1.0;
    }
    (2.0 * slope * slope / spread * seconds as f64)
        .cbrt()
        .ceil()
}

/// Returns twice the lag after which correlations are insignificant.
fn bandwidth(covariances: &[f64], seconds: usize) -> usize {
    let variance = covariances.first().copied().unwrap_or(0.0);
    let threshold = 2.0 * ((seconds as f64).log10() / seconds as f64).sqrt() * variance;
    let lags = covariances.iter().skip(1);
    let significant: Vec<bool> = lags.map(|lag| lag.abs() > threshold).collect();
    let quiet = significant
        .windows(insignificant_lags(seconds).min(significant.len().max(1)))
        .position(|lags| lags.iter().all(|significant| !significant));
    let last = || significant.iter().rposition(|significant| *significant);
    let memory = quiet.unwrap_or_else(|| last().map_or(0, |lag| lag + 1));
    (2 * memory.max(1)).min(significant.len().max(1))
}

/// Returns a correlation with Kendall's correction for a mean that is itself an estimate.
fn unbiased(correlation: f64, run_seconds: f64) -> f64 {
    let corrected = correlation + (1.0 + 3.0 * correlation) / run_seconds;
    corrected.clamp(0.0, CORRELATION_MAX)
}

/// Returns the factor by which blocks understate the variance of an AR(1) series: they see only a share of `1 - k /
/// block` of a correlation at lag k.
fn tapering(correlation: f64, block: usize) -> f64 {
    let mut seen = 1.0;
    let mut power = 1.0;
    for lag in 1..block {
        power *= correlation;
        seen += 2.0 * (1.0 - lag as f64 / block as f64) * power;
    }
    (1.0 + correlation) / (1.0 - correlation) / seen
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn autoregressive(seed: u64, seconds: usize, correlation: f64) -> Vec<f64> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut state = 0.0;
        let draw = |_| {
            let noise: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
            state = correlation * state + (1.0 - correlation * correlation).sqrt() * noise;
            state
        };
        (0..seconds + 50).map(draw).skip(50).collect()
    }

    #[test]
    fn a_constant_series_has_no_memory() {
        let memory = Memory::of(&[vec![5.0; 60]]);
        assert_eq!((memory.block_seconds, memory.variance_factor), (1, 1.0));
    }

    #[test]
    fn blocks_grow_with_the_correlation() {
        let length = |correlation| {
            let lengths = (0..20).map(|seed| {
                let series = autoregressive(seed, 600, correlation);
                Memory::of(&[series]).block_seconds
            });
            lengths.sum::<usize>() / 20
        };
        assert!(length(0.0) <= 5, "{}", length(0.0));
        assert!((8..25).contains(&length(0.6)), "{}", length(0.6));
        assert!(length(0.9) > length(0.6));
    }

    #[test]
    fn a_block_is_at_most_a_third_of_the_shortest_run() {
        let runs = [autoregressive(1, 300, 0.95), autoregressive(2, 30, 0.95)];
        assert!(Memory::of(&runs).block_seconds <= 10);
    }

    #[test]
    fn an_autoregression_in_blocks_of_one_lacks_all_of_its_covariances() {
        assert!((tapering(0.6, 1) - 4.0).abs() < 1e-12);
        assert!((tapering(0.6, 10_000) - 1.0).abs() < 1e-3);
        assert_eq!(tapering(0.0, 7), 1.0);
    }

    #[test]
    fn nothing_and_one_second_have_a_memory_too() {
        assert_eq!(Memory::of(&[]).block_seconds, 1);
        assert_eq!(Memory::of(&[vec![1.0]]).block_seconds, 1);
        assert_eq!(Memory::of(&[vec![1.0, 2.0]]).block_seconds, 1);
    }
}
