//! Decides which of several values is the best, and whether it is clearly better than the first.

use crate::sweep::{Varied, parse_all};
use crate::trial::{Figures, median, middle};

/// Smallest gain for which a value is kept.
pub(super) const GAIN_MIN: f64 = 1.05;
/// The inverse of the highest chance with which a value without any effect is kept.
pub(super) const CHANCE_TIMES_MIN: u32 = 32;
/// Trials of a value in a round: one on the way forward, one on the way back.
pub(super) const ROUND_TRIALS: usize = 2;

/// Aim of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// Highest throughput with the 99th percentile within the target. Above the target, throughput counts less and
    /// less.
    Throughput { target_us: f64 },
    /// Lowest 99th percentile at a rate that the engine can sustain.
    Latency,
}

/// A value and its trials, two of each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tried {
    pub(super) value: String,
    pub(super) trials: Vec<Figures>,
}

impl Tried {
    pub(super) fn median(&self) -> Figures {
        median(&self.trials)
    }

    /// Returns the ratio of this value to another one, by round: the geometric mean of the trials forward and back.
    /// Ignores incomplete rounds, and rounds with figures that do not measure the engine alone.
    pub(super) fn gain(&self, aim: Aim, over: &Self) -> Gain {
        let mine = self.trials.chunks_exact(ROUND_TRIALS);
        let rounds = mine.zip(over.trials.chunks_exact(ROUND_TRIALS));
        let counts = |(mine, other): &(&[Figures], &[Figures])| {
            mine.iter().chain(*other).all(Figures::are_the_engines)
        };
        let all = rounds.clone().count();
        let ratio = |(mine, other)| aim.mean_worth(mine) / aim.mean_worth(other);
        Gain::of(rounds.filter(counts).map(ratio).collect(), all)
    }
}

/// Ratios of two values over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gain {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) greatest: f64,
    /// Rounds in which the value is better.
    pub(super) better: usize,
    /// Rounds that count.
    pub(super) rounds: usize,
    /// Rounds that do not count.
    pub(super) left_out: usize,
}

impl Gain {
    fn of(mut ratios: Vec<f64>, all: usize) -> Self {
        ratios.sort_by(f64::total_cmp);
        let (Some(least), Some(greatest)) = (ratios.first(), ratios.last()) else {
            return Self {
                left_out: all,
                ..Self::default()
            };
        };
        Self {
            least: *least,
            median: middle(ratios.iter().map(|ratio| ratio.ln()).collect()).exp(),
            greatest: *greatest,
            better: ratios.iter().filter(|ratio| **ratio > 1.0).count(),
            rounds: ratios.len(),
            left_out: all - ratios.len(),
        }
    }

    /// Returns whether the gain is large enough and unlikely to be chance.
    fn is_clear(&self) -> bool {
        let needed = rounds_needed(self.rounds);
        self.median >= GAIN_MIN && needed.is_some_and(|needed| self.better >= needed)
    }
}

/// Returns the probability that a value without any effect is better in at least `better` of `rounds` rounds (sign
/// test).
pub(super) fn chance(better: usize, rounds: usize) -> f64 {
    let mut of_exactly = 0.5f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for count in (better..=rounds).rev() {
        sum += of_exactly;
        of_exactly *= count as f64 / (rounds - count + 1) as f64;
    }
    sum
}

/// Returns the number of rounds in which a value must be better for chance to be unlikely, if any number is enough.
pub(super) fn rounds_needed(rounds: usize) -> Option<usize> {
    let chance_max = 1.0 / f64::from(CHANCE_TIMES_MIN);
    (0..=rounds).find(|better| chance(*better, rounds) <= chance_max)
}

impl Aim {
    fn mean_worth(self, trials: &[Figures]) -> f64 {
        // The ratio needs a value above zero.
        let worths = trials.iter().map(|figures| self.worth(figures).max(1e-30));
        let logarithms: f64 = worths.map(f64::ln).sum();
        (logarithms / trials.len().max(1) as f64).exp()
    }

