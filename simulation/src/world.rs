//! A world: a machine, the engines that live on it one after the other, their callers, and the truth.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::config::{DurabilityMode, StoreKind};
use trunkline::core::store::disk::ReadFileError;
use trunkline::core::store::history_file::HistoryFileError;
use trunkline::core::store::log::{OpenLogError, ReadLogError};
use trunkline::core::store::manifest::ReadManifestError;
use trunkline::core::store::tree_file::ReadTreeFileError;
use trunkline::testing::StageFault;
use trunkline::{Engine, EngineBuilder, EngineFailure, OpenError, Receipt};
use trunkline_actors::runtime::simulated::Scheduler as _;
use trunkline_actors::runtime::wait::{Signal, block_on};

use crate::caller::{Caller, within};
use crate::machine::{Machine, Power, What, sleep};
use crate::plan::{Ending, Opening, Plan, Planned, Round, Trouble};
use crate::scheduler::{Simulation, WORLD};
use crate::truth::Truth;
use crate::{Counts, ensure};

/// The number of times, and the interval, at which the end of an engine's tasks is checked.
const LOOKS_MAX: u32 = 10_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The allowed delay of a sync after its interval: for turns of other tasks, and for earlier syncs.
const SYNC_SLACK: Duration = Duration::from_millis(100);
const SYNCS_SLACK: u32 = 20;

/// The state that the tasks of a world share.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) machine: Machine,
    pub(crate) truth: RefCell<Truth>,
    pub(crate) counts: RefCell<Counts>,
}

/// An engine with the known facts about it.
pub(crate) struct Life {
    pub(crate) world: Rc<World>,
    pub(crate) engine: Engine,
    pub(crate) power: Arc<Power>,
    /// True if a fault was planned, so that the engine may fail.
    pub(crate) may_fail: bool,
    pub(crate) may_panic: bool,
    /// The version after opening.
    pub(crate) opened_at: u64,
    /// The smallest limits that were in force.
    pub(crate) limits: RefCell<Limits>,
    /// The receipts that were kept.
    pub(crate) receipts: RefCell<Vec<Receipt>>,
    /// True if a task shuts the engine down.
    pub(crate) is_closing: Cell<bool>,
}

/// An opened engine.
struct Opened<'a> {
    engine: Engine,
    power: Arc<Power>,
    /// The faults that may still occur.
    faults: &'a [Planned],
    /// True if power was lost since the engine before it ended.
    lost_power: bool,
}

