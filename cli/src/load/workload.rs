//! What a workload does next: the mixes and distributions of YCSB (Cooper, Silberstein, Tam,
//! Ramakrishnan, Sears, "Benchmarking cloud serving systems with YCSB", SoCC 2010).
//!
//! Not here: keys and values as bytes.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;

use crate::arguments::{Dist, Mix};
use crate::error::CommandError;

/// YCSB's exponent for zipfian and latest.
const ZIPF_EXPONENT: f64 = 0.99;

/// One operation on the key of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read(u64),
    Update(u64),
    Insert,
    ReadModifyWrite(u64),
}

/// A stream of operations.
#[derive(Debug)]
pub(super) struct Workload {
    mix: Mix,
    dist: Dist,
    random: SmallRng,
    keys: u64,
    zipf: Zipf<f64>,
}

impl Mix {
    /// The distribution that YCSB gives the mix.
    pub(crate) fn dist(self) -> Dist {
        match self {
            Self::A | Self::B | Self::C | Self::F => Dist::Zipfian,
            Self::D => Dist::Latest,
            Self::Write => Dist::Uniform,
        }
    }

    /// Reads among 100 operations.
    fn reads(self) -> u32 {
        match self {
            Self::A | Self::F => 50,
            Self::B | Self::D => 95,
            Self::C => 100,
            Self::Write => 0,
        }
    }
}

impl Workload {
    /// Over the keys 0 to `keys` - 1.
    pub(super) fn new(mix: Mix, dist: Dist, keys: u64, seed: u64) -> Result<Self, CommandError> {
        Ok(Self {
            mix,
            dist,
            random: SmallRng::seed_from_u64(seed),
            keys,
            zipf: zipf(keys)?,
        })
    }

    /// What to do next.
    pub(super) fn next(&mut self) -> Operation {
        if self.random.random_range(0..100) < self.mix.reads() {
            return Operation::Read(self.choose());
        }
        match self.mix {
            Mix::D => Operation::Insert,
            Mix::F => Operation::ReadModifyWrite(self.choose()),
            Mix::A | Mix::B | Mix::C | Mix::Write => Operation::Update(self.choose()),
        }
    }

    /// Lets inserts up to here be chosen: they were submitted, so reads see them.
    pub(super) fn grow(&mut self, keys: u64) -> Result<(), CommandError> {
        if keys > self.keys {
            self.keys = keys;
            self.zipf = zipf(keys)?;
        }
        Ok(())
    }

    fn choose(&mut self) -> u64 {
        match self.dist {
            Dist::Uniform => self.random.random_range(0..self.keys),
            Dist::Zipfian => scatter(self.rank()) % self.keys,
            Dist::Latest => self.keys - 1 - self.rank(),
        }
    }

    /// 0 (the most frequent) to `keys` - 1.
    fn rank(&mut self) -> u64 {
        let rank = self.random.sample(self.zipf) as u64;
        rank.clamp(1, self.keys) - 1
    }
}

fn zipf(keys: u64) -> Result<Zipf<f64>, CommandError> {
    Zipf::new(keys as f64, ZIPF_EXPONENT).map_err(|_| CommandError::Distribution(keys))
}

/// FNV-1a over the bytes of a rank, as YCSB scatters them: some ranks fall on one key.
fn scatter(rank: u64) -> u64 {
    let bytes = rank.to_le_bytes();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const KEYS: u64 = 1000;
    const OPERATIONS: usize = 100_000;

    fn operations(mix: Mix, dist: Dist) -> Vec<Operation> {
        let mut workload = Workload::new(mix, dist, KEYS, 5).unwrap();
        (0..OPERATIONS).map(|_| workload.next()).collect()
    }

    fn share(operations: &[Operation], kind: impl Fn(&Operation) -> bool) -> usize {
        let count = operations
            .iter()
            .filter(|operation| kind(operation))
            .count();
        (count * 100 + OPERATIONS / 2) / OPERATIONS
    }

    /// How often each key was read, most frequent first.
    fn frequencies(dist: Dist) -> Vec<(u64, usize)> {
        let mut counts = HashMap::new();
        for operation in operations(Mix::C, dist) {
            let Operation::Read(index) = operation else {
                panic!("C reads alone");
            };
            assert!(index < KEYS);
            *counts.entry(index).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    #[test]
    fn the_mixes_are_those_of_ycsb() {
        use Operation::{Insert, Read, ReadModifyWrite, Update};
        let shares = |mix: Mix| {
            let operations = operations(mix, mix.dist());
            [
                share(&operations, |operation| matches!(operation, Read(_))),
                share(&operations, |operation| matches!(operation, Update(_))),
                share(&operations, |operation| matches!(operation, Insert)),
                share(&operations, |operation| {
                    matches!(operation, ReadModifyWrite(_))
                }),
            ]
        };
        assert_eq!(shares(Mix::A), [50, 50, 0, 0]);
        assert_eq!(shares(Mix::B), [95, 5, 0, 0]);
        assert_eq!(shares(Mix::C), [100, 0, 0, 0]);
        assert_eq!(shares(Mix::D), [95, 0, 5, 0]);
        assert_eq!(shares(Mix::F), [50, 0, 0, 50]);
        assert_eq!(shares(Mix::Write), [0, 100, 0, 0]);
    }

    #[test]
    fn uniform_chooses_each_key_alike() {
        let counts = frequencies(Dist::Uniform);
        assert_eq!(counts.len() as u64, KEYS);
        assert!(counts[0].1 < 2 * OPERATIONS / KEYS as usize);
    }

    #[test]
    fn zipfian_chooses_few_keys_often_and_scatters_them() {
        let counts = frequencies(Dist::Zipfian);
        // The first rank has 1 / Σ k^-0.99 of 1,000: 13 %.
        assert!((12..=16).contains(&(counts[0].1 * 100 / OPERATIONS)));
        let (first, second) = (counts[0].0, counts[1].0);
        assert!(first.abs_diff(second) > 1);
    }

    #[test]
    fn latest_chooses_the_last_keys_often_and_follows_inserts() {
        let counts = frequencies(Dist::Latest);
        assert_eq!((counts[0].0, counts[1].0), (KEYS - 1, KEYS - 2));
        let mut workload = Workload::new(Mix::C, Dist::Latest, 1, 5).unwrap();
        assert_eq!(workload.next(), Operation::Read(0));
        workload.grow(KEYS).unwrap();
        let reads = (0..1000).map(|_| workload.next());
        assert!(
            reads
                .filter(|read| *read == Operation::Read(KEYS - 1))
                .count()
                > 50
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_operations() {
        let all = operations(Mix::A, Dist::Zipfian);
        assert_eq!(all, operations(Mix::A, Dist::Zipfian));
    }
}