    fn worth(self, figures: &Figures) -> f64 {
        match self {
            Self::Throughput { target_us } => {
                let within = (target_us / figures.p99_us.max(1.0)).min(1.0);
                figures.achieved_per_second * within
            }
            Self::Latency => {
                let kept_up = figures.achieved_per_second / figures.offered_per_second.max(1e-9);
                let late = if figures.keeps_up() {
                    1.0
                } else {
                    kept_up.powi(4)
                };
                late / figures.p99_us.max(1.0)
            }
        }
    }
}

/// Returns the index of the value to keep: the first, unless another one is clearly better.
pub(super) fn better(aim: Aim, tried: &[Tried]) -> usize {
    let Some(first) = tried.first() else {
        return 0;
    };
    let gains = tried.iter().enumerate().skip(1);
    let gains = gains.map(|(place, tried)| (place, tried.gain(aim, first)));
    let clear = gains.filter(|(_, gain)| gain.is_clear());
    let best = clear.max_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
    best.map_or(0, |(place, _)| place)
}

/// Returns the settings that are tried by default. None of them changes what receipts promise.
pub(super) fn default() -> Vec<Varied> {
    parse_all(&[
        "group.operations_max=2000,5000,10000,20000,40000,80000",
        "group.in_flight_max=2,4,8",
        "group.linger_ms=0,1,2",
        "checkpoint.bytes_max=67108864,134217728,268435456",
        "workers.hash_parallelism=1,2",
        "cache.value_bytes_max=67108864,268435456",
    ])
}

#[cfg(test)]
mod tests {
    use trunkline_load::Warning;

    use super::*;

    /// Returns rounds with one throughput each, the same in both orders.
    fn tried(value: &str, rounds: &[f64]) -> Tried {
        let twice = rounds.iter().flat_map(|rate| [*rate, *rate]);
        Tried {
            value: value.to_owned(),
            trials: twice.map(|rate| figures(rate, 10.0)).collect(),
        }
    }

    fn figures(achieved_per_second: f64, p99_ms: f64) -> Figures {
        Figures {
            offered_per_second: achieved_per_second,
            achieved_per_second,
            p99_us: p99_ms * 1e3,
            ..Figures::default()
        }
    }

    fn at_latency(value: &str, achieved_per_second: f64, p99_ms: f64) -> Tried {
        let figures = Figures {
            offered_per_second: 100.0,
            ..figures(achieved_per_second, p99_ms)
        };
        Tried {
            value: value.to_owned(),
            trials: vec![figures; 10],
        }
    }

    const AIM: Aim = Aim::Throughput {
        target_us: 50_000.0,
    };
    const BEFORE: [f64; 5] = [100.0, 50.0, 110.0, 90.0, 70.0];

    fn times(factors: [f64; 5]) -> Vec<f64> {
        let rates = BEFORE.iter().zip(factors);
        rates.map(|(rate, factor)| rate * factor).collect()
    }

    #[test]
    fn what_is_there_stays_unless_something_is_better_in_every_one_of_five_rounds() {
        let first = tried("1", &BEFORE);
        let little = tried("2", &times([1.04; 5]));
        let lucky = tried("3", &times([1.5, 1.3, 1.2, 0.99, 1.4]));
        let clear = tried("4", &times([1.01, 1.02, 1.06, 1.2, 1.3]));
        let clearer = tried("5", &times([1.1; 5]));
        let none = [first.clone(), little, lucky];
        assert_eq!(better(AIM, &none), 0);
        assert_eq!(better(AIM, &[&none[..], &[clear]].concat()), 3);
        assert_eq!(better(AIM, &[first, clearer]), 1);
        assert_eq!(better(AIM, &[]), 0);
    }

    #[test]
    fn three_rounds_keep_nothing_however_good_it_is() {
        let (first, good) = (tried("1", &[100.0; 3]), tried("2", &[200.0; 3]));
        assert_eq!(good.gain(AIM, &first).better, 3);
        assert_eq!(better(AIM, &[first, good]), 0);
    }

