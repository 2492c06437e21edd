//! A caller: takes the steps of its plan on a running engine, and checks every answer.

use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::config::KzgMode;
use trunkline::core::audit;
use trunkline::core::kzg::{Committer, Setup, slot_value};
use trunkline::core::proof::{Claim, Expected, Proof, verify, verify_versions};
use trunkline::{
    CursorError, EngineFailure, EvidenceError, FeedError, ProveOptions, ReadError, Receipt,
    RootReady, Snapshot, SnapshotError, SnapshotProveError, SubmitError, TopKind, prove_versions,
};
use trunkline_actors::adaptive::reload_error::ReloadError;
use trunkline_actors::runtime::clock;
use trunkline_actors::runtime::simulated::{Scheduler as _, wait_for};
use trunkline_actors::runtime::wait::block_on;
use trunkline_testkit::keys::path_collisions;
use trunkline_testkit::naive::{Op, Require, plain, slot_digests};

use crate::ensure;
use crate::machine::sleep;
use crate::plan::{Action, Await, Step, reloaded};
use crate::ranges;
use crate::truth::{During, Submission};
use crate::world::Life;

/// Writes of a large batch.
const LARGE_WRITES: u64 = 600;
/// Most snapshots that a caller holds.
const HELD_MAX: usize = 4;

pub(crate) struct Caller {
    pub(crate) life: Rc<Life>,
    pub(crate) held: Vec<Snapshot>,
}

/// The engine has ended: nothing more to do on it.
pub(crate) struct Ended;

impl Caller {
    pub(crate) fn new(life: Rc<Life>) -> Self {
        Self {
            life,
            held: Vec::new(),
        }
    }

    /// Holds a snapshot, and drops the oldest one if these are too many.
    pub(crate) fn hold(&mut self, snapshot: Snapshot) {
        self.held.push(snapshot);
        if self.held.len() > HELD_MAX {
            self.held.remove(0);
        }
    }

    /// Takes the steps, until the engine has ended.
    pub(crate) fn work(mut self, steps: &[Step]) {
        for step in steps {
            let simulation = &self.life.world.simulation;
            simulation.note(|| format!("step {}: {:?}", step.number, step.action));
            let mut random = SmallRng::seed_from_u64(step.seed);
            if self.step(step.action, &mut random).is_err() {
                break;
            }
        }
        // Snapshots stay what they are, also of an engine that has ended.
        let mut random = SmallRng::seed_from_u64(0);
        for snapshot in std::mem::take(&mut self.held) {
            let _ = self.read(&snapshot, &mut random);
        }
    }

    fn step(&mut self, action: Action, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        match action {
            Action::Submit(awaited) => {
                let submission = self.submission(random);
                let receipt = engine.submit_blocking(submission.batch());
                let receipt = self.accepted(receipt, submission)?;
                self.wait_and_keep(receipt, awaited)
            }
            Action::SubmitWithin(limit) => {
                let submission = self.submission(random);
                let submitted = within(limit, engine.submit(submission.batch()));
                match submitted {
                    // Too late: it was not submitted.
                    None => {
                        self.life.world.counts.borrow_mut().submissions_given_up += 1;
                        Ok(())
                    }
                    Some(receipt) => {
                        let receipt = self.accepted(receipt, submission)?;
                        self.wait_and_keep(receipt, Await::Nothing)
                    }
                }
            }
            Action::TrySubmit => {
                let submission = self.submission(random);
                match engine.try_submit(submission.batch()) {
                    Err(SubmitError::Busy) => Ok(()),
                    receipt => {
                        let receipt = self.accepted(receipt, submission)?;
                        self.wait_and_keep(receipt, Await::Nothing)
                    }
                }
            }
            Action::Repeat(awaited) => self.repeat(awaited, random),
            Action::Revert(awaited) => self.revert(awaited, random),
            Action::Fork(awaited) => self.fork(awaited, random),
            Action::Get => self.get(random),
            Action::Contains => self.contains(random),
            Action::MultiGet => self.multi_get(random),
            Action::ReadDurable => {
                let snapshot = engine.snapshot();
                self.read(&snapshot, random)
            }
            Action::Walk => self.walk(&engine.snapshot()),
            Action::Range => self.range(&engine.snapshot(), random),
            Action::Hold => {
                self.hold(engine.snapshot());
                Ok(())
            }
            Action::ReadHeld => self.read_held(random),
            Action::SnapshotAt => self.snapshot_at(random),
            Action::ReadPast => self.read_past(random),
            Action::Prove => self.prove(TopKind::Hash, random),
            Action::ProveKzg => self.prove(TopKind::Kzg, random),
            Action::ProveVersions => self.prove_versions(random),
            Action::History => self.history(random),
            Action::Evidence => self.evidence(random),
            Action::Follow => self.follow(random),
            Action::AwaitEarlier(awaited) => {
                let receipts = self.life.receipts.borrow();
                if receipts.is_empty() {
                    return Ok(());
                }
                // Also another caller's: several may wait for one submission.
                let newest = receipts.len().saturating_sub(random.random_range(0..8) + 1);
                let receipt = receipts[newest].clone();
                drop(receipts);
                self.wait(&receipt, awaited)
            }
            Action::Drain => self.drain(),
            Action::Reload => self.reload(random),
            Action::Sleep(time) => {
                sleep(time);
                Ok(())
            }
        }
    }

