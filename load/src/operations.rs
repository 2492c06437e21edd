//! What a load does next: the mixes and distributions of YCSB (Cooper, Silberstein, Tam, Ramakrishnan, Sears,
//! "Benchmarking cloud serving systems with YCSB", SoCC 2010), and a few more.
//!
//! Zipf's law is sampled by rejection (`rand_distr::Zipf`): a growing number of keys costs a power, not a sum over
//! all keys. What is hot stays hot while keys come: ranks are scattered over the keys of the beginning, and each new
//! key has the coldest rank there is (YCSB scatters over all keys that it expects to come). Not here: when an operation is due, and keys and values as bytes.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use serde::{Deserialize, Serialize};

use super::records::KEYS_MAX;
use super::run::OperationKind;

/// YCSB's exponent for zipfian and latest.
const ZIPF_EXPONENT: f64 = 0.99;

/// One operation on records, by their indices.
///
/// ```
/// use trunkline_load::{Operation, OperationKind};
/// assert_eq!(Operation::Read { index: 7 }.kind(), OperationKind::Read);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads a key.
    Read {
        /// Its index.
        index: u64,
    },
    /// Reads the keys of consecutive records.
    MultiGet {
        /// Index of the first.
        index: u64,
        /// How many.
        count: u32,
    },
    /// Reads a key with a proof, and checks it.
    Verify {
        /// Its index.
        index: u64,
    },
    /// Puts a whole new value.
    Update {
        /// The key's index.
        index: u64,
    },
    /// Puts a new key.
    Insert {
        /// Its index.
        index: u64,
    },
    /// Removes a key.
    Delete {
        /// Its index.
        index: u64,
    },
    /// Reads a key, then puts a value provided that the key holds what earlier batches wrote to it last. If its batch
    /// writes the key already, it is a put alone: requirements are checked against the state before the batch.
    ReadModifyWrite {
        /// Its index.
        index: u64,
    },
}

impl Operation {
    /// What kind it is of.
    pub fn kind(self) -> OperationKind {
        match self {
            Self::Read { .. } => OperationKind::Read,
            Self::MultiGet { .. } => OperationKind::MultiGet,
            Self::Verify { .. } => OperationKind::Verify,
            Self::Update { .. } => OperationKind::Update,
            Self::Insert { .. } => OperationKind::Insert,
            Self::Delete { .. } => OperationKind::Delete,
            Self::ReadModifyWrite { .. } => OperationKind::ReadModifyWrite,
        }
    }

    /// Index of its key, or of the first.
    pub fn index(self) -> u64 {
        match self {
            Self::Read { index }
            | Self::MultiGet { index, .. }
            | Self::Verify { index }
            | Self::Update { index }
            | Self::Insert { index }
            | Self::Delete { index }
            | Self::ReadModifyWrite { index } => index,
        }
    }
}

/// Mixes of operations, those of YCSB and two more. An update puts a whole new value.
///
/// ```
/// use trunkline_load::{Distribution, Workload};
/// assert_eq!(Workload::D.distribution(), Distribution::Latest);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// 50 % reads, 50 % updates; zipfian.
    #[default]
    A,
    /// 95 % reads, 5 % updates; zipfian.
    B,
    /// Reads alone; zipfian.
    C,
    /// 95 % reads of the latest keys, 5 % inserts; latest.
    D,
    /// 95 % reads of up to 100 consecutive records, 5 % inserts; zipfian. Records, not keys in order: paths are
    /// hashes.
    E,
    /// 50 % reads, 50 % read-modify-writes ([`Operation::ReadModifyWrite`]); zipfian.
    F,
    /// Reads with proofs that are checked, alone (not of YCSB); zipfian.
    Verify,
    /// Updates alone (not of YCSB); uniform.
    Write,
}

impl Workload {
    /// The distribution that YCSB gives the mix.
    pub fn distribution(self) -> Distribution {
        match self {
            Self::A | Self::B | Self::C | Self::E | Self::F | Self::Verify => Distribution::Zipfian,
            Self::D => Distribution::Latest,
            Self::Write => Distribution::Uniform,
        }
    }

