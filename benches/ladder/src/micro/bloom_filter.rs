//! Compares gets of absent keys with fjall's own Bloom filters, without any, and with a filter of our own in memory.
//!
//! The engine uses fjall's. It asks the store for present keys only: its tree knows which keys are absent.

use std::path::Path;
use std::time::{Duration, Instant};

use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use trunkline::core::hash::Digest;
use trunkline::core::params::TreeParams;

use super::turns::in_turns;
use super::{Scope, data};
use crate::error::LadderError;
use crate::figures::Comparison;
use crate::workload;

const TURNS: usize = 7;
const GETS: u64 = 20_000;
/// Bits per key, and number of probes: 1 % of absent keys pass.
const BITS_PER_KEY: u64 = 10;
const PROBES: u64 = 7;

pub(crate) fn fjalls_own(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let filtered = Store::fill(scope, "filtered", true)?;
    let plain = Store::fill(scope, "plain", false)?;
    let absent = absent_keys();
    let mut comparison = in_turns(
        TURNS,
        ("an absent key", GETS),
        |_| filtered.get_all(&absent),
        |_| plain.get_all(&absent),
    )?;
    comparison.remark = "the engine asks its tree, not the store, for absent keys".to_owned();
    Ok(comparison)
}

pub(crate) fn before_the_store(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let store = Store::fill(scope, "filtered", true)?;
    let filter = Filter::of(scope.keys);
    let (writer, _) = data::tree_of(scope.keys)?;
    let reader = writer.reader();
    let absent = absent_keys();
    let mut comparison = in_turns(
        TURNS,
        ("an absent key", GETS),
        |_| {
            let started_at = Instant::now();
            for key in &absent {
                if filter.may_hold(key) {
                    store.get(key)?;
                }
            }
            Ok(started_at.elapsed())
        },
        |_| store.get_all(&absent),
    )?;
    let started_at = Instant::now();
    for key in &absent {
        let found = reader.get(0, key);
        if found
            .map_err(LadderError::at("a read of the tree"))?
            .is_some()
        {
            return Err(LadderError::WrongRead { read: "absent" });
        }
    }
    let each = started_at.elapsed().as_secs_f64() * 1e9 / GETS as f64;
    comparison.remark = format!("the engine's tree says so in {each:.0} ns");
    Ok(comparison)
}

fn key_hash(index: u64) -> Digest {
    TreeParams::default().key_hash(&workload::key(index))
}

fn absent_keys() -> Vec<Digest> {
    let params = TreeParams::default();
    let hash_of = |index| params.key_hash(&workload::absent_key(index));
    (0..GETS).map(hash_of).collect()
}

struct Store {
    state: Keyspace,
    _database: Database,
}

impl Store {
    fn fill(scope: &Scope<'_>, name: &str, has_filters: bool) -> Result<Self, LadderError> {
        let directory: &Path = &scope.directory.join(name);
        let database = Database::builder(directory)
            .open()
            .map_err(LadderError::at("open fjall"))?;
        let options = || match has_filters {
            true => KeyspaceCreateOptions::default(),
            false => KeyspaceCreateOptions::default().filter_policy(FilterPolicy::disabled()),
        };
        let state = database
            .keyspace("state", options)
            .map_err(LadderError::at("open fjall"))?;
        let mut entries: Vec<(Digest, u64)> = (0..scope.keys).map(|i| (key_hash(i), i)).collect();
        entries.sort_unstable();
        let mut ingestion = state
            .start_ingestion()
            .map_err(LadderError::at("fill fjall"))?;
        for (key, index) in entries {
            ingestion
                .write(key, workload::value(index))
                .map_err(LadderError::at("fill fjall"))?;
        }
        ingestion.finish().map_err(LadderError::at("fill fjall"))?;
        Ok(Self {
            state,
            _database: database,
        })
    }

    fn get(&self, key: &Digest) -> Result<(), LadderError> {
        let found = self.state.get(key).map_err(LadderError::at("get"))?;
        match found {
            None => Ok(()),
            Some(_) => Err(LadderError::WrongRead { read: "absent" }),
        }
    }

    fn get_all(&self, keys: &[Digest]) -> Result<Duration, LadderError> {
        let started_at = Instant::now();
        for key in keys {
            self.get(key)?;
        }
        Ok(started_at.elapsed())
    }
}

/// A Bloom filter (Bloom, CACM 1970) over hashes; two of their words give all probes (Kirsch,
/// Mitzenmacher, ESA 2006).
struct Filter {
    words: Vec<u64>,
    bits: u64,
}

impl Filter {
    fn of(keys: u64) -> Self {
        let bits = keys * BITS_PER_KEY;
        let mut filter = Self {
            words: vec![0; bits.div_ceil(64) as usize],
            bits,
        };
        for index in 0..keys {
            for bit in filter.probes(&key_hash(index)) {
                filter.words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        filter
    }

    fn probes(&self, key: &Digest) -> impl Iterator<Item = u64> + use<> {
        let word = |at: usize| {
            let bytes = key[at..].first_chunk().copied();
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let (first, step, bits) = (word(8), word(16) | 1, self.bits);
        (0..PROBES).map(move |probe| {
            let wide = u128::from(first.wrapping_add(probe.wrapping_mul(step))) * u128::from(bits);
            (wide >> 64) as u64
        })
    }

    fn may_hold(&self, key: &Digest) -> bool {
        self.probes(key)
            .all(|bit| self.words[(bit / 64) as usize] >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_passes_every_key_it_holds_and_few_others() {
        let filter = Filter::of(10_000);
        assert!((0..10_000).all(|index| filter.may_hold(&key_hash(index))));
        let passed = absent_keys()
            .iter()
            .filter(|key| filter.may_hold(key))
            .count();
        assert!(passed < 20_000 / 50, "{passed} of 20000");
    }
}