/// The smallest limits of kept versions since an engine was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) retain: u64,
    pub(crate) behind_max: u64,
    pub(crate) bytes_max: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, simulation: Rc<Simulation>) -> Rc<Self> {
        Rc::new(Self {
            machine: Machine::new(plan.seed),
            truth: RefCell::new(Truth::new(plan.config.tree.params([0; 16]))),
            counts: RefCell::default(),
            plan,
            simulation,
        })
    }

    /// Lives all rounds of the plan. The first task of the simulation.
    pub(crate) fn live(self: &Rc<Self>) {
        let mut lost_power = true;
        for round in &self.plan.rounds {
            lost_power = self.round(round, lost_power);
        }
        // In any case, the next engine opens and works.
        let engine = self.open(Opening::Blocking, &[], &Power::on(0));
        let engine = engine.unwrap_or_else(unopened);
        self.reopened(&engine, lost_power);
        let receipt = engine.put_blocking("last", "words");
        let durable = receipt.and_then(|receipt| Ok(receipt.durable_blocking()?));
        ensure!(durable.is_ok(), "the last engine fails: {durable:?}");
        let closed = engine.shutdown_blocking();
        ensure!(
            closed.is_ok(),
            "the last engine does not shut down: {closed:?}"
        );
        drop(engine);
        self.check_no_task_is_left();
    }

    /// Lives one round. Returns whether power was lost at its end.
    fn round(self: &Rc<Self>, round: &Round, lost_power: bool) -> bool {
        let mut random = SmallRng::seed_from_u64(round.seed);
        let opened = self.open_somehow(round, lost_power, &mut random);
        let opened_at = self.reopened(&opened.engine, opened.lost_power);
        let life = self.life(opened, round, opened_at);
        self.inject(&round.faults, &life.power);
        life.work(round);
        self.simulation.fail_spawn_after(None);
        self.check_no_task_is_left();
        self.truth.borrow_mut().check_versions();
        self.end_process(round.loses_power, random.random())
    }

    /// Opens an engine. Attempts with faults may fail; the last attempt has none.
    fn open_somehow<'a>(
        &self,
        round: &'a Round,
        mut lost_power: bool,
        random: &mut SmallRng,
    ) -> Opened<'a> {
        let sync_us_max = self.plan.shape.sync_us_max;
        if let Opening::GivenUp(limit) = round.opening {
            self.give_opening_up(limit, sync_us_max);
        }
        let attempts = round.openings.iter().map(Vec::as_slice);
        for faults in attempts.chain([&[][..]]) {
            let power = Power::on(sync_us_max);
            let error = match self.open(round.opening, faults, &power) {
                Ok(engine) => {
                    self.simulation.fail_spawn_after(None);
                    return Opened {
                        engine,
                        power,
                        faults,
                        lost_power,
                    };
                }
                Err(error) => error,
            };
            self.simulation.note(|| format!("opening failed: {error}"));
            let is_expected = match &error {
                OpenError::Panic(message) => panics(faults) && asked_for(message),
                error => !faults.is_empty() && is_fault_of_the_machine(error),
            };
            ensure!(is_expected, "the engine does not open: {error}: {error:?}");
            self.counts.borrow_mut().openings_failed += 1;
            self.check_no_task_is_left();
            lost_power |= self.end_process(round.loses_power, random.random());
        }
        crate::scheduler::fail("an attempt without faults opens or fails".to_owned())
    }

    fn life(self: &Rc<Self>, opened: Opened<'_>, round: &Round, opened_at: u64) -> Rc<Life> {
        let dark = matches!(round.ending, Ending::PowerOff | Ending::PowerOffAfter(_));
        let (faults, versions) = (opened.faults, &self.plan.config.versions);
        Rc::new(Life {
            world: self.clone(),
            engine: opened.engine,
            power: opened.power,
            may_fail: dark || !round.faults.is_empty() || !faults.is_empty(),
            may_panic: panics(&round.faults) || panics(faults),
            opened_at,
            limits: RefCell::new(Limits {
                retain: versions.retain_versions,
                behind_max: versions.snapshot_versions_behind_max,
                bytes_max: versions.retained_bytes_max,
            }),
            receipts: RefCell::default(),
            is_closing: Cell::new(false),
        })
    }

    /// Opens an engine, with faults from its opening on.
    fn open(
        &self,
        opening: Opening,
        faults: &[Planned],
        power: &Arc<Power>,
    ) -> Result<Engine, OpenError> {
        self.counts.borrow_mut().openings += 1;
        let mut builder = self.builder(power);
        for planned in faults {
            if let Trouble::Stage(stage, after, fault) = planned.fault {
                builder = builder.fail_stage(stage, after, fault);
            }
        }
        self.inject(faults, power);
        match opening {
            Opening::Async => block_on(builder.open()),
            Opening::Blocking | Opening::GivenUp(_) => builder.open_blocking(),
        }
    }

    fn builder(&self, power: &Arc<Power>) -> EngineBuilder {
        let builder = Engine::builder(self.plan.config.clone()).disk(self.machine.disk(power));
        match self.plan.config.store.kind {
            StoreKind::Fjall => builder
                .leaf_store(self.machine.leaves(power))
                .past_store(self.machine.past(power)),
            StoreKind::Log => builder,
        }
    }

    /// Begins to open an engine, and gives up after a time. If it opens later, it shuts itself down.
    fn give_opening_up(&self, limit: Duration, sync_us_max: u64) {
        self.counts.borrow_mut().openings += 1;
        let power = Power::on(sync_us_max);
        let opened = within(limit, self.builder(&power).open());
        if let Some(Err(error)) = &opened {
            crate::scheduler::fail(format!("the engine does not open: {error}: {error:?}"));
        }
        drop(opened);
        self.check_no_task_is_left();
    }

    fn inject(&self, faults: &[Planned], power: &Power) {
        for planned in faults {
            match planned.fault {
                Trouble::Disk(fault) => self.machine.disk.inject(fault),
                Trouble::Leaves(after) => self.machine.leaves.fail_after(after),
                Trouble::Threads(after) => self.simulation.fail_spawn_after(Some(after)),
                Trouble::Mishap(mishap) => power.add(mishap),
                Trouble::Stage(..) => {}
            }
        }
    }

    /// Ends the process that used the machine, and perhaps its power. Returns whether power was lost.
    fn end_process(&self, loses_power: bool, seed: u64) -> bool {
        self.simulation.fail_spawn_after(None);
        let machine = &self.machine;
        machine.disk.clear_faults();
        // A leaf store that failed must be opened again, which loses its unsynced changes.
        machine.leaves.crash(seed);
        machine.past.crash(seed);
        if loses_power {
            self.counts.borrow_mut().power_losses += 1;
            machine.disk.crash(seed);
        }
        self.simulation
            .note(|| format!("the process ended, power lost: {loses_power}"));
        loses_power
    }

    /// Checks the state of a reopened engine. Returns its version.
    fn reopened(&self, engine: &Engine, lost_power: bool) -> u64 {
        let snapshot = engine.snapshot();
        self.simulation
            .note(|| format!("opened at version {}", snapshot.version()));
        let recovery = engine.recovery();
        let mut truth = self.truth.borrow_mut();
        truth.is_tree(engine.params());
        let before = truth.last();
        truth.reopened(&snapshot, recovery.open_epoch, lost_power);
        let counts = &mut *self.counts.borrow_mut();
        counts.batches_lost += before - truth.last();
        counts.logs_repaired += u64::from(recovery.survey.torn_bytes > 0);
        snapshot.version()
    }

    /// Adds the engine's own counts.
    fn count(&self, life: &Life) {
        let (metrics, counts) = (life.engine.metrics(), &mut *self.counts.borrow_mut());
        counts.engines_failed += u64::from(metrics.failed);
        counts.versions += life.engine.snapshot().version() - life.opened_at;
        counts.refused += metrics.refused;
        counts.displaced += metrics.displaced;
        counts.checkpoints += metrics.checkpoints;
        counts.commits_held_back += metrics.held_back_us.count;
        counts.pages_evicted += metrics.pages_evicted;
        counts.pages_restored += metrics.pages_restored;
        counts.store_reads += metrics.store_reads;
        counts.cache_hits += metrics.cache_hits;
        counts.keys_proven += metrics.keys_proven;
        counts.decisions += metrics.decisions;
    }

    /// Checks that an engine which has ended left no task behind.
    fn check_no_task_is_left(&self) {
        for _ in 0..LOOKS_MAX {
            if self.simulation.engine_tasks().is_empty() {
                return;
            }
            sleep(LOOK_INTERVAL);
        }
        let left = self.simulation.engine_tasks();
        ensure!(left.is_empty(), "tasks of an engine are left: {left:?}");
    }

    /// Starts a task of the world.
    fn start(&self, name: &str, work: impl FnOnce() + 'static) {
        let started = self
            .simulation
            .spawn(&format!("{WORLD}{name}"), Box::new(work));
        ensure!(started.is_ok(), "tasks of the world always start");
    }
}