    /// What it is mixed of.
    pub fn shares(self) -> Shares {
        let none = Shares::default();
        match self {
            Self::A => Shares {
                read: 50,
                update: 50,
                ..none
            },
            Self::B => Shares {
                read: 95,
                update: 5,
                ..none
            },
            Self::C => Shares { read: 100, ..none },
            Self::D => Shares {
                read: 95,
                insert: 5,
                ..none
            },
            Self::E => Shares {
                multi_get: 95,
                insert: 5,
                ..none
            },
            Self::F => Shares {
                read: 50,
                read_modify_write: 50,
                ..none
            },
            Self::Verify => Shares {
                verify: 100,
                ..none
            },
            Self::Write => Shares {
                update: 100,
                ..none
            },
        }
    }
}

/// Operations of each kind among 100.
///
/// ```
/// use trunkline_load::{Shares, Workload};
/// let shares = Shares { read: 90, delete: 10, ..Shares::default() };
/// assert_eq!(shares.sum(), 100);
/// assert_eq!(Workload::A.shares().update, 50);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Reads.
    pub read: u8,
    /// Reads of consecutive records.
    pub multi_get: u8,
    /// Reads with proofs that are checked.
    pub verify: u8,
    /// Updates.
    pub update: u8,
    /// Inserts.
    pub insert: u8,
    /// Deletes.
    pub delete: u8,
    /// Read-modify-writes.
    pub read_modify_write: u8,
}

impl Shares {
    const KINDS: [OperationKind; 7] = [
        OperationKind::Read,
        OperationKind::MultiGet,
        OperationKind::Verify,
        OperationKind::Update,
        OperationKind::Insert,
        OperationKind::Delete,
        OperationKind::ReadModifyWrite,
    ];

    fn each(self) -> [u8; 7] {
        [
            self.read,
            self.multi_get,
            self.verify,
            self.update,
            self.insert,
            self.delete,
            self.read_modify_write,
        ]
    }

    /// All together: 100 in a valid plan.
    pub fn sum(self) -> u32 {
        self.each().iter().map(|share| u32::from(*share)).sum()
    }

    /// The kind that a number below the sum falls on.
    fn kind(self, mut number: u32) -> OperationKind {
        for (kind, share) in Self::KINDS.into_iter().zip(self.each()) {
            match number.checked_sub(u32::from(share)) {
                None => return kind,
                Some(rest) => number = rest,
            }
        }
        OperationKind::Read
    }
}

/// How keys are chosen.
///
/// ```
/// use trunkline_load::Distribution;
/// assert_eq!(serde_json::to_string(&Distribution::Hotspot).unwrap(), r#""hotspot""#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Each key alike.
    Uniform,
    /// Few keys often, scattered over the key space (exponent 0.99).
    Zipfian,
    /// The keys inserted last most often (exponent 0.99).
    Latest,
    /// A share of the keys gets a share of the operations, each of them alike.
    Hotspot,
}

/// What one operation is chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) shares: Shares,
    pub(crate) distribution: Distribution,
    pub(crate) hot_keys_share: f64,
    pub(crate) hot_operations_share: f64,
    pub(crate) multi_get_keys_max: u32,
}

/// A stream of operations that follows from the seed alone.
#[derive(Debug)]
pub(crate) struct Operations {
    random: SmallRng,
    /// Keys with an index, those of inserts included.
    keys: u64,
    /// Keys of the beginning, over which ranks are scattered.
    first_keys: u64,
    /// Keys that may be chosen.
    chosen_keys: u64,
    /// Inserts that are not chosen yet: whoever submits gathers them still.
    lag: u64,
    zipf: Option<Zipf<f64>>,
}

impl Operations {
    /// Over the keys 0 to `keys` - 1. An insert is chosen for other operations once `lag` more have followed.
    pub(crate) fn new(keys: u64, lag: u64, seed: u64) -> Self {
        let mut operations = Self {
            // Another stream than those of values and arrivals.
            random: SmallRng::seed_from_u64(!seed),
            keys,
            first_keys: keys.max(1),
            chosen_keys: 0,
            lag,
            zipf: None,
        };
        operations.choose_from(keys);
        operations
    }

    fn choose_from(&mut self, keys: u64) {
        self.chosen_keys = keys;
        // Refused for no key alone.
        self.zipf = Zipf::new(keys as f64, ZIPF_EXPONENT).ok();
    }