    /// Checks a failure of the engine, after which nothing works.
    pub(crate) fn ended(&self, failure: &EngineFailure) -> Ended {
        self.life.check_failure(failure);
        Ended
    }

    // Submitting.

    fn key(&self, number: u64) -> Vec<u8> {
        let shape = &self.life.world.plan.shape;
        let pairs = if shape.colliding {
            path_collisions()
        } else {
            Vec::new()
        };
        let colliding = pairs.get((number / 2) as usize);
        let colliding = colliding.map(|pair| pair[(number % 2) as usize].clone());
        colliding.unwrap_or_else(|| match number % 5 {
            // Long enough not to be held together with its value.
            4 => format!("{number:0>90}").into_bytes(),
            _ => format!("key {number}").into_bytes(),
        })
    }

    pub(crate) fn any_key(&self, random: &mut SmallRng) -> Vec<u8> {
        self.key(random.random_range(0..self.life.world.plan.shape.keys))
    }

    pub(crate) fn submission(&self, random: &mut SmallRng) -> Submission {
        let shape = &self.life.world.plan.shape;
        let mark: u64 = random.random();
        let count = match random.random_ratio(1, 20) {
            true => 0,
            false => random.random_range(1..=shape.writes_max),
        };
        let operations = (0..count).map(|index| {
            let key = self.any_key(random);
            if random.random_ratio(1, 4) {
                return Op::Delete(key);
            }
            if random.random_ratio(1, 5) {
                // Few values, so that some puts change nothing.
                return Op::Put(key, vec![b'0'; random.random_range(0..2)]);
            }
            let mut value = format!("{mark:x}/{index} ").into_bytes();
            value.resize(random.random_range(0..=shape.value_bytes_max), b'.');
            Op::Put(key, value)
        });
        let mut operations: Vec<Op> = operations.collect();
        if shape.large > 0 && random.random_ratio(1, shape.large) {
            let absent = |number| Op::Delete(format!("absent {number}").into_bytes());
            operations.extend((0..LARGE_WRITES).map(absent));
        }
        let mut requirements = Vec::new();
        if shape.requirements > 0 && random.random_ratio(1, shape.requirements) {
            let key = self.any_key(random);
            let truth = self.life.world.truth.borrow();
            let value = truth.state(truth.last()).map.get(&key);
            requirements.push(match value.filter(|_| random.random_ratio(2, 3)) {
                Some(value) => Require::ValueHash(key, plain(value)),
                None => Require::Absent(key),
            });
        }
        let metadata = match random.random_ratio(1, 12) {
            true => mark.to_le_bytes().to_vec(),
            false => Vec::new(),
        };
        let key = match random.random_ratio(1, 4) {
            true => format!("{mark:x}").into_bytes(),
            false => Vec::new(),
        };
        Submission {
            operations,
            requirements,
            metadata,
            key,
        }
    }