/// Returns whether a planned fault panics.
fn panics(faults: &[Planned]) -> bool {
    faults.iter().any(|planned| match planned.fault {
        Trouble::Stage(_, _, fault) => fault == StageFault::Panic,
        Trouble::Mishap(mishap) => matches!(mishap.what, What::Panic(_)),
        _ => false,
    })
}

/// Returns whether a panic has the message of a planned one.
fn asked_for(message: &str) -> bool {
    message == "a panic that a test asked for"
}

fn unopened(error: OpenError) -> Engine {
    crate::scheduler::fail(format!("the engine does not open: {error}: {error:?}"))
}

impl Life {
    /// Lets the callers work, and ends the engine.
    fn work(self: Rc<Self>, round: &Round) {
        let working = Arc::new(Signal::<usize>::default());
        working.update(|count| *count = round.callers.len());
        for (number, steps) in round.callers.iter().enumerate() {
            let (life, steps, working) = (self.clone(), steps.clone(), working.clone());
            self.world.start(&format!("caller {number}"), move || {
                Caller::new(life).work(&steps);
                working.update(|count| *count -= 1);
            });
        }
        match round.ending {
            Ending::ShutdownAfter(time) => {
                sleep(time);
                self.is_closing.set(true);
                if round.seed.is_multiple_of(2) {
                    // Two shut down at once: both wait for the same end.
                    let (life, working) = (self.clone(), working.clone());
                    working.update(|count| *count += 1);
                    self.world.start("closer", move || {
                        life.shut_down();
                        drop(life);
                        working.update(|count| *count -= 1);
                    });
                }
                self.shut_down();
            }
            Ending::PowerOffAfter(time) => {
                sleep(time);
                self.world.simulation.note(|| "power off".to_owned());
                self.check_interval();
                self.power.switch_off();
            }
            _ => {}
        }
        working.wait_for(|count| (*count == 0).then_some(()));
        match round.ending {
            Ending::PowerOff => {
                self.check_interval();
                self.power.switch_off();
            }
            Ending::Shutdown => {
                self.check_at_rest();
                self.shut_down();
            }
            _ => {}
        }
        self.end();
    }