    pub(crate) fn next(&mut self, choice: &Choice) -> Operation {
        let number = self.random.random_range(0..choice.shares.sum().max(1));
        match choice.shares.kind(number) {
            OperationKind::Insert if self.keys < KEYS_MAX => self.insert(),
            OperationKind::MultiGet => self.multi_get(choice),
            OperationKind::Read => Operation::Read {
                index: self.choose(choice),
            },
            OperationKind::Verify => Operation::Verify {
                index: self.choose(choice),
            },
            OperationKind::Delete => Operation::Delete {
                index: self.choose(choice),
            },
            OperationKind::ReadModifyWrite => Operation::ReadModifyWrite {
                index: self.choose(choice),
            },
            OperationKind::Update | OperationKind::Insert => Operation::Update {
                index: self.choose(choice),
            },
        }
    }

    fn insert(&mut self) -> Operation {
        let index = self.keys;
        self.keys += 1;
        if self.keys - self.chosen_keys > self.lag {
            self.choose_from(self.keys - self.lag);
        }
        Operation::Insert { index }
    }

    fn multi_get(&mut self, choice: &Choice) -> Operation {
        let index = self.choose(choice);
        let wanted = self
            .random
            .random_range(1..=choice.multi_get_keys_max.max(1));
        let there = u32::try_from(self.chosen_keys - index).unwrap_or(u32::MAX);
        let count = wanted.min(there);
        Operation::MultiGet { index, count }
    }

    fn choose(&mut self, choice: &Choice) -> u64 {
        let keys = self.chosen_keys.max(1);
        match choice.distribution {
            Distribution::Uniform => self.random.random_range(0..keys),
            Distribution::Zipfian => self.scattered(keys),
            Distribution::Latest => keys - 1 - self.rank(keys),
            Distribution::Hotspot => self.hotspot(keys, choice),
        }
    }

    fn scattered(&mut self, keys: u64) -> u64 {
        match self.rank(keys) {
            rank if rank < self.first_keys => scatter(rank) % self.first_keys,
            rank => rank,
        }
    }

    /// 0 (the most frequent) to `keys` - 1.
    fn rank(&mut self, keys: u64) -> u64 {
        let rank = self.zipf.map_or(1, |zipf| self.random.sample(zipf) as u64);
        rank.clamp(1, keys) - 1
    }

    fn hotspot(&mut self, keys: u64, choice: &Choice) -> u64 {
        let hot = ((keys as f64 * choice.hot_keys_share) as u64).clamp(1, keys);
        let is_hot = self
            .random
            .random_bool(choice.hot_operations_share.clamp(0.0, 1.0));
        match is_hot || hot == keys {
            true => self.random.random_range(0..hot),
            false => self.random.random_range(hot..keys),
        }
    }
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

    fn choice(workload: Workload, distribution: Distribution) -> Choice {
        Choice {
            shares: workload.shares(),
            distribution,
            hot_keys_share: 0.1,
            hot_operations_share: 0.9,
            multi_get_keys_max: 100,
        }
    }

    fn operations(workload: Workload, distribution: Distribution) -> Vec<Operation> {
        let mut operations = Operations::new(KEYS, 0, 5);
        let choice = choice(workload, distribution);
        (0..OPERATIONS).map(|_| operations.next(&choice)).collect()
    }