    /// Submits a batch again whose key was used before. It must not be applied a second time while its key is remembered.
    fn repeat(&self, awaited: Await, random: &mut SmallRng) -> Result<(), Ended> {
        let (world, engine) = (&self.life.world, &self.life.engine);
        let before_last = random.random_range(0..12);
        let Some((first, mut submission)) = world.truth.borrow().keyed(before_last) else {
            return Ok(());
        };
        let changed = b"changed".to_vec();
        let is_changed = random.random_ratio(1, 4) && submission.metadata != changed;
        if is_changed {
            submission.metadata = changed;
        }
        let keys_max = world.plan.config.submit.idempotency_keys_max;
        // Another caller may use keys meanwhile, so this is looked at before and after.
        let must_be_forgotten = {
            let truth = world.truth.borrow();
            truth.keys_after(first, truth.acknowledged()) >= keys_max
        };
        let submitted = engine.submit_blocking(submission.batch());
        let may_be_forgotten = {
            let truth = world.truth.borrow();
            truth.keys_after(first, truth.last()) >= keys_max
        };
        let (is_repeat, refused) = match &submitted {
            Ok(receipt) => (receipt.is_repeat(), None),
            Err(SubmitError::IdempotencyKeyReused { sequence }) => (true, Some(*sequence)),
            Err(SubmitError::Repeat { .. }) if self.life.may_fail => return Ok(()),
            Err(_) => (false, None),
        };
        if !is_repeat {
            let receipt = self.accepted(submitted, submission)?;
            ensure!(may_be_forgotten, "submission {first} is applied again");
            return self.wait_and_keep(receipt, awaited);
        }
        ensure!(
            !must_be_forgotten,
            "submission {first} is still remembered by its key"
        );
        // Another caller may have used the key again, since the engine had forgotten it.
        let known = match &submitted {
            Ok(receipt) => receipt.sequence(),
            Err(_) => refused.unwrap_or_default(),
        };
        ensure!(known >= first, "the key of {first} is that of {known}");
        ensure!(
            known == first || may_be_forgotten,
            "the key of {first} is that of {known}"
        );
        let Ok(receipt) = submitted else {
            ensure!(is_changed, "a repeat of {known} is taken for another batch");
            return Ok(());
        };
        let root = world.truth.borrow().provisional_root(known);
        ensure!(
            receipt.provisional_root() == root,
            "the provisional root of the repeated {known} is another"
        );
        ensure!(
            !is_changed || known != first,
            "a changed batch is taken for a repeat of {known}"
        );
        world.counts.borrow_mut().repeats += 1;
        world.simulation.note(|| format!("repeats {known}"));
        self.wait_and_keep(Some(receipt), awaited)
    }

    fn accepted(
        &self,
        receipt: Result<Receipt, SubmitError>,
        submission: Submission,
    ) -> Result<Option<Receipt>, Ended> {
        let world = &self.life.world;
        match receipt {
            Ok(receipt) => {
                let (sequence, root) = (receipt.sequence(), receipt.provisional_root());
                world.truth.borrow_mut().accept(sequence, root, submission);
                world.counts.borrow_mut().batches += 1;
                world.simulation.note(|| format!("accepted as {sequence}"));
                Ok(Some(receipt))
            }
            Err(SubmitError::Engine(failure)) => Err(self.ended(&failure)),
            // The same as without the call.
            Err(SubmitError::Batch(_)) if submission.is_empty() => Ok(None),
            Err(error) => crate::scheduler::fail(format!("a batch is refused: {error}")),
        }
    }

    pub(crate) fn wait_and_keep(
        &self,
        receipt: Option<Receipt>,
        awaited: Await,
    ) -> Result<(), Ended> {
        let Some(receipt) = receipt else {
            return Ok(());
        };
        if awaited == Await::Dropped {
            return Ok(());
        }
        self.life.receipts.borrow_mut().push(receipt.clone());
        self.wait(&receipt, awaited)
    }

