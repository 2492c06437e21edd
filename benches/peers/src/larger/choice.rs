//! The choice of keys to put: uniform, a hot set, or by Zipf's law.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::workload::{Choices, mixed};

/// The number of keys of the hot set.
const HOT_KEYS: u64 = 50_000;
/// The number of puts of which one is outside of the hot set.
const COLD_PART: u64 = 100;
/// The exponent of Zipf's law, as in YCSB.
const EXPONENT: f64 = 0.99;

/// A distribution of keys.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Distribution {
    /// All keys equally often.
    Uniform,
    /// 99 of 100 on 50,000 keys, the others uniform.
    Hot,
    /// Zipf's law over all keys, exponent 0.99.
    Zipf,
}

/// A generator of indices of keys.
pub(crate) struct Chooser {
    choices: Choices,
    keys: u64,
    distribution: Distribution,
    zipf: Zipf,
}

impl Chooser {
    pub(crate) fn new(distribution: Distribution, keys: u64, seed: u64) -> Self {
        Self {
            choices: Choices::new(seed),
            keys,
            distribution,
            zipf: match distribution {
                Distribution::Zipf => Zipf::new(keys),
                _ => Zipf::new(2),
            },
        }
    }

    /// Returns the index of the next key.
    pub(crate) fn next(&mut self) -> u64 {
        match self.distribution {
            Distribution::Uniform => self.choices.below(self.keys),
            Distribution::Hot if self.choices.below(COLD_PART) > 0 => {
                // Spread over the whole key space.
                let hot = self.choices.below(HOT_KEYS.min(self.keys));
                hot * (self.keys / HOT_KEYS.min(self.keys))
            }
            Distribution::Hot => self.choices.below(self.keys),
            Distribution::Zipf => {
                let unit = self.choices.below(1 << 53) as f64 / (1_u64 << 53) as f64;
                mixed(self.zipf.rank(unit)) % self.keys
            }
        }
    }
}

/// Zipf's law over ranks from 0: Gray et al., "Quickly generating billion-record synthetic databases" (1994).
struct Zipf {
    ranks: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        let zeta_of = |count: u64| {
            let terms = (1..=count).map(|rank| (rank as f64).powf(-EXPONENT));
            terms.sum::<f64>()
        };
        let (zeta, count) = (zeta_of(ranks), ranks as f64);
        Self {
            ranks: count,
            alpha: 1.0 / (1.0 - EXPONENT),
            zeta,
            eta: (1.0 - (2.0 / count).powf(1.0 - EXPONENT)) / (1.0 - zeta_of(2) / zeta),
        }
    }

    fn rank(&self, unit: f64) -> u64 {
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(EXPONENT) {
            return 1;
        }
        let rank = self.ranks * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.ranks as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1_000_000;

    fn chosen(distribution: Distribution) -> Vec<u64> {
        let mut chooser = Chooser::new(distribution, KEYS, 1);
        (0..100_000).map(|_| chooser.next()).collect()
    }

    #[test]
    fn ninety_nine_of_a_hundred_are_hot() {
        let stride = KEYS / HOT_KEYS;
        let all = chosen(Distribution::Hot);
        let hot = all.iter().filter(|index| *index % stride == 0).count();
        assert!((98_800..99_400).contains(&hot), "{hot}");
    }

    #[test]
    fn the_first_rank_has_its_part_and_all_are_keys() {
        let all = chosen(Distribution::Zipf);
        assert!(all.iter().all(|index| *index < KEYS));
        let first = all
            .iter()
            .filter(|index| **index == mixed(0) % KEYS)
            .count();
        // 1 / zeta(1,000,000; 0.99) is 0.065.
        assert!((5_500..7_500).contains(&first), "{first}");
    }
}