    /// Drops the last handle, which ends the engine if it has not ended before, and checks all receipts.
    fn end(self: Rc<Self>) {
        let world = self.world.clone();
        let Some(life) = Rc::into_inner(self) else {
            crate::scheduler::fail("callers are done and hold the engine".to_owned());
        };
        let (mut receipts, may_fail) = (life.receipts.take(), life.may_fail);
        // Repeats have the receipts of earlier submissions.
        receipts.sort_by_key(Receipt::sequence);
        world.count(&life);
        drop(life.engine);
        let mut lost = None;
        let ended_at = world.simulation.elapsed();
        for receipt in &receipts {
            let sequence = receipt.sequence();
            if let Ok(hashed) = receipt.hashed_blocking() {
                world.truth.borrow_mut().hashed(sequence, &hashed);
            }
            let _ = receipt.root_ready_blocking();
            match (receipt.durable_blocking(), receipt.durable_blocking()) {
                (Ok(durable), Ok(again)) => {
                    // A repeat may be reported before the first submission is.
                    ensure!(
                        lost.is_none_or(|lost| lost == sequence),
                        "submission {sequence} is durable, an earlier one is lost"
                    );
                    ensure!(durable == again, "the receipt of {sequence} has two ends");
                    world
                        .truth
                        .borrow_mut()
                        .durable(sequence, &durable, ended_at);
                }
                (Err(failure), Err(_)) => {
                    ensure!(
                        may_fail,
                        "submission {sequence} fails without a fault: {failure}"
                    );
                    lost.get_or_insert(sequence);
                }
                ends => {
                    crate::scheduler::fail(format!("receipt {sequence} has two ends: {ends:?}"))
                }
            }
        }
        if !may_fail {
            let mut truth = world.truth.borrow_mut();
            let last = truth.last();
            truth.drained(last);
        }
    }