    fn wait(&self, receipt: &Receipt, awaited: Await) -> Result<(), Ended> {
        let (world, sequence) = (&self.life.world, receipt.sequence());
        // Both forms of waiting.
        let in_task = world.simulation.random().is_multiple_of(2);
        match awaited {
            Await::Nothing | Await::Dropped => {}
            Await::Hashed => {
                let hashed = match in_task {
                    true => block_on(receipt.hashed()),
                    false => receipt.hashed_blocking(),
                };
                let hashed = hashed.map_err(|failure| self.ended(&failure))?;
                world.truth.borrow_mut().hashed(sequence, &hashed);
            }
            Await::RootReady => {
                let ready = match in_task {
                    true => block_on(receipt.root_ready()),
                    false => receipt.root_ready_blocking(),
                };
                let ready = ready.map_err(|failure| self.ended(&failure))?;
                self.check_root(receipt, &ready)?;
            }
            Await::Durable => {
                let durable = match in_task {
                    true => block_on(receipt.durable()),
                    false => receipt.durable_blocking(),
                };
                self.durable(receipt, durable)?;
            }
            Await::DurableWithin(limit) => {
                if let Some(durable) = within(limit, receipt.durable()) {
                    self.durable(receipt, durable)?;
                }
            }
        }
        Ok(())
    }

    fn durable(
        &self,
        receipt: &Receipt,
        durable: Result<trunkline::Durable, EngineFailure>,
    ) -> Result<(), Ended> {
        let durable = durable.map_err(|failure| self.ended(&failure))?;
        let (world, sequence) = (&self.life.world, receipt.sequence());
        world
            .simulation
            .note(|| format!("{sequence} is durable in {}", durable.version));
        let now = world.simulation.elapsed();
        world.truth.borrow_mut().durable(sequence, &durable, now);
        let newest = self.life.engine.snapshot().version();
        let shown = newest >= durable.version;
        let is_eager = world.plan.config.kzg.mode == KzgMode::Eager;
        ensure!(
            !is_eager || durable.kzg_root.is_some() || receipt.is_repeat(),
            "{sequence} is durable without a root"
        );
        ensure!(
            shown,
            "version {} is durable, the newest is {newest}",
            durable.version
        );
        Ok(())
    }

    /// Checks that a root covers a submission and, if the version can be read, that it is the commitment to it.
    fn check_root(&self, receipt: &Receipt, ready: &RootReady) -> Result<(), Ended> {
        let hashed = receipt.hashed_blocking();
        let hashed = hashed.map_err(|failure| self.ended(&failure))?;
        let sequence = receipt.sequence();
        self.life.world.truth.borrow_mut().hashed(sequence, &hashed);
        let covers = ready.version >= hashed.version;
        ensure!(
            covers,
            "the root of version {} covers no {}",
            ready.version,
            hashed.version
        );
        let Ok(snapshot) = self.life.engine.snapshot_at(ready.version) else {
            return Ok(());
        };
        let last = self.life.world.truth.borrow_mut().see(&snapshot);
        let truth = self.life.world.truth.borrow();
        let digests = slot_digests(&truth.state(last).leaves());
        let root = commitment(&digests);
        ensure!(
            root == ready.kzg_root,
            "the KZG root of version {} is another",
            ready.version
        );
        Ok(())
    }

    // Reading the latest state.

