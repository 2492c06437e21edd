//! The truth: a naive model of everything that callers were told, and of the states that the engine must therefore
//! show.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use trunkline::core::batch::{provisional_root, provisional_start, revert_digest};
use trunkline::core::hash::Digest;
use trunkline::core::history::{HISTORY, MountainRange};
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;
use trunkline::{
    Batch, Durability, Durable, Hashed, IdempotencyKey, Outcome, Refusal, Requirement, Snapshot,
};
use trunkline_testkit::naive::{self, NaiveState, Op, Require};

use crate::ensure;

/// A caller's batch in the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Submission {
    pub(crate) operations: Vec<Op>,
    pub(crate) requirements: Vec<Require>,
    pub(crate) metadata: Vec<u8>,
    /// The idempotency key; empty if there is none.
    pub(crate) key: Vec<u8>,
}

impl Submission {
    /// Returns whether the batch is empty, so that no engine accepts it.
    pub(crate) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.requirements.is_empty() && self.metadata.is_empty()
    }

    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for operation in &self.operations {
            match operation {
                Op::Put(key, value) => batch.put(key, value),
                Op::Delete(key) => batch.delete(key),
            };
        }
        for requirement in &self.requirements {
            match requirement {
                Require::Absent(key) => batch.require(key, Requirement::Absent),
                Require::ValueHash(key, hash) => batch.require(key, Requirement::ValueHash(*hash)),
                Require::Present(_) => unreachable!("batches cannot require that"),
            };
        }
        batch.metadata(self.metadata.clone());
        let key = IdempotencyKey::new(&self.key);
        batch.idempotency_key(key.expect("keys are short"));
        batch
    }
}

/// All facts about one submission.
struct Entry {
    submission: Submission,
    provisional_root: Digest,
    outcome: Expected,
    /// The state after it.
    state: Rc<NaiveState>,
    state_digest: Option<Digest>,
    version: Option<u64>,
}

/// The expected result of a submission.
#[derive(Debug)]
enum Expected {
    /// The outcome of the batch in the model.
    Batch(naive::Outcome),
    /// The state of the version with this commit id.
    Reverted(Digest),
}

/// The known facts about a version.
#[derive(Default)]
struct Known {
    commit_id: Option<Digest>,
    state_digest: Option<Digest>,
    last_sequence: Option<u64>,
}

/// The time of a read of the latest state, in numbers of accepted submissions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct During {
    /// The number when the read began.
    pub(crate) asked: u64,
    /// The number when the read ended.
    pub(crate) answered: u64,
    /// A submission whose outcome was known before the read, if batches may be refused.
    pub(crate) applied: Option<u64>,
}

/// The facts that must hold.
pub(crate) struct Truth {
    params: TreeParams,
    is_created: bool,
    start: Rc<NaiveState>,
    /// The submissions from sequence number 1 on.
    entries: Vec<Entry>,
    versions: BTreeMap<u64, Known>,
    /// The root from which the next provisional root is chained.
    provisional: Digest,
    /// The last submission that is acknowledged as durable, in any mode.
    acknowledged: u64,
    /// The last submission that a loss of power must not lose.
    synced: u64,
    /// The times at which submissions were found acknowledged, in ascending order of both.
    acknowledged_at: Vec<(Duration, u64)>,
}

impl Truth {
    pub(crate) fn new(params: TreeParams) -> Self {
        let genesis = CommitRecord::genesis(params.tree_id()).commit_id();
        let known = Known {
            commit_id: Some(genesis),
            last_sequence: Some(0),
            ..Known::default()
        };
        Self {
            params,
            is_created: false,
            start: Rc::new(NaiveState::new(params)),
            entries: Vec::new(),
            versions: BTreeMap::from([(0, known)]),
            provisional: [0; 32],
            acknowledged: 0,
            synced: 0,
            acknowledged_at: Vec::new(),
        }
    }

    /// Records the parameters of the tree. Once an engine was open, they stay the same.
    pub(crate) fn is_tree(&mut self, params: TreeParams) {
        if !self.is_created {
            *self = Self::new(params);
            self.is_created = true;
        }
        ensure!(params == self.params, "the tree became another one");
    }

    /// Returns the sequence number of the last accepted submission.
    pub(crate) fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Returns the state after a submission.
    pub(crate) fn state(&self, sequence: u64) -> &NaiveState {
        match sequence.checked_sub(1) {
            None => &self.start,
            Some(index) => &self.entries[index as usize].state,
        }
    }

