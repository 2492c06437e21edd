//! Which of some values is the best, and whether it is worth having.

use crate::sweep::{Varied, parse_varied};
use crate::trial::{Figures, median, middle};

/// A gain that is worth a setting of its own.
const GAIN_MIN: f64 = 1.05;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// The most throughput whose 99th percentile is within the target; above it, throughput counts less and less.
    Throughput { target_us: f64 },
    /// The least 99th percentile at a rate, provided that it is kept up with.
    Latency,
}

/// A value and the rounds of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tried {
    pub(super) value: String,
    pub(super) rounds: Vec<Figures>,
}

impl Tried {
    pub(super) fn median(&self) -> Figures {
        median(&self.rounds)
    }

    /// How many times as good as another one it is: the middle of the rounds, and in how many it is better.
    pub(super) fn gain(&self, aim: Aim, over: &Self) -> (f64, usize) {
        let pairs = self.rounds.iter().zip(&over.rounds);
        let ratios: Vec<f64> = pairs
            .map(|(mine, other)| aim.worth(mine) / aim.worth(other).max(f64::MIN_POSITIVE))
            .collect();
        let wins = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        (middle(ratios), wins)
    }
}

impl Aim {
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

/// The place of what is to be kept: the first, unless another one is clearly better.
pub(super) fn better(aim: Aim, tried: &[Tried]) -> usize {
    let Some(first) = tried.first() else {
        return 0;
    };
    let gains = tried.iter().enumerate().skip(1);
    let gains = gains.map(|(place, tried)| (place, tried.gain(aim, first)));
    let clear =
        gains.filter(|(_, (gain, wins))| *gain >= GAIN_MIN && wins * 2 > first.rounds.len());
    let best = clear.max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
    best.map_or(0, |(place, _)| place)
}

/// The keys that matter most, and none that changes what is promised.
pub(super) fn default() -> Vec<Varied> {
    const VARIED: [&str; 6] = [
        "group.operations_max=2000,5000,10000,20000,40000,80000",
        "group.in_flight_max=2,4,8",
        "group.linger_ms=0,1,2",
        "checkpoint.bytes_max=67108864,134217728,268435456",
        "workers.hash_pieces=1,2",
        "cache.value_bytes_max=67108864,268435456",
    ];
    let varied = VARIED.iter().filter_map(|text| parse_varied(text).ok());
    varied.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(value: &str, rounds: &[(f64, f64)]) -> Tried {
        let rounds = rounds.iter().map(|(achieved_per_second, p99_ms)| Figures {
            offered_per_second: *achieved_per_second,
            achieved_per_second: *achieved_per_second,
            p50_us: 1.0,
            p99_us: p99_ms * 1e3,
        });
        Tried {
            value: value.to_owned(),
            rounds: rounds.collect(),
        }
    }

    const AIM: Aim = Aim::Throughput {
        target_us: 50_000.0,
    };

    #[test]
    fn what_is_there_stays_unless_something_is_clearly_better() {
        let first = tried("1", &[(100.0, 10.0), (90.0, 10.0), (110.0, 10.0)]);
        let little = tried("2", &[(103.0, 10.0), (93.0, 10.0), (113.0, 10.0)]);
        let lucky = tried("3", &[(180.0, 10.0), (80.0, 10.0), (100.0, 10.0)]);
        let clear = tried("4", &[(120.0, 10.0), (108.0, 10.0), (132.0, 10.0)]);
        assert_eq!(
            better(AIM, &[first.clone(), little.clone(), lucky.clone()]),
            0
        );
        assert_eq!(better(AIM, &[first, little, lucky, clear]), 3);
        assert_eq!(better(AIM, &[]), 0);
    }

    #[test]
    fn throughput_beyond_the_target_counts_less() {
        let first = tried("1", &[(100.0, 40.0); 3]);
        let late = tried("2", &[(150.0, 100.0); 3]);
        assert_eq!(better(AIM, &[first, late]), 0);
    }

    #[test]
    fn at_a_rate_the_least_latency_wins_that_keeps_up() {
        let first = tried("1", &[(100.0, 40.0); 3]);
        let quick = tried("2", &[(100.0, 20.0); 3]);
        let mut slow = tried("3", &[(50.0, 15.0); 3]);
        slow.rounds
            .iter_mut()
            .for_each(|figures| figures.offered_per_second = 100.0);
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