    /// Makes a read of the latest state, and returns when, if it was answered.
    fn latest<T>(
        &self,
        read: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<Option<(T, During)>, Ended> {
        let world = &self.life.world;
        let shape = &world.plan.shape;
        let may_refuse = shape.requirements > 0 || shape.colliding;
        let mut during = {
            let truth = world.truth.borrow();
            During {
                asked: truth.last(),
                answered: 0,
                applied: may_refuse.then(|| truth.acknowledged()),
            }
        };
        match read() {
            Ok(found) => {
                during.answered = world.truth.borrow().last();
                Ok(Some((found, during)))
            }
            Err(error) => self.unread(&error).map(|()| None),
        }
    }

    /// Checks that a read of the latest state had a reason to fail.
    pub(crate) fn unread(&self, error: &ReadError) -> Result<(), Ended> {
        match error {
            ReadError::Engine(failure) => Err(self.ended(failure)),
            ReadError::Closed if self.life.is_closing.get() => Err(Ended),
            ReadError::Store(_) if self.life.may_fail => Ok(()),
            error => crate::scheduler::fail(format!("a read fails: {error}: {error:?}")),
        }
    }

    fn get(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let key = self.any_key(random);
        if let Some((value, during)) = self.latest(|| self.life.engine.get(&key))? {
            let truth = self.life.world.truth.borrow();
            let fits = truth.may_be_latest(&key, value.as_deref(), during);
            ensure!(fits, "{} is {value:?} during {during:?}", shown(&key));
        }
        Ok(())
    }

    fn contains(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let key = self.any_key(random);
        if let Some((found, during)) = self.latest(|| self.life.engine.contains(&key))? {
            let truth = self.life.world.truth.borrow();
            // With refusals, presence alone says too little to be checked.
            let held = |sequence| truth.state(sequence).map.contains_key(&key) == found;
            let between = during.asked..=during.answered;
            let fits = during.applied.is_some() || between.into_iter().any(held);
            ensure!(fits, "{} is there: {found}, during {during:?}", shown(&key));
        }
        Ok(())
    }

    fn multi_get(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let count = random.random_range(1..20);
        let keys: Vec<_> = (0..count).map(|_| self.any_key(random)).collect();
        if let Some((values, during)) = self.latest(|| self.life.engine.multi_get(&keys))? {
            let truth = self.life.world.truth.borrow();
            for (key, value) in keys.iter().zip(values) {
                let fits = truth.may_be_latest(key, value.as_deref(), during);
                ensure!(fits, "{} is {value:?} during {during:?}", shown(key));
            }
        }
        Ok(())
    }

    // Reading versions.

    /// Checks that a read of a version had a reason to fail.
    pub(crate) fn expired(&self, snapshot: &Snapshot, error: &ReadError) -> Result<(), Ended> {
        if let Some(checked) = self.read_past_failed(snapshot, error) {
            return checked;
        }
        let version = snapshot.version();
        match error {
            ReadError::Expired { .. } => {
                let newest = self.life.engine.snapshot().version();
                let limits = *self.life.limits.borrow();
                let behind = newest - version;
                let may_expire = behind > limits.behind_max || limits.bytes_max < 1 << 30;
                ensure!(
                    may_expire,
                    "version {version} expired at {newest}: {limits:?}"
                );
                self.life.world.counts.borrow_mut().snapshots_expired += 1;
                Ok(())
            }
            ReadError::Closed if self.life.is_closing.get() => Ok(()),
            ReadError::Store(_) if self.life.may_fail => Ok(()),
            error => {
                let report = format!("version {version} is not read: {error}: {error:?}");
                crate::scheduler::fail(report)
            }
        }
    }

    /// Reads some keys of a version.
    pub(crate) fn read(&self, snapshot: &Snapshot, random: &mut SmallRng) -> Result<(), Ended> {
        let last = self.life.world.truth.borrow_mut().see(snapshot);
        for _ in 0..3 {
            let key = self.any_key(random);
            let value = match snapshot.get(&key) {
                Ok(value) => value,
                Err(error) => return self.expired(snapshot, &error),
            };
            self.check_value(snapshot, last, &key, value.as_deref());
        }
        let keys: Vec<_> = (0..4).map(|_| self.any_key(random)).collect();
        match snapshot.multi_get(&keys) {
            Err(error) => self.expired(snapshot, &error),
            Ok(values) => {
                for (key, value) in keys.iter().zip(values) {
                    self.check_value(snapshot, last, key, value.as_deref());
                }
                Ok(())
            }
        }
    }

    fn check_value(&self, snapshot: &Snapshot, last: u64, key: &[u8], value: Option<&[u8]>) {
        let truth = self.life.world.truth.borrow();
        let expected = truth.state(last).map.get(key).map(Vec::as_slice);
        ensure!(
            value == expected,
            "{} is {value:?} at version {}, not {expected:?}",
            shown(key),
            snapshot.version()
        );
    }

    /// Compares a whole version.
    pub(crate) fn walk(&self, snapshot: &Snapshot) -> Result<(), Ended> {
        let last = self.life.world.truth.borrow_mut().see(snapshot);
        let mut count = 0;
        for pair in snapshot.iter() {
            match pair {
                Err(error) => return self.expired(snapshot, &error),
                Ok((key, value)) => self.check_value(snapshot, last, &key, Some(&value)),
            }
            count += 1;
        }
        let expected = self.life.world.truth.borrow().state(last).map.len();
        let version = snapshot.version();
        ensure!(
            count == expected,
            "a walk over version {version} finds {count} keys of {expected}"
        );
        Ok(())
    }

    pub(crate) fn range(&self, snapshot: &Snapshot, random: &mut SmallRng) -> Result<(), Ended> {
        let last = self.life.world.truth.borrow_mut().see(snapshot);
        let truth = self.life.world.truth.borrow();
        let pairs = truth.state(last).map.iter();
        let pairs: Vec<_> = pairs
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        drop(truth);
        let range = ranges::range(&pairs, random);
        match ranges::compare(snapshot, range, pairs) {
            Ok(()) => Ok(()),
            Err(ReadError::NoKeyOrder) => {
                let has_index = self.life.engine.config().store.key_order;
                ensure!(!has_index, "a range finds no index where there is one");
                Ok(())
            }
            Err(error) => self.expired(snapshot, &error),
        }
    }

    fn read_held(&mut self, random: &mut SmallRng) -> Result<(), Ended> {
        if self.held.is_empty() {
            return Ok(());
        }
        let place = random.random_range(0..self.held.len());
        let snapshot = match random.random_ratio(1, 2) {
            true => self.held.remove(place),
            false => self.held[place].clone(),
        };
        match random.random_ratio(1, 3) {
            true if random.random_ratio(1, 2) => self.range(&snapshot, random),
            true => self.walk(&snapshot),
            false => self.read(&snapshot, random),
        }
    }

    fn snapshot_at(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let (engine, limits) = (&self.life.engine, *self.life.limits.borrow());
        let newest = engine.snapshot().version();
        let version = (newest + 2).saturating_sub(random.random_range(0..limits.retain + 4));
        match engine.snapshot_at(version) {
            Ok(snapshot) => self.read(&snapshot, random),
            Err(SnapshotError::NotYet { newest, .. }) => {
                ensure!(
                    version > newest,
                    "version {version} is there, the newest is {newest}"
                );
                Ok(())
            }
            Err(SnapshotError::Past(error)) => self.past_failed(version, &error),
            Err(SnapshotError::Expired { oldest, .. }) => {
                let kept = (newest + 1)
                    .saturating_sub(limits.retain)
                    .max(self.life.opened_at);
                let may_expire = version < kept || limits.bytes_max < 1 << 30;
                let expired = version < oldest && may_expire;
                ensure!(expired, "version {version} expired at {newest}: {limits:?}");
                Ok(())
            }
        }
    }

    // Proofs.

    fn prove(&self, top: TopKind, random: &mut SmallRng) -> Result<(), Ended> {
        let snapshot = self.life.engine.snapshot();
        let last = self.life.world.truth.borrow_mut().see(&snapshot);
        let count = random.random_range(1..6);
        let keys: Vec<_> = (0..count).map(|_| self.any_key(random)).collect();
        let proof = match snapshot.prove(&keys, top) {
            Ok(proof) => proof,
            Err(SnapshotProveError::Read(error)) => return self.expired(&snapshot, &error),
            Err(error) => crate::scheduler::fail(format!("no proof: {error}: {error:?}")),
        };
        let bytes = proof.encode().unwrap_or_default();
        let received = Proof::decode(&bytes);
        ensure!(
            received.as_ref() == Ok(&proof),
            "a proof is decoded as another"
        );
        let expected = match top {
            TopKind::Hash => Expected::CommitId(snapshot.commit_id()),
            TopKind::Kzg => Expected::Root(snapshot.root()),
        };
        let verified = match verify(&proof, &expected) {
            Ok(verified) => verified,
            Err(error) => crate::scheduler::fail(format!("a proof does not verify: {error}")),
        };
        let truth = self.life.world.truth.borrow();
        for key in &keys {
            let value = truth.state(last).map.get(key).cloned();
            let claim = value.map_or(Claim::Absent, Claim::Present);
            let proven = verified.claim(key);
            ensure!(
                proven == Some(&claim),
                "{} is proven as {proven:?}",
                shown(key)
            );
        }
        Ok(())
    }

    /// Proves keys at two versions together, and the connection between both roots of the newer.
    fn prove_versions(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        let newer = engine.snapshot();
        let Ok(older) = engine.snapshot_at(newer.version().saturating_sub(1)) else {
            return Ok(());
        };
        let mut snapshots = vec![older, newer];
        snapshots.dedup_by_key(|snapshot| snapshot.version());
        let key = self.any_key(random);
        let parts: Vec<_> = snapshots
            .iter()
            .map(|snapshot| (snapshot, [&key]))
            .collect();
        let proof = match prove_versions(&parts, &ProveOptions::default()) {
            Ok(proof) => proof,
            Err(SnapshotProveError::Read(error)) => return self.expired(&snapshots[0], &error),
            Err(error) => crate::scheduler::fail(format!("no proof: {error}: {error:?}")),
        };
        let roots = snapshots
            .iter()
            .map(|snapshot| Expected::Root(snapshot.root()));
        let roots: Vec<_> = roots.collect();
        let verified = match verify_versions(&proof, &roots) {
            Ok(verified) => verified,
            Err(error) => crate::scheduler::fail(format!("a proof does not verify: {error}")),
        };
        for (snapshot, verified) in snapshots.iter().zip(verified) {
            let last = self.life.world.truth.borrow_mut().see(snapshot);
            let truth = self.life.world.truth.borrow();
            let value = truth.state(last).map.get(&key).cloned();
            let claim = value.map_or(Claim::Absent, Claim::Present);
            let proven = verified.claim(&key);
            ensure!(
                proven == Some(&claim),
                "{} is proven as {proven:?}",
                shown(&key)
            );
        }
        let newest = &snapshots[snapshots.len() - 1];
        let audit = newest.audit();
        let audited = audit::verify(&audit, &Expected::CommitId(newest.commit_id()));
        let same = audited.is_ok_and(|audited| audited.kzg_root == newest.kzg_root());
        ensure!(
            same,
            "the audit of version {} does not hold",
            newest.version()
        );
        Ok(())
    }

    fn history(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let snapshot = self.life.engine.snapshot();
        if snapshot.version() == 0 {
            return Ok(());
        }
        let (head, version) = (snapshot.commit_id(), snapshot.version());
        let older = random.random_range(0..version);
        let known = self.life.world.truth.borrow().commit_id(older);
        let proofs = snapshot.prove_ancestor(older);
        let proofs = proofs.and_then(|proof| Ok((proof, snapshot.prove_consistency(older)?)));
        let (ancestor, consistency) = match proofs {
            Ok(proofs) => proofs,
            Err(_) if self.life.may_fail => return Ok(()),
            Err(error) => crate::scheduler::fail(format!("no proof of {older}: {error}")),
        };
        match ancestor.verify(&head) {
            Ok(found) => {
                let same = known.is_none_or(|known| known == found.commit_id);
                ensure!(same, "version {older} is proven with another commit id");
                let holds = consistency.check_head(older, &found.commit_id);
                ensure!(
                    holds.is_ok(),
                    "consistency of {older} and {version}: {holds:?}"
                );
            }
            Err(error) => crate::scheduler::fail(format!("ancestor {older} of {version}: {error}")),
        }
        Ok(())
    }

    fn follow(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        let synced = engine.synced_version();
        let mut feed = engine.feed(random.random_range(0..=synced + 1));
        let mut read = None;
        for _ in 0..random.random_range(1..10) {
            let wanted = feed.next_version();
            let entry = match feed.try_next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(FeedError::Gap { oldest, .. }) => {
                    ensure!(oldest > wanted, "version {wanted} is there, and is a gap");
                    feed = engine.feed(oldest);
                    continue;
                }
                Err(_) if self.life.may_fail => return Ok(()),
                Err(error) => crate::scheduler::fail(format!("the feed at {wanted}: {error}")),
            };
            ensure!(entry.record.version == wanted, "the feed skips {wanted}");
            self.life.world.truth.borrow_mut().follow(&entry.record);
            read = Some(wanted);
        }
        // A planned panic of the disk would come out of this call.
        let read = read.filter(|_| !self.life.may_fail);
        match read.map(|version| engine.set_cursor("follower", version)) {
            Some(Err(CursorError::Behind { .. }) | Ok(())) | None => {}
            Some(Err(error)) => crate::scheduler::fail(format!("the cursor: {error}")),
        }
        Ok(())
    }

