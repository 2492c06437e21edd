//! Made-up runs in directories, with noise, decisions and stages that overlap.

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal, Normal};
use trunkline::decisions::{Change, Decision, Reason, Seen, StageWindow, Window, Work};
use trunkline::{Quantiles, Span, Stage};
use trunkline_load::{
    Histogram, Interval, IntervalLog, Latency, Machine, Measure, OperationFigures, OperationKind,
    Plan, RUN_FORMAT, Run, Second,
};

/// The beginning of the first second on the engine's clock.
const BEGUN_US: u64 = 3_000_000;
/// Number of latencies that represent a whole second.
const SAMPLES: u64 = 600;

/// The properties of a made-up run.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) rate: f64,
    pub(crate) update_us: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 60,
            rate: 240_000.0,
            update_us: 9_000.0,
        }
    }
}

pub(crate) type Series = BTreeMap<(OperationKind, Measure), Vec<Histogram<u64>>>;

/// A run with its histograms.
pub(crate) struct Made {
    pub(crate) run: Run,
    pub(crate) series: Series,
}

impl Made {
    pub(crate) fn new(shape: Shape) -> Self {
        let mut random = SmallRng::seed_from_u64(shape.seed);
        let series = series(shape, &mut random);
        let mut run = Run {
            format: RUN_FORMAT,
            name: "updates and reads, steady".to_owned(),
            began_unix_ms: 1_767_225_600_000,
            version: "0.1.0".to_owned(),
            git_revision: "55e05e0".to_owned(),
            machine: Machine {
                cores: 8,
                processor: "Made-up Processor 9000".to_owned(),
                memory_bytes: 32 << 30,
                system: "linux x86_64".to_owned(),
            },
            seed: shape.seed,
            workload: Plan::default().to_toml(),
            config: "[group]\noperations_max = 20000\n".to_owned(),
            begun_engine_us: BEGUN_US,
            seconds: seconds(shape, &series, &mut random),
            windows: windows(shape, &mut random),
            decisions: decisions(),
            spans: spans(),
            ..Run::default()
        };
        sum_up(&mut run, &series);
        Self { run, series }
    }

    /// Writes `run.json` and `latency.hlog`.
    pub(crate) fn write_to(&self, directory: &Path) {
        self.run.write_to(directory).expect("a file");
        let mut log = IntervalLog::new(self.run.began_unix_ms);
        for ((kind, measure), histograms) in &self.series {
            for (second, histogram) in (0..).zip(histograms) {
                let interval = Interval {
                    second,
                    kind: *kind,
                    measure: *measure,
                    histogram: histogram.clone(),
                };
                log.add(&interval).expect("a log in memory");
            }
        }
        log.write_to(directory).expect("a file");
    }
}

/// Returns a first-order autoregression around 1 (standard deviation 4 %, correlation 0.3).
fn noise(seconds: u64, random: &mut SmallRng) -> Vec<f64> {
    let normal = Normal::new(0.0, 1.0).expect("a normal distribution");
    let mut state = 0.0;
    let factors = (0..seconds).map(|_| {
        state = 0.3 * state + 0.954 * normal.sample(random);
        f64::exp(0.04 * state)
    });
    factors.collect()
}

fn series(shape: Shape, random: &mut SmallRng) -> Series {
    let kinds = [
        (OperationKind::Read, 4.0, 0.6),
        (OperationKind::Verify, 900.0, 0.4),
        (OperationKind::Update, shape.update_us, 0.45),
    ];
    let mut series = Series::new();
    for (kind, median_us, sigma) in kinds {
        let slowness = noise(shape.seconds, random);
        for (measure, share) in [(Measure::Latency, 1.0), (Measure::Service, 0.8)] {
            let histograms = slowness.iter().map(|factor| {
                let median_nanos = median_us * share * factor * 1e3;
                histogram(median_nanos, sigma, random)
            });
            series.insert((kind, measure), histograms.collect());
        }
    }
    series
}

fn histogram(median_nanos: f64, sigma: f64, random: &mut SmallRng) -> Histogram<u64> {
    let spread = LogNormal::new(median_nanos.ln(), sigma).expect("a log-normal distribution");
    let mut histogram = Histogram::new(3).expect("three digits");
    for _ in 0..SAMPLES {
        let nanos = spread.sample(random) as u64;
        histogram.record_n(nanos, 100).expect("it grows");
    }
    histogram
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
        max_us: micros(1.0),
    }
}