    pub(crate) fn provisional_root(&self, sequence: u64) -> Digest {
        self.entries[sequence as usize - 1].provisional_root
    }

    /// Returns the last submission with some key: the key of the submission that this many with keys follow, or else of the
    /// first one.
    pub(crate) fn keyed(&self, before_last: usize) -> Option<(u64, Submission)> {
        let entries = self.entries.iter();
        let mut keyed = entries.filter(|entry| !entry.submission.key.is_empty());
        let entry = keyed.clone().rev().nth(before_last);
        let entry = entry.or_else(|| keyed.next())?;
        let key = &entry.submission.key;
        let last = keyed_last(&self.entries, key)?;
        Some((last, self.entries[last as usize - 1].submission.clone()))
    }

    /// Returns the number of other keys that were used after a submission, up to another one.
    pub(crate) fn keys_after(&self, sequence: u64, until: u64) -> usize {
        let range = sequence as usize..(until.max(sequence) as usize).min(self.entries.len());
        let keys = self.entries[range]
            .iter()
            .map(|entry| &entry.submission.key);
        keys.filter(|key| !key.is_empty())
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Returns the commit id of a version, if it is known.
    pub(crate) fn commit_id(&self, version: u64) -> Option<Digest> {
        self.versions.get(&version)?.commit_id
    }

    fn state_digest(&mut self, sequence: u64) -> Digest {
        let Some(index) = sequence.checked_sub(1) else {
            return self.start.state_digest();
        };
        let entry = &mut self.entries[index as usize];
        *entry
            .state_digest
            .get_or_insert_with(|| entry.state.state_digest())
    }

    /// Records that the engine accepted a submission.
    pub(crate) fn accept(&mut self, sequence: u64, root: Digest, submission: Submission) {
        let limits = Default::default();
        let prepared = submission.batch().prepare(&self.params, &limits, None);
        self.next(sequence, root, prepared.expect("the engine took it").digest);
        let (outcome, state) = applied(self.state(sequence - 1), &submission);
        self.entries.push(Entry {
            submission,
            provisional_root: root,
            outcome: Expected::Batch(outcome),
            state: Rc::new(state),
            state_digest: None,
            version: None,
        });
    }

    /// Records that the engine accepted a revert to the version with a commit id, which ends with a submission.
    pub(crate) fn revert(
        &mut self,
        sequence: u64,
        root: Digest,
        (commit_id, last): (Digest, u64),
        metadata: Vec<u8>,
    ) {
        self.next(sequence, root, revert_digest(&commit_id, &metadata));
        let state = match last.checked_sub(1) {
            None => self.start.clone(),
            Some(index) => self.entries[index as usize].state.clone(),
        };
        self.entries.push(Entry {
            submission: Submission {
                metadata,
                ..Submission::default()
            },
            provisional_root: root,
            outcome: Expected::Reverted(commit_id),
            state,
            state_digest: None,
            version: None,
        });
    }

    /// Checks the place of the next submission.
    fn next(&mut self, sequence: u64, root: Digest, digest: Digest) {
        let expected = self.last() + 1;
        ensure!(
            sequence == expected,
            "submission {sequence} follows {}",
            expected - 1
        );
        self.provisional = provisional_root(&self.provisional, &digest);
        ensure!(
            root == self.provisional,
            "the provisional root of {sequence} is another"
        );
    }

    fn version(&mut self, version: u64, commit_id: Digest, state_digest: Digest) -> &mut Known {
        let known = self.versions.entry(version).or_default();
        let same = known.commit_id.is_none_or(|id| id == commit_id);
        ensure!(same, "version {version} has two commit ids");
        let same = known
            .state_digest
            .is_none_or(|digest| digest == state_digest);
        ensure!(same, "version {version} has two state digests");
        known.commit_id = Some(commit_id);
        known.state_digest = Some(state_digest);
        known
    }

    /// Records that a submission is part of a version.
    pub(crate) fn hashed(&mut self, sequence: u64, hashed: &Hashed) {
        self.version(hashed.version, hashed.commit_id, hashed.state_digest);
        self.part_of(sequence, hashed.version, &hashed.outcome);
    }

    /// Records that a submission is durable, which was learned at this time.
    pub(crate) fn durable(&mut self, sequence: u64, durable: &Durable, now: Duration) {
        self.version(durable.version, durable.commit_id, durable.state_digest);
        self.part_of(sequence, durable.version, &durable.outcome);
        if sequence > self.acknowledged {
            self.acknowledged = sequence;
            self.acknowledged_at.push((now, sequence));
        }
        if durable.durability == Durability::Sync {
            self.synced = self.synced.max(sequence);
        }
    }

    fn part_of(&mut self, sequence: u64, version: u64, outcome: &Outcome) {
        let expected = &self.entries[sequence as usize - 1].outcome;
        ensure!(
            agree(outcome, expected),
            "the outcome of submission {sequence} is {outcome:?}, not {expected:?}"
        );
        let entry = &mut self.entries[sequence as usize - 1];
        let same = entry.version.is_none_or(|known| known == version);
        ensure!(same, "submission {sequence} is part of two versions");
        entry.version = Some(version);
    }

    /// Records that everything acknowledged before a time is synced.
    pub(crate) fn synced_before(&mut self, time: Duration) {
        let before = self.acknowledged_at.iter().rev();
        let last = before
            .skip_while(|(at, _)| *at >= time)
            .map(|(_, sequence)| *sequence);
        self.synced = self.synced.max(last.max().unwrap_or(0));
    }

    /// Records that everything accepted until now is synced.
    pub(crate) fn drained(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
        self.synced = self.synced.max(sequence);
    }

    /// Returns the last submission that is known to be applied or refused.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Checks the record of a version, and returns its last sequence number.
    pub(crate) fn see(&mut self, snapshot: &Snapshot) -> u64 {
        let (record, version) = (snapshot.record(), snapshot.version());
        ensure!(
            record.version == version,
            "the record of {version} is another's"
        );
        ensure!(
            record.commit_id() == snapshot.commit_id(),
            "version {version}: commit id"
        );
        self.see_record(record)
    }

    /// Checks the record of a version that was read in the feed, so that nothing may lose it.
    pub(crate) fn follow(&mut self, record: &CommitRecord) {
        let last = self.see_record(record);
        self.drained(last);
    }

    fn see_record(&mut self, record: &CommitRecord) -> u64 {
        let (version, commit_id) = (record.version, record.commit_id());
        let (first, last) = (record.first_sequence, record.last_sequence);
        ensure!(
            record.tree_id == self.params.tree_id(),
            "version {version}: tree id"
        );
        ensure!(
            last <= self.last(),
            "version {version} has submission {last}"
        );
        let state_digest = self.state_digest(last);
        let same = record.state_digest == state_digest;
        ensure!(
            same,
            "version {version} is not the state after submission {last}"
        );
        let known = self.version(version, commit_id, state_digest);
        let same = known.last_sequence.is_none_or(|known| known == last);
        ensure!(same, "version {version} ends with two submissions");
        known.last_sequence = Some(last);
        let keys = self.state(last).map.len() as u64;
        ensure!(
            record.key_count == keys,
            "version {version}: number of keys"
        );
        if version == 0 {
            return last;
        }
        ensure!(
            first >= 1 && first <= last,
            "version {version} has no submission"
        );
        let root = self.provisional_root(last);
        ensure!(
            record.provisional_root == root,
            "version {version}: provisional root"
        );
        let entry = &self.entries[last as usize - 1];
        let same = record.metadata == entry.submission.metadata;
        ensure!(same, "version {version}: metadata");
        for sequence in first..=last {
            let entry = &mut self.entries[sequence as usize - 1];
            let same = entry.version.is_none_or(|known| known == version);
            ensure!(
                same,
                "submission {sequence} is not part of version {version}"
            );
            entry.version = Some(version);
        }
        if let Some(parent) = self.versions.get(&(version - 1)) {
            let same = parent.commit_id.is_none_or(|id| id == record.parent);
            ensure!(same, "version {version} has another parent");
            let same = parent
                .last_sequence
                .is_none_or(|before| before + 1 == first);
            ensure!(same, "version {version} does not follow the version before");
        }
        let below = self.versions.range(..version);
        let ids: Vec<Digest> = below.filter_map(|(_, known)| known.commit_id).collect();
        if ids.len() as u64 == version {
            let mut history = MountainRange::default();
            ids.iter().for_each(|id| history.append(&HISTORY, id));
            let same = record.history_digest == history.digest(&HISTORY);
            ensure!(same, "version {version}: history digest");
        }
        last
    }

    /// Checks that the claims of receipts about versions agree. Called when an engine has ended.
    pub(crate) fn check_versions(&mut self) {
        let entries = self.entries.iter().zip(1..);
        let placed = entries.filter_map(|(entry, sequence)| Some((sequence, entry.version?)));
        let placed: Vec<(u64, u64)> = placed.collect();
        for pair in placed.windows(2) {
            let [(sequence, version), (later, following)] = [pair[0], pair[1]];
            let fits = following >= version && following - version <= later - sequence;
            ensure!(
                fits,
                "submissions {sequence} and {later}: versions {version}, {following}"
            );
        }
        // A version ends with the last submission that is known to be in it, or with one of unknown place behind that.
        for (place, (sequence, version)) in placed.iter().enumerate() {
            let next = placed.get(place + 1).copied();
            let next = next.unwrap_or((self.last() + 1, version + 1));
            let digest = self
                .versions
                .get(version)
                .and_then(|known| known.state_digest);
            let Some(digest) = digest.filter(|_| next.1 > *version) else {
                continue;
            };
            let fits = (*sequence..next.0).any(|last| self.state_digest(last) == digest);
            ensure!(
                fits,
                "version {version} is no state after submission {sequence}"
            );
        }
    }

    /// Compares the last version of a reopened engine with the data that had to be kept, and forgets lost submissions.
    pub(crate) fn reopened(&mut self, snapshot: &Snapshot, open_epoch: u64, lost_power: bool) {
        let (version, last) = (snapshot.version(), self.see(snapshot));
        let floor = match lost_power {
            true => self.synced,
            false => self.acknowledged,
        };
        ensure!(
            last >= floor,
            "submission {floor} was acknowledged, and {last} is the last after reopening"
        );
        self.entries.truncate(last as usize);
        self.versions.split_off(&(version + 1));
        for entry in &mut self.entries {
            entry.version = entry.version.filter(|known| *known <= version);
        }
        self.provisional = provisional_start(&snapshot.commit_id(), open_epoch);
        (self.acknowledged, self.synced) = (last, last);
        self.acknowledged_at.clear();
    }

    /// Returns whether a read of the latest state may have shown this value.
    pub(crate) fn may_be_latest(&self, key: &[u8], value: Option<&[u8]>, during: During) -> bool {
        let applied = during.applied;
        let from = applied.map_or(during.asked, |applied| applied.min(during.asked));
        let of_state = |sequence| self.state(sequence).map.get(key).map(Vec::as_slice) == value;
        if (from..=during.answered).any(of_state) {
            return true;
        }
        // A write that is refused later may be seen until then.
        let waiting = self.entries[from as usize..during.answered as usize].iter();
        let mut operations = waiting.flat_map(|entry| &entry.submission.operations);
        applied.is_some()
            && operations.any(|operation| match operation {
                Op::Put(written, new) => written == key && value == Some(new),
                Op::Delete(written) => written == key && value.is_none(),
            })
    }
}

/// Returns the sequence number of the last submission with a key.
fn keyed_last(entries: &[Entry], key: &[u8]) -> Option<u64> {
    let last = entries
        .iter()
        .rposition(|entry| entry.submission.key == key)?;
    Some(last as u64 + 1)
}

/// Returns whether an outcome is that of the model.
fn agree(found: &Outcome, expected: &Expected) -> bool {
    match expected {
        Expected::Batch(outcome) => fits(found, outcome),
        Expected::Reverted(commit_id) => {
            let commit_id = *commit_id;
            *found == Outcome::Reverted { commit_id }
        }
    }
}

/// Returns the outcome of a batch in the model, and the state after it.
pub(crate) fn applied(
    before: &NaiveState,
    submission: &Submission,
) -> (naive::Outcome, NaiveState) {
    let mut state = before.clone();
    let mut outcome = state.submit(&submission.operations, &submission.requirements);
    if let naive::Outcome::Applied { displaced } = &mut outcome {
        // A key that the submission put itself was not there before, so it is not displaced.
        displaced.retain(|key| before.map.contains_key(key));
    }
    (outcome, state)
}

/// Returns whether the outcome of a batch is that of the model.
pub(crate) fn fits(found: &Outcome, expected: &naive::Outcome) -> bool {
    match (found, expected) {
        (Outcome::Applied { displaced }, naive::Outcome::Applied { displaced: keys }) => {
            *displaced as usize == keys.len()
        }
        (Outcome::Refused(found), naive::Outcome::Refused(expected)) => matches!(
            (found, expected),
            (
                Refusal::RequirementFailed { .. },
                naive::Refusal::Requirement(_)
            ) | (Refusal::PathTaken { .. }, naive::Refusal::Collision)
                | (Refusal::BucketFull { .. }, naive::Refusal::BucketFull)
        ),
        _ => false,
    }
}