    #[test]
    fn a_steady_drift_within_a_round_gives_nobody_a_gain() {
        // Each trial is a tenth faster than the one before: a b b a.
        let rate = |trial: i32| figures(100.0 * 1.1f64.powi(trial), 10.0);
        let first = Tried {
            value: "a".to_owned(),
            trials: vec![rate(0), rate(3)],
        };
        let second = Tried {
            value: "b".to_owned(),
            trials: vec![rate(1), rate(2)],
        };
        let gain = second.gain(AIM, &first);
        assert!((gain.median - 1.0).abs() < 1e-9, "{gain:?}");
    }

    #[test]
    fn a_round_in_which_the_load_generator_could_not_keep_up_does_not_count() {
        let first = tried("1", &BEFORE);
        let mut good = tried("2", &times([1.2; 5]));
        assert_eq!(better(AIM, &[first.clone(), good.clone()]), 1);
        let warn = |tried: &mut Tried, warning| tried.trials[3].warnings = vec![warning];
        let late = Warning::GeneratorLate {
            p99_us: 9e3,
            max_us: 1e4,
        };
        let dropped = Warning::Dropped {
            percent: 1.0,
            in_flight_max: 5,
            readers_busy: false,
            load_busy: false,
        };
        warn(&mut good, dropped);
        assert_eq!(better(AIM, &[first.clone(), good.clone()]), 1);
        warn(&mut good, late.clone());
        let gain = good.gain(AIM, &first);
        assert_eq!((gain.rounds, gain.left_out), (4, 1));
        assert_eq!(better(AIM, &[first.clone(), good.clone()]), 0);
        // The same, if the failure is in the other value's trial.
        let mut held_up = first;
        warn(&mut held_up, late);
        good.trials[3].warnings.clear();
        assert_eq!(better(AIM, &[held_up, good]), 0);
    }

    #[test]
    fn least_median_and_greatest_are_of_the_ratios_of_rounds() {
        let first = tried("1", &[100.0, 50.0, 200.0, 10.0]);
        let second = tried("2", &[110.0, 60.0, 100.0, 40.0]);
        let gain = second.gain(AIM, &first);
        let expected = [0.5, (1.1f64 * 1.2).sqrt(), 4.0];
        for (found, expected) in [gain.least, gain.median, gain.greatest]
            .iter()
            .zip(expected)
        {
            assert!((found - expected).abs() < 1e-9, "{gain:?}");
        }
        assert_eq!((gain.better, gain.rounds), (3, 4));
        let nothing = tried("3", &[]).gain(AIM, &first);
        assert_eq!((nothing, nothing.is_clear()), (Gain::default(), false));
    }

    #[test]
    fn chance_is_that_of_throwing_coins() {
        assert_eq!(chance(5, 5), 1.0 / 32.0);
        assert_eq!(chance(8, 9), 10.0 / 512.0);
        assert_eq!(chance(0, 9), 1.0);
        let needed: Vec<Option<usize>> = [0, 4, 5, 6, 8, 9, 12].map(rounds_needed).to_vec();
        let expected = [None, None, Some(5), Some(6), Some(8), Some(8), Some(10)];
        assert_eq!(needed, expected);
        assert!(rounds_needed(255).is_some_and(|needed| (140..150).contains(&needed)));
    }

    #[test]
    fn throughput_beyond_the_target_counts_less() {
        let first = tried("1", &[100.0; 5]);
        let mut late = tried("2", &[150.0; 5]);
        assert_eq!(better(AIM, &[first.clone(), late.clone()]), 1);
        late.trials
            .iter_mut()
            .for_each(|figures| figures.p99_us = 100e3);
        assert_eq!(better(AIM, &[first, late]), 0);
    }

    #[test]
    fn at_a_rate_the_least_latency_wins_that_keeps_up() {
        let first = at_latency("1", 100.0, 40.0);
        let quick = at_latency("2", 100.0, 20.0);
        let slow = at_latency("3", 50.0, 15.0);
        assert_eq!(better(Aim::Latency, &[first, quick, slow]), 1);
    }

    #[test]
    fn the_default_keys_exist_and_can_be_tried() {
        let varied = default();
        assert_eq!(varied.len(), 6);
        for varied in varied {
            for value in &varied.values {
                let flag = format!("{}={value}", varied.key);
                trunkline::Config::layers()
                    .set(&flag)
                    .unwrap()
                    .build()
                    .unwrap();
            }
        }
    }
}
