//! Chooses the next operation, with the mixes and distributions of YCSB (Cooper, Silberstein, Tam, Ramakrishnan, Sears,
//! "Benchmarking cloud serving systems with YCSB", SoCC 2010), and a few others. Pure.
//!
//! Zipf's law is sampled by rejection (`rand_distr::Zipf`), so a growing number of keys costs a power, not a sum over
//! all keys. Hot keys stay hot while keys are inserted: ranks are scattered over the keys of the fill, and each new key
//! gets the coldest rank. (YCSB scatters over all keys that it expects.)

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::records::KEYS_MAX;
use super::run::OperationKind;

/// YCSB's exponent for the zipfian and latest distributions.
const ZIPF_EXPONENT: f64 = 0.99;

/// One operation on records, which are named by their indices.
///
/// ```
/// use trunkline_load::{Operation, OperationKind};
/// let read = Operation::new(OperationKind::Read, 7);
/// assert_eq!((read.index, read.count), (7, 1));
/// assert_eq!(Operation::multi_get(7, 20).kind, OperationKind::MultiGet);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Kind of the operation.
    pub kind: OperationKind,
    /// Index of its key, or of the first one.
    pub index: u64,
    /// Number of consecutive records: 1 in all kinds but [`OperationKind::MultiGet`].
    pub count: u32,
}

impl Operation {
    /// Returns an operation on one record.
    pub fn new(kind: OperationKind, index: u64) -> Self {
        let count = 1;
        Self { kind, index, count }
    }

    /// Returns a read of consecutive records.
    pub fn multi_get(index: u64, count: u32) -> Self {
        let kind = OperationKind::MultiGet;
        Self { kind, index, count }
    }
}

/// Named mixes of operations. Those with a letter are YCSB's.
///
/// ```
/// use trunkline_load::{Distribution, Workload};
/// let inserts = Workload::D;
/// assert_eq!((inserts.shares().insert, inserts.distribution()), (5, Distribution::Latest));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// 50 % reads, 50 % updates; zipfian.
    #[default]
    A,
    /// 95 % reads, 5 % updates; zipfian.
    B,
    /// Reads only; zipfian.
    C,
    /// 95 % reads of the latest keys, 5 % inserts; latest.
    D,
    /// 95 % reads of up to 100 consecutive records, 5 % inserts; zipfian. These are records, not keys in order,
    /// because paths are hashes.
    E,
    /// 50 % reads, 50 % read-modify-writes ([`OperationKind::ReadModifyWrite`]); zipfian.
    F,
    /// Reads only, with proofs that are checked; zipfian. Not part of YCSB.
    Verify,
    /// Updates only; uniform. Not part of YCSB.
    Write,
}

impl Workload {
    /// Returns the distribution that YCSB gives the mix.
    pub fn distribution(self) -> Distribution {
        match self {
            Self::D => Distribution::Latest,
            Self::Write => Distribution::Uniform,
            _ => Distribution::Zipfian,
        }
    }

    /// Returns the share of each kind of operation.
    pub fn shares(self) -> Shares {
        let [read, multi_get, verify, update, insert, read_modify_write] = match self {
            Self::A => [50, 0, 0, 50, 0, 0],
            Self::B => [95, 0, 0, 5, 0, 0],
            Self::C => [100, 0, 0, 0, 0, 0],
            Self::D => [95, 0, 0, 0, 5, 0],
            Self::E => [0, 95, 0, 0, 5, 0],
            Self::F => [50, 0, 0, 0, 0, 50],
            Self::Verify => [0, 0, 100, 0, 0, 0],
            Self::Write => [0, 0, 0, 100, 0, 0],
        };
        Shares {
            read,
            multi_get,
            verify,
            update,
            insert,
            delete: 0,
            read_modify_write,
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
    /// Returns the shares in the order of [`OperationKind::ALL`].
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

    /// Returns the share of a kind.
    pub(crate) fn of(self, kind: OperationKind) -> u8 {
        self.each()[kind as usize]
    }

    /// Returns the sum of all shares: 100 in a valid plan.
    pub fn sum(self) -> u32 {
        self.each().into_iter().map(u32::from).sum()
    }

    /// Returns the kind that a number below the sum selects.
    fn kind(self, mut number: u32) -> OperationKind {
        for (kind, share) in OperationKind::ALL.into_iter().zip(self.each()) {
            match number.checked_sub(share.into()) {
                None => return kind,
                Some(rest) => number = rest,
            }
        }
        OperationKind::Read
    }
}

/// The distribution by which keys are chosen.
///
/// ```
/// use trunkline_load::{Distribution, Plan};
/// let plan = Plan::from_toml("typed", "distribution = \"hotspot\"\nhot_keys_share = 0.05")?;
/// assert_eq!(plan.distribution, Some(Distribution::Hotspot));
/// # Ok::<(), trunkline_load::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Every key equally often.
    Uniform,
    /// A few keys often, scattered over the key space (exponent 0.99).
    Zipfian,
    /// The keys that were inserted last most often (exponent 0.99).
    Latest,
    /// A share of the keys gets a share of the operations. Within it keys are equally frequent.
    Hotspot,
}

/// The settings for choosing an operation, which change with the phases of a plan.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) shares: Shares,
    pub(crate) distribution: Distribution,
}

