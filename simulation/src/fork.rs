//! Forks of a caller: changed, compared with the model, forked again, and perhaps committed.

use rand::RngExt;
use rand::rngs::SmallRng;
use trunkline::core::proof::{Expected, verify};
use trunkline::{CommitOptions, Fork, ForkCommitError, ForkError, Snapshot, SubmitError, TopKind};
use trunkline_testkit::naive::{NaiveState, Op};

use crate::caller::{Caller, Ended};
use crate::ensure;
use crate::plan::Await;
use crate::truth::{Submission, applied, fits};

/// A fork and what it must show.
struct Modelled {
    fork: Fork,
    state: NaiveState,
}

impl Caller {
    /// Changes a fork of the newest version or of one that is held, and a fork of it, and commits one of them or none.
    pub(crate) fn fork(&mut self, awaited: Await, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        let base = match self.held.first() {
            Some(held) if random.random_ratio(1, 4) => held.clone(),
            _ => engine.snapshot(),
        };
        let fork = match engine.fork_at(base.version()) {
            Ok(fork) => fork,
            // An archived version, or a pin that was revoked.
            Err(ForkError::Version(_)) => return Ok(()),
            Err(error) => return self.not_forked(&base, error),
        };
        let mut truth = self.life.world.truth.borrow_mut();
        let last = truth.see(&base);
        let state = truth.state(last).clone();
        drop(truth);
        let mut one = Modelled { fork, state };
        if let Some(error) = self.change(&mut one, random).err() {
            return self.not_forked(&base, error);
        }
        let forked = match one.fork.fork() {
            Ok(fork) => fork,
            Err(error) => return self.not_forked(&base, error),
        };
        let mut other = Modelled {
            fork: forked,
            state: one.state.clone(),
        };
        let changed = self.change(&mut other, random);
        let changed = changed.and_then(|()| self.compare(&mut one, random));
        if let Some(error) = changed
            .and_then(|()| self.compare(&mut other, random))
            .err()
        {
            return self.not_forked(&base, error);
        }
        let chosen = match random.random_range(0..3) {
            0 => return Ok(()),
            1 => one,
            _ => other,
        };
        self.commit(&base, last, chosen, awaited, random)
    }

    /// Applies batches to a fork, and compares their outcomes.
    fn change(&self, one: &mut Modelled, random: &mut SmallRng) -> Result<(), ForkError> {
        for _ in 0..random.random_range(0..4) {
            let submission = self.submission(random);
            if submission.is_empty() {
                continue;
            }
            let outcome = one.fork.apply(submission.batch())?;
            let (expected, state) = applied(&one.state, &submission);
            one.state = state;
            ensure!(
                fits(&outcome, &expected),
                "the outcome in a fork is {outcome:?}, not {expected:?}"
            );
        }
        Ok(())
    }

    /// Compares what a fork shows with the model.
    fn compare(&self, one: &mut Modelled, random: &mut SmallRng) -> Result<(), ForkError> {
        let key = self.any_key(random);
        let expected = one.state.map.get(&key);
        let value = one.fork.get(&key)?;
        ensure!(
            value.as_deref() == expected.map(Vec::as_slice),
            "a fork has {value:?}, not {expected:?}"
        );
        let state_digest = one.fork.state_digest()?;
        ensure!(
            state_digest == one.state.state_digest(),
            "the state digest of a fork is another"
        );
        let keys = one.state.map.len() as u64;
        ensure!(
            one.fork.key_count() == keys,
            "a fork has another number of keys"
        );
        if random.random_ratio(1, 3) {
            let proof = match one.fork.prove([&key], TopKind::Hash) {
                Ok(proof) => proof,
                Err(trunkline::SnapshotProveError::Read(error)) => return Err(error.into()),
                Err(error) => crate::scheduler::fail(format!("no proof of a fork: {error}")),
            };
            let tree_id = self.life.engine.params().tree_id();
            let trusted = Expected::StateDigest {
                tree_id,
                state_digest,
            };
            ensure!(
                verify(&proof, &trusted).is_ok(),
                "a proof of a fork is false"
            );
        }
        self.life.world.counts.borrow_mut().forks += 1;
        Ok(())
    }

    /// Commits a fork of a version that ends with a submission. It is overtaken if another one was accepted since.
    fn commit(
        &mut self,
        base: &Snapshot,
        last: u64,
        chosen: Modelled,
        awaited: Await,
        random: &mut SmallRng,
    ) -> Result<(), Ended> {
        let world = &self.life.world;
        let metadata = random.random::<u64>().to_le_bytes().to_vec();
        let options = CommitOptions {
            metadata: metadata.clone().into(),
            ..CommitOptions::default()
        };
        let receipt = match chosen.fork.commit_with_blocking(options) {
            Ok(receipt) => receipt,
            Err(ForkCommitError::Submit(SubmitError::Engine(failure))) => {
                return Err(self.ended(&failure));
            }
            Err(ForkCommitError::Read(error)) => return self.expired(base, &error),
            Err(ForkCommitError::Submit(SubmitError::Overtaken { sequence, .. })) => {
                let truth = world.truth.borrow();
                ensure!(
                    sequence == last && truth.last() > last,
                    "nothing came after {sequence}, and a fork of it was overtaken"
                );
                return Ok(());
            }
            Err(error) => crate::scheduler::fail(format!("no commit: {error}: {error:?}")),
        };
        let (sequence, root) = (receipt.sequence(), receipt.provisional_root());
        let mut truth = world.truth.borrow_mut();
        ensure!(sequence == last + 1, "a fork of {last} became {sequence}");
        let operations = difference(truth.state(last), &chosen.state);
        let submission = Submission {
            operations,
            metadata,
            ..Submission::default()
        };
        truth.accept(sequence, root, submission);
        ensure!(
            truth.state(sequence).map == chosen.state.map,
            "the changes of a fork lead to another state"
        );
        drop(truth);
        let mut counts = world.counts.borrow_mut();
        (counts.batches, counts.fork_commits) = (counts.batches + 1, counts.fork_commits + 1);
        drop(counts);
        world
            .simulation
            .note(|| format!("a fork is accepted as {sequence}"));
        self.wait_and_keep(Some(receipt), awaited)
    }

    /// Checks that a fork may fail as it did.
    fn not_forked(&self, base: &Snapshot, error: ForkError) -> Result<(), Ended> {
        match error {
            ForkError::Engine(failure) => Err(self.ended(&failure)),
            ForkError::Read(error) => self.expired(base, &error),
            error => crate::scheduler::fail(format!("no fork: {error}: {error:?}")),
        }
    }
}

/// Returns what leads from one state to another: first what is removed.
fn difference(before: &NaiveState, after: &NaiveState) -> Vec<Op> {
    let gone = before
        .map
        .keys()
        .filter(|key| !after.map.contains_key(*key));
    let gone = gone.map(|key| Op::Delete(key.clone()));
    let new = after
        .map
        .iter()
        .filter(|(key, value)| before.map.get(*key) != Some(value));
    let new = new.map(|(key, value)| Op::Put(key.clone(), value.clone()));
    gone.chain(new).collect()
}
