//! Made-up runs: throughput and latency with autoregressive noise.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Normal, Poisson};
use trunkline_load::OperationKind;
use trunkline_load::compare::{Counts, Observed};

/// The properties of a made-up run.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Length in seconds.
    pub(crate) seconds: usize,
    /// Standard deviation of the noise from second to second, as a share.
    pub(crate) noise: f64,
    /// Correlation of the noise in successive seconds.
    pub(crate) correlation: f64,
    /// Operations per second.
    pub(crate) rate: f64,
    /// Median latency in microseconds.
    pub(crate) median_us: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            seconds: 60,
            noise: 0.08,
            correlation: 0.3,
            rate: 4_000.0,
            median_us: 2_000.0,
        }
    }
}

/// Returns a run. The noise of its latency is independent of that of its throughput.
pub(crate) fn observed(shape: Shape, seed: u64) -> Observed {
    let mut random = SmallRng::seed_from_u64(seed);
    let throughput = noise(shape, &mut random);
    let achieved: Vec<f64> = throughput
        .iter()
        .map(|factor| (shape.rate * factor).round())
        .collect();
    let slowness = noise(shape, &mut random);
    let latency = achieved.iter().zip(&slowness);
    let latency = latency.map(|(operations, factor)| {
        log_normal(*operations, shape.median_us * 1e3 * factor, &mut random)
    });
    let latency = BTreeMap::from([(OperationKind::Update, latency.collect())]);
    Observed { achieved, latency }
}

/// Returns factors around 1, one per second: a first-order autoregression.
fn noise(shape: Shape, random: &mut SmallRng) -> Vec<f64> {
    let normal = Normal::new(0.0, 1.0).expect("a standard normal distribution");
    let fresh = (1.0 - shape.correlation * shape.correlation).sqrt();
    let mut state: f64 = normal.sample(random);
    let factors = (0..shape.seconds).map(|_| {
        state = shape.correlation * state + fresh * normal.sample(random);
        (shape.noise * state).exp()
    });
    factors.collect()
}

/// Returns log-normal latencies (σ = 0.5), drawn as a count for each of 120 steps: a draw per operation would take
/// long.
fn log_normal(operations: f64, median_nanos: f64, random: &mut SmallRng) -> Counts {
    const SIGMA: f64 = 0.5;
    const STEP: f64 = 0.06;
    let steps = (-60..60).map(f64::from);
    let bins = steps.map(|step| {
        let middle = step * STEP;
        let density = (-0.5 * middle * middle).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let expected = operations * density * STEP;
        let value = median_nanos * (SIGMA * (middle + STEP * random.random::<f64>())).exp();
        (value.round() as u64, drawn(expected, random))
    });
    Counts::of(bins)
}

fn drawn(expected: f64, random: &mut SmallRng) -> u64 {
    let poisson = Poisson::new(expected.max(1e-9)).expect("a positive mean");
    poisson.sample(random) as u64
}