/// A stream of operations that follows from the seed alone.
#[derive(Debug)]
pub(crate) struct Operations {
    random: SmallRng,
    /// Number of keys that have an index, including inserts.
    keys: u64,
    /// Number of keys of the fill, over which ranks are scattered.
    first_keys: u64,
    /// Number of keys that may be chosen.
    chosen_keys: u64,
    /// Number of the latest inserts that may not be chosen yet, because they may be waiting for their batch.
    lag: u64,
    hot_keys_share: f64,
    hot_operations_share: f64,
    multi_get_keys_max: u32,
    zipf: Option<Zipf<f64>>,
}

impl Operations {
    /// Begins the stream of a plan. Other operations may choose an inserted key once a whole batch of inserts has
    /// followed.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut operations = Self {
            // A random stream other than those of values and arrivals.
            random: SmallRng::seed_from_u64(!plan.seed),
            keys: plan.keys,
            first_keys: plan.keys.max(1),
            chosen_keys: 0,
            lag: plan.batch as u64,
            hot_keys_share: plan.hot_keys_share.clamp(0.0, 1.0),
            hot_operations_share: plan.hot_operations_share.clamp(0.0, 1.0),
            multi_get_keys_max: plan.multi_get_keys_max.max(1),
            zipf: None,
        };
        operations.choose_from(plan.keys);
        operations
    }

    fn choose_from(&mut self, keys: u64) {
        self.chosen_keys = keys;
        // The constructor fails only without keys.
        self.zipf = Zipf::new(keys as f64, ZIPF_EXPONENT).ok();
    }

    /// Returns the next operation.
    pub(crate) fn next(&mut self, choice: &Choice) -> Operation {
        let number = self.random.random_range(0..choice.shares.sum().max(1));
        match choice.shares.kind(number) {
            OperationKind::Insert if self.keys < KEYS_MAX => self.insert(),
            OperationKind::Insert => Operation::new(OperationKind::Update, self.choose(choice)),
            OperationKind::MultiGet => self.multi_get(choice),
            kind => Operation::new(kind, self.choose(choice)),
        }
    }

    fn insert(&mut self) -> Operation {
        let index = self.keys;
        self.keys += 1;
        if self.keys - self.chosen_keys > self.lag {
            self.choose_from(self.keys - self.lag);
        }
        Operation::new(OperationKind::Insert, index)
    }

    fn multi_get(&mut self, choice: &Choice) -> Operation {
        let index = self.choose(choice);
        let count = self.random.random_range(1..=self.multi_get_keys_max);
        let left = u32::try_from(self.chosen_keys - index).unwrap_or(u32::MAX);
        Operation::multi_get(index, count.min(left))
    }

    fn choose(&mut self, choice: &Choice) -> u64 {
        let keys = self.chosen_keys.max(1);
        match choice.distribution {
            Distribution::Uniform => self.random.random_range(0..keys),
            Distribution::Zipfian => match self.rank(keys) {
                rank if rank < self.first_keys => scatter(rank) % self.first_keys,
                rank => rank,
            },
            Distribution::Latest => keys - 1 - self.rank(keys),
            Distribution::Hotspot => {
                let hot = ((keys as f64 * self.hot_keys_share) as u64).clamp(1, keys);
                match self.random.random_bool(self.hot_operations_share) || hot == keys {
                    true => self.random.random_range(0..hot),
                    false => self.random.random_range(hot..keys),
                }
            }
        }
    }

    /// Returns a rank from 0, the most frequent, to `keys` - 1.
    fn rank(&mut self, keys: u64) -> u64 {
        let rank = self.zipf.map_or(1, |zipf| self.random.sample(zipf) as u64);
        rank.clamp(1, keys) - 1
    }
}