    /// How often each key was read, most frequent first.
    fn frequencies(distribution: Distribution) -> Vec<(u64, usize)> {
        let mut counts = HashMap::new();
        for operation in operations(Workload::C, distribution) {
            assert!(operation.kind() == OperationKind::Read && operation.index() < KEYS);
            *counts.entry(operation.index()).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    #[test]
    fn the_mixes_are_those_of_ycsb() {
        use Workload::{A, B, C, D, E, F, Verify, Write};
        for workload in [A, B, C, D, E, F, Verify, Write] {
            let shares = workload.shares();
            assert_eq!(shares.sum(), 100);
            let mut counts = HashMap::new();
            for operation in operations(workload, workload.distribution()) {
                *counts.entry(operation.kind()).or_insert(0) += 1;
            }
            for (kind, share) in Shares::KINDS.into_iter().zip(shares.each()) {
                let count = counts.get(&kind).copied().unwrap_or(0);
                let seen = (count * 100 + OPERATIONS / 2) / OPERATIONS;
                assert_eq!(seen, usize::from(share), "{workload:?} {kind:?}");
            }
        }
    }

    #[test]
    fn uniform_chooses_each_key_alike() {
        let counts = frequencies(Distribution::Uniform);
        assert_eq!(counts.len() as u64, KEYS);
        assert!(counts[0].1 < 2 * OPERATIONS / KEYS as usize);
    }

    #[test]
    fn zipfian_chooses_few_keys_often_and_scatters_them() {
        let counts = frequencies(Distribution::Zipfian);
        // The first rank has 1 / Σ k^-0.99 of 1,000: 13 %.
        assert!((12..=16).contains(&(counts[0].1 * 100 / OPERATIONS)));
        assert!(counts[0].0.abs_diff(counts[1].0) > 1);
    }

    #[test]
    fn what_is_hot_stays_hot_while_keys_are_inserted() {
        let operations = operations(Workload::E, Distribution::Zipfian);
        let mut hottest = Vec::new();
        for part in operations.chunks(OPERATIONS / 10) {
            let mut counts = HashMap::new();
            let gets = part
                .iter()
                .filter(|one| one.kind() == OperationKind::MultiGet);
            for get in gets {
                *counts.entry(get.index()).or_insert(0_usize) += 1;
            }
            let (index, count) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
            // The first rank of 6,000 has 10 %, of 1,000 13 %; an even share is a thousandth or less.
            assert!(count > part.len() / 15, "{count}");
            hottest.push(index);
        }
        assert!(hottest.iter().all(|index| *index == hottest[0]));
        let reaches_new = |operation: &Operation| {
            operation.kind() == OperationKind::MultiGet && operation.index() >= KEYS
        };
        assert!(operations.iter().any(reaches_new));
    }

    #[test]
    fn ranks_follow_zipfs_law() {
        let counts = frequencies(Distribution::Latest);
        let sum: f64 = (1..=KEYS)
            .map(|rank| (rank as f64).powf(-ZIPF_EXPONENT))
            .sum();
        for rank in [1_u64, 2, 10, 100] {
            let count = counts
                .iter()
                .find(|(key, _)| *key == KEYS - rank)
                .unwrap()
                .1;
            let expected = (rank as f64).powf(-ZIPF_EXPONENT) / sum * OPERATIONS as f64;
            let error = (count as f64 - expected).abs() / expected;
            assert!(error < 0.2, "rank {rank}: {count}, expected {expected}");
        }
    }

    #[test]
    fn a_hotspot_gets_its_share() {
        let hot = operations(Workload::C, Distribution::Hotspot);
        let hot = hot.iter().filter(|operation| operation.index() < KEYS / 10);
        let share = hot.count() * 100 / OPERATIONS;
        assert!((89..=91).contains(&share), "{share}");
    }

    #[test]
    fn latest_chooses_the_last_keys_often_and_follows_inserts() {
        let counts = frequencies(Distribution::Latest);
        assert_eq!((counts[0].0, counts[1].0), (KEYS - 1, KEYS - 2));
        let mut operations = Operations::new(1, 0, 5);
        for _ in 0..KEYS {
            operations.insert();
        }
        let latest = choice(Workload::C, Distribution::Latest);
        let reads = (0..1000).map(|_| operations.next(&latest).index());
        assert!(reads.filter(|index| *index == KEYS).count() > 50);
    }

    #[test]
    fn an_insert_that_may_not_be_submitted_yet_is_not_chosen() {
        let mut operations = Operations::new(10, 5, 1);
        let read = choice(Workload::C, Distribution::Latest);
        for inserted in 0..100_u64 {
            operations.insert();
            let last = 9 + (inserted + 1).saturating_sub(5);
            assert!((0..50).all(|_| operations.next(&read).index() <= last));
        }
    }

    #[test]
    fn many_gets_stay_within_the_records() {
        for operation in operations(Workload::E, Distribution::Uniform) {
            if let Operation::MultiGet { index, count } = operation {
                assert!((1..=100).contains(&count));
                assert!(index + u64::from(count) <= KEYS + OPERATIONS as u64);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_operations() {
        let all = operations(Workload::A, Distribution::Zipfian);
        assert_eq!(all, operations(Workload::A, Distribution::Zipfian));
    }
}
