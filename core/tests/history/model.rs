//! Mountain ranges by definition, and histories and versions built from them.
//!
//! Written from the text of the specification. It has its own hashing; from the crate it uses only the types of the
//! proofs, which it builds, and the encodings of records and outcomes.

use trunkline_core::evidence::Evidence;
use trunkline_core::history::{AncestorProof, ConsistencyProof, Inclusion};
use trunkline_core::outcome::{IdempotencyKey, Outcome, Refusal, SubmissionOutcome};
use trunkline_core::record::CommitRecord;

pub(crate) type Hash = [u8; 32];

/// The names of the three domains of a range.
#[derive(Clone, Copy)]
pub(crate) struct Names(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

pub(crate) const HISTORY: Names = Names("history leaf", "history node", "history root");
pub(crate) const OUTCOMES: Names = Names("outcome leaf", "outcome node", "outcomes root");

pub(crate) fn keyed(name: &str, body: &[u8]) -> Hash {
    let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    *blake3::keyed_hash(&key, body).as_bytes()
}

/// Returns the digest over items, whose number is a power of two.
pub(crate) fn perfect<T: AsRef<[u8]>>(names: Names, items: &[T]) -> Hash {
    match items {
        [item] => keyed(names.0, item.as_ref()),
        _ => {
            let (left, right) = items.split_at(items.len() / 2);
            let halves = [perfect(names, left), perfect(names, right)];
            keyed(names.1, halves.as_flattened())
        }
    }
}

/// Returns the first index of each mountain and its number of items, the largest first.
fn mountains(mut count: usize) -> Vec<(usize, usize)> {
    let (mut first, mut found) = (0, Vec::new());
    while count > 0 {
        let items = 1 << count.ilog2();
        found.push((first, items));
        first += items;
        count -= items;
    }
    found
}

pub(crate) fn peaks<T: AsRef<[u8]>>(names: Names, items: &[T]) -> Vec<Hash> {
    let mountains = mountains(items.len()).into_iter();
    mountains
        .map(|(first, count)| perfect(names, &items[first..first + count]))
        .collect()
}

pub(crate) fn digest<T: AsRef<[u8]>>(names: Names, items: &[T]) -> Hash {
    let count = (items.len() as u64).to_le_bytes();
    let peaks = peaks(names, items);
    keyed(names.2, &[&count[..], peaks.as_flattened()].concat())
}

/// Returns the proof that an item is in a range.
pub(crate) fn inclusion<T: AsRef<[u8]>>(names: Names, items: &[T], index: usize) -> Inclusion {
    let mountains = mountains(items.len());
    let own = mountains
        .iter()
        .position(|(first, count)| (*first..first + count).contains(&index))
        .unwrap();
    let (first, count) = mountains[own];
    let mut below = &items[first..first + count];
    let (mut place, mut siblings) = (index - first, Vec::new());
    while below.len() > 1 {
        let (left, right) = below.split_at(below.len() / 2);
        let (way, aside) = match place < left.len() {
            true => (left, right),
            false => (right, left),
        };
        place %= left.len();
        siblings.push(perfect(names, aside));
        below = way;
    }
    siblings.reverse();
    let mut peaks = peaks(names, items);
    peaks.remove(own);
    Inclusion { siblings, peaks }
}

/// Returns the subtrees that extend the first few items to all of them.
pub(crate) fn extension<T: AsRef<[u8]>>(names: Names, items: &[T], mut from: usize) -> Vec<Hash> {
    let mut nodes = Vec::new();
    while from < items.len() {
        let mut count = 1;
        while from.is_multiple_of(2 * count) && from + 2 * count <= items.len() {
            count *= 2;
        }
        nodes.push(perfect(names, &items[from..from + count]));
        from += count;
    }
    nodes
}

/// Versions 0 to `length`, each with the history of those before it.
pub(crate) struct Chain {
    pub(crate) records: Vec<CommitRecord>,
    pub(crate) ids: Vec<Hash>,
}

/// The tree of the examples in the specification.
pub(crate) const TREE: Hash = [
    0xf2, 0xff, 0x48, 0xba, 0x42, 0xc6, 0xfd, 0x5a, 0xa2, 0x86, 0x41, 0xf6, 0x15, 0xad, 0xa3, 0x8f,
    0x02, 0x55, 0xa2, 0x23, 0x45, 0xe7, 0x20, 0xe6, 0x77, 0x86, 0x0c, 0xf5, 0x88, 0x00, 0x93, 0xb6,
];

impl Chain {
    pub(crate) fn new(length: usize) -> Self {
        Self::changed_from(length, length + 1)
    }

    /// Returns a chain that is the same up to a version, and differs from there on.
    pub(crate) fn changed_from(length: usize, changed: usize) -> Self {
        let (mut records, mut ids): (Vec<CommitRecord>, Vec<Hash>) = Default::default();
        for version in 0..=length {
            let record = CommitRecord {
                version: version as u64,
                parent: ids.last().copied().unwrap_or_default(),
                state_digest: [u8::from(version >= changed); 32],
                history_digest: digest(HISTORY, &ids),
                ..CommitRecord::genesis(TREE)
            };
            ids.push(keyed("commit id", &record.encode()));
            records.push(record);
        }
        Self { records, ids }
    }

    pub(crate) fn ancestor(&self, head: usize, version: usize) -> AncestorProof {
        AncestorProof {
            head: self.records[head].clone(),
            version: version as u64,
            commit_id: self.ids[version],
            inclusion: inclusion(HISTORY, &self.ids[..head], version),
        }
    }

    pub(crate) fn consistency(&self, older: usize, head: usize) -> ConsistencyProof {
        ConsistencyProof {
            older: Some(self.records[older].clone()),
            head: self.records[head].clone(),
            peaks: peaks(HISTORY, &self.ids[..older]),
            nodes: extension(HISTORY, &self.ids[..head], older + 1),
        }
    }
}

/// A version with some submissions, and the provisional roots between them.
pub(crate) struct Version {
    pub(crate) record: CommitRecord,
    pub(crate) id: Hash,
    pub(crate) outcomes: Vec<SubmissionOutcome>,
    pub(crate) provisional_roots: Vec<Hash>,
}

/// The sequence number of a version's first submission.
pub(crate) const FIRST: u64 = 100;

impl Version {
    pub(crate) fn new(submissions: usize) -> Self {
        Self::starting_at(FIRST, submissions)
    }

    pub(crate) fn starting_at(first: u64, submissions: usize) -> Self {
        let outcome = |index| outcome(first, index);
        let outcomes: Vec<SubmissionOutcome> = (0..submissions).map(outcome).collect();
        let mut provisional_roots = vec![[0x22; 32]];
        for outcome in &outcomes {
            let before = provisional_roots[provisional_roots.len() - 1];
            let pair = [before, outcome.submission];
            provisional_roots.push(keyed("provisional root", pair.as_flattened()));
        }
        let encoded: Vec<_> = outcomes.iter().map(SubmissionOutcome::encode).collect();
        let record = CommitRecord {
            version: 7,
            first_sequence: first,
            last_sequence: first + (submissions as u64 - 1),
            provisional_root: provisional_roots[submissions],
            outcomes_digest: digest(OUTCOMES, &encoded),
            ..CommitRecord::genesis(TREE)
        };
        Self {
            id: keyed("commit id", &record.encode()),
            record,
            outcomes,
            provisional_roots,
        }
    }

    pub(crate) fn encoded(&self) -> Vec<Vec<u8>> {
        let outcomes = self.outcomes.iter();
        outcomes.map(SubmissionOutcome::encode).collect()
    }

    /// Returns the provisional root that the caller of a submission received.
    pub(crate) fn promised(&self, index: usize) -> Hash {
        self.provisional_roots[index + 1]
    }

    pub(crate) fn evidence(&self, index: usize) -> Evidence {
        let later = self.outcomes[index + 1..].iter();
        Evidence {
            record: self.record.clone(),
            outcome: self.outcomes[index].clone(),
            inclusion: inclusion(OUTCOMES, &self.encoded(), index),
            provisional_before: self.provisional_roots[index],
            later: later.map(|outcome| outcome.submission).collect(),
        }
    }
}

fn outcome(first: u64, index: usize) -> SubmissionOutcome {
    let key_hash = [index as u8; 32];
    let outcome = match index % 6 {
        0 => Outcome::Applied { displaced: 0 },
        1 => Outcome::Refused(Refusal::RequirementFailed { key_hash }),
        2 => Outcome::Applied { displaced: 2 },
        3 => Outcome::Refused(Refusal::BucketFull { key_hash }),
        4 => Outcome::Refused(Refusal::PathTaken { key_hash }),
        _ => Outcome::Reverted {
            commit_id: key_hash,
        },
    };
    let idempotency_key = vec![0x6b; [0, 64, 1][index % 3]];
    SubmissionOutcome {
        sequence: first + index as u64,
        submission: [0x80 | index as u8; 32],
        outcome,
        idempotency_key: IdempotencyKey::new(&idempotency_key).expect("64 bytes are allowed"),
    }
}