/// Returns the FNV-1a hash of a rank's bytes, which is how YCSB scatters ranks. Some ranks fall on the same key.
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
        }
    }

    fn stream(keys: u64, lag: usize) -> Operations {
        Operations::new(&Plan {
            keys,
            batch: lag,
            seed: 5,
            hot_keys_share: 0.1,
            hot_operations_share: 0.9,
            multi_get_keys_max: 100,
            ..Plan::default()
        })
    }

    fn operations(workload: Workload, distribution: Distribution) -> Vec<Operation> {
        let mut operations = stream(KEYS, 0);
        let choice = choice(workload, distribution);
        (0..OPERATIONS).map(|_| operations.next(&choice)).collect()
    }

    /// Returns how often each key was read, most frequent first.
    fn frequencies(distribution: Distribution) -> Vec<(u64, usize)> {
        let mut counts = HashMap::new();
        for operation in operations(Workload::C, distribution) {
            assert!(operation.kind == OperationKind::Read && operation.index < KEYS);
            *counts.entry(operation.index).or_insert(0) += 1;
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
                *counts.entry(operation.kind).or_insert(0) += 1;
            }
            for (kind, share) in OperationKind::ALL.into_iter().zip(shares.each()) {
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
        // The first rank has 1 / Σ k^-0.99 of 1,000 operations: 13 %.
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
                .filter(|one| one.kind == OperationKind::MultiGet);
            for get in gets {
                *counts.entry(get.index).or_insert(0_usize) += 1;
            }
            let (index, count) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
            // The first rank of 6,000 keys has 10 %, of 1,000 keys 13 %; an even share is a thousandth or less.
            assert!(count > part.len() / 15, "{count}");
            hottest.push(index);
        }
        assert!(hottest.iter().all(|index| *index == hottest[0]));
        let reaches_new = |operation: &Operation| {
            operation.kind == OperationKind::MultiGet && operation.index >= KEYS
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
        let hot = hot.iter().filter(|operation| operation.index < KEYS / 10);
        let share = hot.count() * 100 / OPERATIONS;
        assert!((89..=91).contains(&share), "{share}");
    }

    #[test]
    fn latest_chooses_the_last_keys_often_and_follows_inserts() {
        let counts = frequencies(Distribution::Latest);
        assert_eq!((counts[0].0, counts[1].0), (KEYS - 1, KEYS - 2));
        let mut operations = stream(1, 0);
        for _ in 0..KEYS {
            operations.insert();
        }
        let latest = choice(Workload::C, Distribution::Latest);
        let reads = (0..1000).map(|_| operations.next(&latest).index);
        assert!(reads.filter(|index| *index == KEYS).count() > 50);
    }

    #[test]
    fn an_insert_that_may_not_be_submitted_yet_is_not_chosen() {
        let mut operations = stream(10, 5);
        let read = choice(Workload::C, Distribution::Latest);
        for inserted in 0..100_u64 {
            operations.insert();
            let last = 9 + (inserted + 1).saturating_sub(5);
            assert!((0..50).all(|_| operations.next(&read).index <= last));
        }
    }

    #[test]
    fn multi_gets_stay_within_the_records() {
        let operations = operations(Workload::E, Distribution::Uniform);
        let multi_gets = operations
            .iter()
            .filter(|one| one.kind == OperationKind::MultiGet);
        for get in multi_gets {
            assert!((1..=100).contains(&get.count));
            assert!(get.index + u64::from(get.count) <= KEYS + OPERATIONS as u64);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_operations() {
        let all = operations(Workload::A, Distribution::Zipfian);
        assert_eq!(all, operations(Workload::A, Distribution::Zipfian));
    }
}