fn seconds(shape: Shape, series: &Series, random: &mut SmallRng) -> Vec<Second> {
    let throughput = noise(shape.seconds, random);
    let seconds = (0..).zip(throughput).map(|(second, factor)| {
        let achieved = (shape.rate * factor.min(1.05)) as u64;
        let offered = (shape.rate * 1.02) as u64;
        let mut operations: BTreeMap<OperationKind, OperationFigures> = BTreeMap::new();
        for ((kind, measure), histograms) in series {
            let of_kind = operations.entry(*kind).or_default();
            let latency = latency(&histograms[second as usize]);
            of_kind.achieved = latency.count;
            match measure {
                Measure::Latency => of_kind.latency = latency,
                Measure::Service => of_kind.service = latency,
            }
        }
        Second {
            second,
            offered,
            achieved,
            dropped: if second % 17 == 11 { offered / 20 } else { 0 },
            failed: 0,
            generator_late_us: 30,
            operations,
        }
    });
    seconds.collect()
}

fn sum_up(run: &mut Run, series: &Series) {
    let totals = &mut run.totals;
    totals.elapsed_us = run.seconds.len() as u64 * 1_000_000;
    totals.offered = run.seconds.iter().map(|second| second.offered).sum();
    totals.achieved = run.seconds.iter().map(|second| second.achieved).sum();
    totals.scheduled_us = totals.elapsed_us;
    totals.ended_in_schedule = totals.achieved;
    totals.dropped = run.seconds.iter().map(|second| second.dropped).sum();
    for ((kind, measure), histograms) in series {
        let mut all = Histogram::<u64>::new(3).expect("three digits");
        for histogram in histograms {
            all.add(histogram).expect("it grows");
        }
        let total: &mut OperationFigures = totals.operations.entry(*kind).or_default();
        total.achieved = all.len();
        match measure {
            Measure::Latency => total.latency = latency(&all),
            Measure::Service => total.service = latency(&all),
        }
    }
}

/// Returns two windows per second, from three seconds before the first second on.
fn windows(shape: Shape, random: &mut SmallRng) -> Vec<Window> {
    let noise = noise(shape.seconds * 2 + 6, random);
    let mut cap = 4_000;
    let mut windows = Vec::new();
    for (number, factor) in (1..).zip(noise) {
        let busy = |share: f64| StageWindow {
            busy_us: (500_000.0 * share * factor) as u64,
            served: 20,
            queue_wait_us: Quantiles::default(),
        };
        cap = if cap < 24_000 { cap + 2_000 } else { cap };
        let p50 = (6_000.0 * factor) as u64;
        windows.push(Window {
            number,
            ended_us: number * 500_000,
            length_us: 500_000,
            group_operations_max: cap,
            in_flight_operations_max: 100_000 + cap * 3,
            tree_parallelism: 2 + u64::from(number > 40),
            hash_parallelism: 2 + 2 * u64::from(number > 55),
            proof_parallelism: 1,
            durable_us: Quantiles {
                count: 200,
                p50,
                p95: p50 * 2,
                p99: p50 * 3,
                max: p50 * 4,
            },
            stages: [busy(0.08), busy(0.72), busy(0.61), busy(0.33), busy(0.52)],
            value_cache_bytes_max: 64 << 20,
            ..Window::default()
        });
    }
    windows
}

fn decisions() -> Vec<Decision> {
    let cap = |step: u64| Change::GroupOperationsMax {
        from: 4_000 + 2_000 * step,
        to: 6_000 + 2_000 * step,
    };
    let shards = |work, from, to| Change::Parallelism { work, from, to };
    let caps = (0..10).map(|step| (step, cap(step), Reason::RoomBelowTarget));
    let others = [
        (40, shards(Work::Tree, 2, 3), Reason::Probe),
        (55, shards(Work::Hash, 2, 4), Reason::Gain),
    ];
    let changes = caps.chain(others);
    let decisions = (1..)
        .zip(changes)
        .map(|(number, (window, change, reason))| Decision {
            number,
            at_us: (window + 1) * 500_000,
            window_us: 500_000,
            change,
            reason,
            seen: Seen {
                durable_p99_us: 17_400,
                target_p99_us: 25_000,
                samples: 200,
                operations_per_second: 120_000,
                full_per_mille: 930,
                busiest_per_mille: 720,
                ..Seen::default()
            },
        });
    decisions.collect()
}

/// Returns spans of a version every 10 ms, whose five stages take 29 ms together.
fn spans() -> Vec<Span> {
    let takes_us = [800, 8_700, 7_900, 4_200, 6_600];
    let of_version = |version: u64| {
        let mut begun_us = 50_000_000 + version * 10_000;
        let stages = Stage::ALL.into_iter().zip(takes_us);
        let spans: Vec<Span> = stages
            .map(|(stage, takes_us)| {
                let ended_us = begun_us + takes_us + version * 7_919 % 900;
                let span = Span {
                    stage,
                    version: 4_000 + version,
                    begun_us,
                    ended_us,
                    operations: 20_000 + version,
                    bytes: 100 * (20_000 + version),
                };
                begun_us = ended_us + 150;
                span
            })
            .collect();
        spans
    };
    (0..100).flat_map(of_version).collect()
}