    fn evidence(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let last = self.life.world.truth.borrow().last();
        if last == 0 {
            return Ok(());
        }
        let sequence = random.random_range(1..=last);
        let evidence = match self.life.engine.evidence(sequence) {
            Ok(evidence) => evidence,
            Err(EvidenceError::NotYet { last, .. }) => {
                ensure!(sequence > last, "submission {sequence} is durable");
                return Ok(());
            }
            Err(EvidenceError::Expired { .. } | EvidenceError::NotInLog { .. }) => return Ok(()),
            Err(EvidenceError::Past(error)) => return self.past_failed(0, &error),
            Err(error) => crate::scheduler::fail(format!("no evidence: {error}: {error:?}")),
        };
        let truth = self.life.world.truth.borrow();
        let version = evidence.record.version;
        let commit_id = truth
            .commit_id(version)
            .unwrap_or(evidence.record.commit_id());
        let verified = evidence.verify(&truth.provisional_root(sequence), &commit_id);
        let same = verified
            .as_ref()
            .is_ok_and(|verified| verified.sequence == sequence);
        ensure!(
            same,
            "the evidence of {sequence} in {version} does not hold: {verified:?}"
        );
        Ok(())
    }

    // The engine.

    fn drain(&self) -> Result<(), Ended> {
        let before = self.life.world.truth.borrow().last();
        let drained = self.life.engine.drain_blocking();
        drained.map_err(|failure| self.ended(&failure))?;
        self.life.world.truth.borrow_mut().drained(before);
        let snapshot = self.life.engine.snapshot();
        let last = self.life.world.truth.borrow_mut().see(&snapshot);
        ensure!(
            last >= before,
            "drained up to {before}, and the newest version ends with {last}"
        );
        Ok(())
    }

