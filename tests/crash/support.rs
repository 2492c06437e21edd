//! Submissions that follow from a seed, and a model of their state.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::core::hash::Digest;
use trunkline::core::history::{HISTORY, MountainRange};
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;
use trunkline::{Batch, IdempotencyKey, Requirement, Snapshot};

use trunkline_testkit::naive::NaiveState;

/// The nonce of the trees whose ids the tests compute.
pub(crate) const NONCE: [u8; 16] = *b"a tree of a test";

pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The properties of submissions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) keys: u64,
    pub(crate) writes_max: u64,
    pub(crate) value_bytes_max: usize,
    /// True if some submissions have requirements, so that some are refused.
    pub(crate) requirements: bool,
}

/// A caller's batch, as the model knows it.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    required_absent: Option<Vec<u8>>,
    metadata: Vec<u8>,
    key: IdempotencyKey,
}

impl Shape {
    pub(crate) fn key(&self, number: u64) -> Vec<u8> {
        format!("key {number}").into_bytes()
    }

    /// Returns the submission with a sequence number. Every value contains the round, so that values lost in a crash
    /// are not repeated later.
    pub(crate) fn submission(&self, round: u64, sequence: u64) -> Submission {
        let seed = [self.seed, round, sequence]
            .iter()
            .fold(0, |seed: u64, part| {
                (seed ^ part)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            });
        let mut random = SmallRng::seed_from_u64(seed);
        let writes = (0..random.random_range(1..=self.writes_max))
            .map(|index| {
                let key = self.key(random.random_range(0..self.keys));
                if random.random_ratio(1, 4) {
                    return (key, None);
                }
                let mut value = format!("{round}/{sequence}/{index} ").into_bytes();
                value.resize(random.random_range(0..=self.value_bytes_max), b'.');
                (key, Some(value))
            })
            .collect();
        let requires = self.requirements && random.random_ratio(1, 5);
        let required_absent = requires.then(|| self.key(random.random_range(0..self.keys)));
        let metadata = match random.random_ratio(1, 10) {
            true => sequence.to_le_bytes().to_vec(),
            false => Vec::new(),
        };
        let key = match random.random_ratio(1, 3) {
            true => format!("{round}/{sequence}"),
            false => String::new(),
        };
        Submission {
            writes,
            required_absent,
            metadata,
            key: IdempotencyKey::new(key.as_bytes()).unwrap(),
        }
    }
}

impl Submission {
    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in &self.writes {
            match value {
                Some(value) => batch.put(key.clone(), value.clone()),
                None => batch.delete(key.clone()),
            };
        }
        if let Some(key) = &self.required_absent {
            batch.require(key.clone(), Requirement::Absent);
        }
        batch.metadata(self.metadata.clone());
        batch.idempotency_key(self.key.clone());
        batch
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Applies the submission to a state. Returns false if it is refused.
    pub(crate) fn apply(&self, map: &mut Map) -> bool {
        if self
            .required_absent
            .as_ref()
            .is_some_and(|key| map.contains_key(key))
        {
            return false;
        }
        for (key, value) in &self.writes {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        true
    }
}

/// Returns the state after the first submissions.
pub(crate) fn state_after(submissions: &[Submission], sequence: u64) -> Map {
    let mut map = Map::new();
    for submission in &submissions[..sequence as usize] {
        submission.apply(&mut map);
    }
    map
}

/// Returns the history digest of a version whose predecessors have these commit ids, genesis first.
pub(crate) fn history_digest<'a>(commit_ids: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut history = MountainRange::default();
    for commit_id in commit_ids {
        history.append(&HISTORY, commit_id);
    }
    history.digest(&HISTORY)
}

/// Returns the parameters of a tree that is created with [`NONCE`].
pub(crate) fn params() -> TreeParams {
    TreeParams {
        nonce: NONCE,
        ..TreeParams::default()
    }
}

pub(crate) fn genesis_id() -> Digest {
    CommitRecord::genesis(params().tree_id()).commit_id()
}

/// Checks that a snapshot shows exactly this state: by a walk, by reads, by its key count and by its digest.
pub(crate) fn check_state(snapshot: &Snapshot, expected: &Map, shape: &Shape) {
    let version = snapshot.version();
    let mut found = Map::new();
    for entry in snapshot.iter() {
        let (key, value) = entry.expect("a snapshot can be walked");
        let before = found.insert(key.to_vec(), value.to_vec());
        assert_eq!(before, None, "version {version} shows a key twice");
    }
    assert_eq!(&found, expected, "version {version} is another state");
    assert_eq!(snapshot.key_count(), expected.len() as u64);
    for number in 0..shape.keys {
        let key = shape.key(number);
        let value = snapshot.get(&key).expect("a snapshot can be read");
        assert_eq!(value.as_deref(), expected.get(&key).map(Vec::as_slice));
    }
    let naive = NaiveState::of(params(), expected.clone());
    assert_eq!(snapshot.record().state_digest, naive.state_digest());
}
