//! The last durable submissions that had an idempotency key, by the hash of the key.
//!
//! The submissions remembered at a version follow from the versions up to it and from the bound alone, so that replicas
//! and reopened directories remember the same ones. Not here: submissions in flight (`idempotency`).

use std::collections::{HashMap, VecDeque};

use trunkline_core::hash::Digest;
use trunkline_core::store::idempotency_file::{KeyedSubmission, Remembered};

/// The submissions that are remembered at one version.
#[derive(Debug)]
pub struct RememberedKeys {
    keys_max: usize,
    version: u64,
    /// The sequence number of the submission with a key.
    sequences: HashMap<Digest, u64>,
    /// The submissions, in ascending order of their sequence numbers.
    submissions: VecDeque<KeyedSubmission>,
}

impl RememberedKeys {
    /// Remembers the last `keys_max` submissions of a file.
    pub fn new(keys_max: usize, remembered: Remembered) -> Self {
        let mut keys = Self {
            keys_max,
            version: 0,
            sequences: HashMap::new(),
            submissions: VecDeque::new(),
        };
        keys.advance(remembered.version, remembered.submissions);
        keys
    }

    /// Adds the submissions of the next version, in order, and forgets the oldest ones beyond the bound. Ignores
    /// versions that it already has.
    pub fn advance(&mut self, version: u64, submissions: Vec<KeyedSubmission>) {
        if version <= self.version {
            return;
        }
        self.version = version;
        for submission in submissions {
            let (key_hash, sequence) = (submission.key_hash, submission.sequence);
            // Another bound may have been in force when the key was used again.
            if let Some(earlier) = self.sequences.insert(key_hash, sequence) {
                self.place(earlier)
                    .map(|place| self.submissions.remove(place));
            }
            self.submissions.push_back(submission);
            if self.submissions.len() > self.keys_max {
                let oldest = self.submissions.pop_front();
                oldest.map(|oldest| self.sequences.remove(&oldest.key_hash));
            }
        }
    }

    /// Returns the submission with a key, if it is remembered.
    pub fn get(&self, key_hash: &Digest) -> Option<&KeyedSubmission> {
        let sequence = self.sequences.get(key_hash)?;
        self.submissions.get(self.place(*sequence)?)
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        let of = |submission: &KeyedSubmission| submission.sequence;
        self.submissions.binary_search_by_key(&sequence, of).ok()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.submissions.len()
    }

    /// Returns whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.submissions.is_empty()
    }

    /// Returns the last version whose submissions were added.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns a copy of everything, for a file.
    pub fn remembered(&self) -> Remembered {
        Remembered {
            version: self.version,
            submissions: self.submissions.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trunkline_core::outcome::Outcome;
    use trunkline_core::store::idempotency_file::are_in_order;

    use super::*;

    fn submission(key: u8, sequence: u64, version: u64) -> KeyedSubmission {
        KeyedSubmission {
            key_hash: [key; 32],
            sequence,
            submission: [sequence as u8; 32],
            outcome: Outcome::Applied { displaced: 0 },
            provisional_root: [0; 32],
            version,
            state_digest: [0; 32],
        }
    }

    /// Returns the submissions that should be remembered: the last one of each key, and the last few of these.
    fn model(keys_max: usize, all: &[KeyedSubmission]) -> Vec<KeyedSubmission> {
        let mut kept: Vec<KeyedSubmission> = Vec::new();
        for next in all {
            kept.retain(|earlier| earlier.key_hash != next.key_hash);
            kept.push(*next);
            if kept.len() > keys_max {
                kept.remove(0);
            }
        }
        kept
    }

    proptest! {
        #[test]
        fn the_last_keys_are_remembered_and_a_copy_continues_alike(
            keys_max in 1_usize..6,
            versions in prop::collection::vec(prop::collection::vec(0_u8..9, 0..4), 0..12),
            copied_at in 0_usize..12,
        ) {
            let mut keys = RememberedKeys::new(keys_max, Remembered::default());
            let (mut all, mut sequence, mut copy) = (Vec::new(), 0, None);
            for (version, used) in (1..).zip(&versions) {
                let submissions = used.iter().map(|key| {
                    sequence += 1;
                    submission(*key, sequence, version)
                });
                let submissions: Vec<_> = submissions.collect();
                all.extend_from_slice(&submissions);
                if let Some(copy) = &mut copy {
                    RememberedKeys::advance(copy, version, submissions.clone());
                }
                keys.advance(version, submissions);
                if version as usize == copied_at {
                    copy = Some(RememberedKeys::new(keys_max, keys.remembered()));
                }
                let expected = model(keys_max, &all);
                let remembered = keys.remembered();
                prop_assert_eq!(&remembered.submissions, &expected);
                prop_assert!(are_in_order(&expected, remembered.version));
                for key in 0..9 {
                    let found = expected.iter().find(|kept| kept.key_hash == [key; 32]);
                    prop_assert_eq!(keys.get(&[key; 32]), found);
                }
            }
            if let Some(copy) = copy {
                prop_assert_eq!(copy.remembered(), keys.remembered());
            }
        }
    }

    #[test]
    fn a_version_that_was_taken_changes_nothing() {
        let mut keys = RememberedKeys::new(2, Remembered::default());
        keys.advance(4, vec![submission(1, 1, 4)]);
        keys.advance(4, vec![submission(2, 2, 4)]);
        keys.advance(3, vec![submission(3, 3, 3)]);
        assert_eq!((keys.len(), keys.version()), (1, 4));
    }
}