    fn reload(&self, random: &mut SmallRng) -> Result<(), Ended> {
        let engine = &self.life.engine;
        let config = reloaded(&engine.config(), random.random());
        let versions = config.versions.clone();
        let mut refused = config.clone();
        refused.workers.threads += 1;
        let refusal = engine.reload(refused);
        ensure!(refusal.is_err(), "a setting changed that cannot");
        match engine.reload(config) {
            Ok(()) => {
                let limits = &mut *self.life.limits.borrow_mut();
                limits.retain = limits.retain.min(versions.retain_versions);
                let behind_max = versions.snapshot_versions_behind_max;
                limits.behind_max = limits.behind_max.min(behind_max);
                limits.bytes_max = limits.bytes_max.min(versions.retained_bytes_max);
                Ok(())
            }
            Err(ReloadError::Engine(failure)) => Err(self.ended(&failure)),
            Err(error) => crate::scheduler::fail(format!("a reload is refused: {error}")),
        }
    }
}

/// Waits for a future for a time; drops it then.
pub(crate) fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let scheduler = crate::scheduler::current();
    wait_for(&*scheduler, future, Some(clock::now() + limit))
}

/// Returns the KZG root of a state, computed from nothing.
fn commitment(digests: &[[u8; 32]]) -> [u8; 48] {
    use std::sync::OnceLock;
    static COMMITTER: OnceLock<Committer> = OnceLock::new();
    let committer = COMMITTER.get_or_init(|| {
        let setup = Setup::ceremony().expect("the setup is sound");
        Committer::new(&setup)
    });
    let values = std::array::from_fn(|slot| slot_value(&digests[slot]));
    committer.commit(&values).to_bytes().0
}

pub(crate) fn shown(key: &[u8]) -> String {
    format!("key {}", key.escape_ascii())
}