    /// Records a failure of the engine, if it may have failed.
    pub(crate) fn check_failure(&self, failure: &EngineFailure) {
        let closing = matches!(failure, EngineFailure::Closed);
        if closing {
            ensure!(self.is_closing.get(), "the engine says it was shut down");
            return;
        }
        ensure!(
            self.may_fail,
            "the engine fails without a fault: {failure}: {failure:?}"
        );
        if let EngineFailure::Panic { message, .. } | EngineFailure::Thread { message, .. } =
            failure
        {
            let asked_for = asked_for(message);
            let place = crate::scheduler::last_panic();
            ensure!(
                self.may_panic && asked_for,
                "a thread panicked at {place}: {failure}"
            );
        }
        let known = self.engine.failure().map(|known| known.to_string());
        let told = Some(failure.to_string());
        ensure!(
            known == told,
            "the engine failed with {known:?}, and says {told:?}"
        );
    }

    /// In durability mode `interval`, records that everything acknowledged an interval ago is synced by now. The
    /// interval may be longer by the time that the disk takes.
    fn check_interval(&self) {
        let (world, plan) = (&self.world, &self.world.plan);
        if plan.config.durability.mode == DurabilityMode::Interval
            && self.engine.failure().is_none()
        {
            let interval = Duration::from_millis(plan.config.durability.interval_ms);
            let slack = SYNC_SLACK + Duration::from_micros(plan.shape.sync_us_max) * SYNCS_SLACK;
            let now = world.simulation.elapsed();
            let time = now.saturating_sub(interval + slack);
            world.truth.borrow_mut().synced_before(time);
        }
    }

    pub(crate) fn shut_down(&self) {
        self.is_closing.set(true);
        let before = self.world.truth.borrow().last();
        match self.engine.shutdown_blocking() {
            Ok(()) => {
                let mut truth = self.world.truth.borrow_mut();
                let last = truth.last();
                ensure!(last >= before, "submissions are never taken back");
                truth.drained(last);
            }
            Err(failure) => self.check_failure(&failure),
        }
    }

    /// Checks that the latest state, the newest durable version and the model agree when nothing is in progress.
    fn check_at_rest(&self) {
        if self.engine.drain_blocking().is_err() {
            return;
        }
        let last = {
            let mut truth = self.world.truth.borrow_mut();
            let last = truth.last();
            truth.drained(last);
            last
        };
        let snapshot = self.engine.snapshot();
        let seen = self.world.truth.borrow_mut().see(&snapshot);
        let metrics = self.engine.metrics();
        let waiting = (metrics.groups_in_flight, metrics.operations_waiting);
        ensure!(
            waiting == (0, 0),
            "drained, and {waiting:?} groups and operations are left"
        );
        ensure!(
            seen == last,
            "drained at submission {last}, and version {} ends with {seen}",
            snapshot.version()
        );
    }
}

/// Returns whether an error of opening comes from the machine; no fault may look like damage.
fn is_fault_of_the_machine(error: &OpenError) -> bool {
    match error {
        OpenError::Directory { .. }
        | OpenError::LogWrite(_)
        | OpenError::Leaves(_)
        | OpenError::Thread(_)
        | OpenError::TreeFile(ReadTreeFileError::Io { .. })
        | OpenError::Manifest(ReadManifestError::Io { .. })
        | OpenError::ReplicaFile(ReadFileError::Io { .. })
        | OpenError::KeyOrder(ReadFileError::Io { .. })
        | OpenError::Pages(ReadFileError::Io { .. })
        | OpenError::Cursors(ReadFileError::Io { .. })
        | OpenError::History(HistoryFileError::Io { .. }) => true,
        OpenError::Log(error) => matches!(
            **error,
            OpenLogError::Write { .. } | OpenLogError::Log(ReadLogError::Io { .. })
        ),
        _ => false,
    }
}
