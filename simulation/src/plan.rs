//! Plans: the actions of a world, as data derived from a seed.
//!
//! Each step and each fault has a number. A failing plan is shrunk by leaving out numbers; the rest stays the same,
//! since everything has a seed of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::config::{Config, ControlMode, DurabilityMode, KzgMode, StoreKind};
use trunkline::core::params::CollisionPolicy;
use trunkline::core::store::simulated::{DiskCall, Failure, Fault};
use trunkline::testing::StageFault;
use trunkline::{Config as EngineConfig, Stage};

use crate::machine::{Mishap, What};
use crate::scheduler::Schedule;

/// The actions of a world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) schedule: Schedule,
    pub(crate) config: Config,
    pub(crate) shape: Shape,
    pub(crate) rounds: Vec<Round>,
    /// Steps and faults of the whole plan, left out or not.
    pub(crate) numbers: u32,
}

/// The properties of batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The number of keys.
    pub(crate) keys: u64,
    /// True if the first keys share paths in pairs.
    pub(crate) colliding: bool,
    pub(crate) writes_max: u64,
    pub(crate) value_bytes_max: usize,
    /// One batch in this many has requirements; 0 for none.
    pub(crate) requirements: u32,
    /// One batch in this many has very many writes, which change nothing; 0 for none.
    pub(crate) large: u32,
    /// The longest time that a sync takes, microseconds.
    pub(crate) sync_us_max: u64,
}

/// The life of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Faults while the engine is opened, one set for each attempt; the attempt after them has none.
    pub(crate) openings: Vec<Vec<Planned>>,
    /// Faults while it runs.
    pub(crate) faults: Vec<Planned>,
    /// The steps of each caller.
    pub(crate) callers: Vec<Vec<Step>>,
    /// The way in which the engine is opened.
    pub(crate) opening: Opening,
    pub(crate) ending: Ending,
    /// True if the machine loses power after the end, instead of only the process ending.
    pub(crate) loses_power: bool,
    pub(crate) seed: u64,
}

/// A fault with its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) number: u32,
    pub(crate) fault: Trouble,
}

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// A call of the disk fails.
    Disk(Fault),
    /// The leaf store fails after this many calls.
    Leaves(u64),
    /// A stage fails after this many messages.
    Stage(Stage, u64, StageFault),
    /// No thread can be started after this many.
    Threads(u64),
    /// The power goes off, a read fails, or a call panics.
    Mishap(Mishap),
}

/// A call that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A call of the disk.
    Disk(DiskCall),
    /// An ingestion of leaves.
    Ingest,
    /// A sync of the leaf store.
    SyncLeaves,
}

/// The way in which an engine is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    /// On the caller's thread.
    Blocking,
    /// On a thread of its own.
    Async,
    /// First on a thread of its own by a caller who gives up after this time, then again.
    GivenUp(Duration),
}

/// The way in which an engine ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// It is shut down when all callers are done.
    Shutdown,
    /// It is shut down while callers work, after this time.
    ShutdownAfter(Duration),
    /// Its last handle is dropped.
    Drop,
    /// The power goes off when all callers are done.
    PowerOff,
    /// The power goes off after this time.
    PowerOffAfter(Duration),
}

/// A step of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) seed: u64,
    pub(crate) action: Action,
}

/// The action of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Submits a batch, and waits for one of its states.
    Submit(Await),
    /// Submits, for this long at most.
    SubmitWithin(Duration),
    /// Submits if there is room.
    TrySubmit,
    /// Submits a batch again whose idempotency key was used before, unchanged or changed, and waits for a state of it.
    Repeat(Await),
    /// Reverts to some version, and waits for a state of the revert.
    Revert(Await),
    /// Changes a fork and a fork of it, perhaps commits one of them, and waits for a state of the commit.
    Fork(Await),
    /// Reads a key of the latest state.
    Get,
    /// Asks whether a key has a value.
    Contains,
    /// Reads several keys.
    MultiGet,
    /// Reads some keys of the newest durable version.
    ReadDurable,
    /// Compares the whole newest durable version.
    Walk,
    /// Compares a range of it in byte order.
    Range,
    /// Takes a snapshot and holds it.
    Hold,
    /// Reads through a snapshot that was held, and perhaps drops it.
    ReadHeld,
    /// Takes a snapshot of an older version.
    SnapshotAt,
    /// Reads or proves any version that there ever was, and perhaps holds it.
    ReadPast,
    /// Proves some keys, by hashes.
    Prove,
    /// Proves some keys, by KZG.
    ProveKzg,
    /// Proves some keys at two versions, and the connection between both roots of one.
    ProveVersions,
    /// Proves an older version from a newer one.
    History,
    /// Takes evidence of a submission.
    Evidence,
    /// Reads some versions in the feed, and perhaps sets a cursor there.
    Follow,
    /// Waits for a state of an earlier submission.
    AwaitEarlier(Await),
    /// Waits until everything is durable.
    Drain,
    /// Reloads other settings.
    Reload,
    /// Lets time pass.
    Sleep(Duration),
}

/// The state that a caller waits for after a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Await {
    Nothing,
    Hashed,
    RootReady,
    Durable,
    /// Durable, for a short time at most.
    DurableWithin(Duration),
    /// Drops the receipt.
    Dropped,
}

struct Draw {
    random: SmallRng,
    numbers: u32,
}

impl Plan {
    /// Returns the plan of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut draw = Draw {
            random: SmallRng::seed_from_u64(seed),
            numbers: 0,
        };
        let shape = draw.shape();
        let config = draw.config(&shape);
        let schedule = Schedule {
            seed: draw.random.random(),
            weight_max: draw.pick(&[1, 2, 4, 8]),
            step_max: Duration::from_micros(draw.pick(&[0, 2, 20, 20, 200])),
        };
        let rounds = draw.below(2..5);
        // A few worlds run for long without a fault.
        let is_calm = draw.one_in(6);
        let rounds = (0..rounds).map(|_| draw.round(is_calm)).collect();
        Self {
            seed,
            schedule,
            config,
            shape,
            rounds,
            numbers: draw.numbers,
        }
    }

    /// Leaves steps and faults out.
    pub(crate) fn without(mut self, left_out: &BTreeSet<u32>) -> Self {
        let stays = |number: u32| !left_out.contains(&number);
        for round in &mut self.rounds {
            let openings = round.openings.iter_mut();
            for faults in openings.chain([&mut round.faults]) {
                faults.retain(|fault| stays(fault.number));
            }
            for steps in &mut round.callers {
                steps.retain(|step| stays(step.number));
            }
            round.openings.retain(|faults| !faults.is_empty());
            round.callers.retain(|steps| !steps.is_empty());
        }
        // The rounds at the end that have no effect any more.
        while self.rounds.len() > 1 && self.rounds.last().is_some_and(Round::is_empty) {
            self.rounds.pop();
        }
        self
    }
}

impl Round {
    fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.faults.is_empty() && self.openings.is_empty()
    }
}

impl Draw {
    fn below(&mut self, range: Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_ratio(1, count)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.below(range))
    }

    fn shape(&mut self) -> Shape {
        let keys = self.pick(&[3, 8, 20, 40, 120]);
        Shape {
            keys,
            colliding: self.one_in(3),
            writes_max: match keys {
                120 => self.pick(&[4, 100]),
                _ => self.below(1..7),
            },
            value_bytes_max: self.pick(&[0, 10, 60, 200, 700]),
            requirements: self.pick(&[0, 0, 5, 2]),
            large: self.pick(&[0, 0, 0, 0, 0, 10]),
            sync_us_max: self.pick(&[0, 100, 1_000, 10_000]),
        }
    }

    fn config(&mut self, shape: &Shape) -> EngineConfig {
        let mut config = Config::in_directory("tree");
        let policies = [
            CollisionPolicy::Bucket,
            CollisionPolicy::Overwrite,
            CollisionPolicy::Reject,
        ];
        config.tree.collision = self.pick(&policies);
        if !shape.colliding && self.one_in(3) {
            config.tree.salt = Some([7; 32]);
        }
        config.workers.threads = 2;
        config.workers.read_threads = 2;
        config.workers.tree_parallelism = self.below(1..4) as usize;
        config.workers.hash_parallelism = self.below(1..4) as usize;
        config.kzg.mode = self.pick(&[
            KzgMode::OnDemand,
            KzgMode::OnDemand,
            KzgMode::Coalesce,
            KzgMode::Eager,
        ]);
        config.kzg.coalesce_versions_max = self.below(1..8);
        config.durability.mode = self.pick(&[
            DurabilityMode::Sync,
            DurabilityMode::Sync,
            DurabilityMode::Sync,
            DurabilityMode::Sync,
            DurabilityMode::Interval,
            DurabilityMode::Os,
        ]);
        config.durability.interval_ms = self.below(1..30);
        config.log.segment_bytes_max = self.below(4096..20_000);
        config.submit.idempotency_keys_max = self.pick(&[1, 3, 100_000, 100_000]);
        config.store.kind = self.pick(&[StoreKind::Fjall, StoreKind::Fjall, StoreKind::Log]);
        config.store.key_order = self.one_in(2);
        if config.store.kind == StoreKind::Fjall {
            config.memory.budget_bytes = self.pick(&[0, 1, 1, 4_096]);
            config.versions.archive = self.pick(&[true, true, false]);
            config.versions.archive_versions_max = self.pick(&[0, 0, 5, 40]);
        }
        self.reloadable(&mut config);
        if config.memory.budget_bytes > 0 && self.one_in(4) {
            config.memory.shared = true;
            config.memory.budget_bytes = 4 << 20;
            config.cache.value_bytes_max = 2 << 20;
        }
        config
    }

    /// Draws the settings that a running engine can reload.
    fn reloadable(&mut self, config: &mut Config) {
        config.submit.batch_operations_max = 1_000;
        config.submit.in_flight_operations_max = self.pick(&[1_000, 1_000, 3_000, 1_000_000]);
        config.group.operations_max = self.pick(&[1, 5, 30, 200, 20_000]);
        config.group.bytes_max = self.pick(&[1, 2_000, 32 << 20]);
        config.group.linger_ms = self.pick(&[0, 0, 0, 1, 5]);
        config.group.in_flight_max = self.below(1..6) as usize;
        config.checkpoint.bytes_max = self.pick(&[4_096, 4_096, 20_000, 1 << 20]);
        let bytes_max = config.checkpoint.bytes_max;
        config.checkpoint.unflushed_bytes_max = bytes_max + self.pick(&[0, 3_000, 60_000]);
        let values = self.pick(&[0, 500, 64 << 20]);
        // A shared budget needs both.
        config.cache.value_bytes_max = if config.memory.shared {
            2 << 20
        } else {
            values
        };
        config.versions.retain_versions = self.below(1..8);
        let retained = config.versions.retain_versions;
        config.versions.snapshot_versions_behind_max = retained + self.pick(&[0, 3, 20, 4_096]);
        config.versions.retained_bytes_max = self.pick(&[0, 3_000, 1 << 30, 1 << 30, 1 << 30]);
        let modes = [ControlMode::Fixed, ControlMode::Adaptive];
        (config.control.mode, config.control.workers) = (self.pick(&modes), self.pick(&modes));
        config.control.target_p99_ms = self.pick(&[1, 10, 250]);
        config.control.group_operations_min = self.pick(&[1, 16]);
        config.control.window_ms = self.pick(&[10, 10, 50, 500]);
    }

    fn round(&mut self, is_calm: bool) -> Round {
        let mut openings = Vec::new();
        if !is_calm && self.one_in(2) {
            openings = (0..self.below(1..3)).map(|_| self.troubles(12)).collect();
        }
        let faults = match is_calm || self.one_in(3) {
            true => Vec::new(),
            false => self.troubles(120),
        };
        let steps = self.pick(&[10, 30, 30, 60, 150]);
        let callers = (0..self.below(1..5)).map(|_| self.steps(steps)).collect();
        let ending = match self.below(0..8) {
            0 => Ending::ShutdownAfter(self.micros(0..30_000)),
            1 => Ending::Drop,
            2 => Ending::PowerOff,
            3 | 4 if !is_calm => Ending::PowerOffAfter(self.micros(0..60_000)),
            _ => Ending::Shutdown,
        };
        let opening = match self.below(0..6) {
            0 => Opening::GivenUp(self.micros(0..3_000)),
            1 | 2 => Opening::Async,
            _ => Opening::Blocking,
        };
        Round {
            opening,
            openings,
            faults,
            callers,
            ending,
            loses_power: self.random.random_ratio(2, 3),
            seed: self.random.random(),
        }
    }

    fn troubles(&mut self, calls: u64) -> Vec<Planned> {
        let count = self.pick(&[1, 1, 1, 2]);
        (0..count)
            .map(|_| Planned {
                number: self.number(),
                fault: self.trouble(calls),
            })
            .collect()
    }

    fn trouble(&mut self, calls: u64) -> Trouble {
        const KINDS: [DiskCall; 7] = [
            DiskCall::CreateDirectory,
            DiskCall::Create,
            DiskCall::Append,
            DiskCall::Sync,
            DiskCall::Rename,
            DiskCall::Remove,
            DiskCall::SyncDirectory,
        ];
        match self.below(0..12) {
            0 => Trouble::Leaves(self.below(0..8)),
            1 => {
                let fault = self.pick(&[StageFault::Panic, StageFault::Error]);
                Trouble::Stage(self.pick(&Stage::ALL), self.below(0..calls / 4), fault)
            }
            2 => Trouble::Threads(self.below(0..12)),
            3 | 4 => self.mishap(What::PowerOff(None), calls),
            5 => {
                // Calls of checkpoints and of trimming are rare.
                let rare = [
                    Call::Disk(DiskCall::Rename),
                    Call::Disk(DiskCall::Remove),
                    Call::Disk(DiskCall::SyncDirectory),
                    Call::Ingest,
                    Call::SyncLeaves,
                ];
                let rare = self.pick(&rare);
                self.mishap(What::PowerOff(Some(rare)), 6)
            }
            6 => self.mishap(What::Read, calls),
            7 => {
                let call = self.pick(&KINDS);
                let call = self.pick(&[Call::Disk(call), Call::Disk(call), Call::Ingest]);
                self.mishap(What::Panic(call), 12)
            }
            _ => {
                let call = self.random.random_bool(0.5).then(|| self.pick(&KINDS));
                let calls = call.map_or(calls, |_| calls / 4);
                Trouble::Disk(Fault {
                    call,
                    after: self.below(0..calls),
                    failure: self.pick(&[Failure::Error, Failure::NoSpace]),
                    lasting: self.one_in(3),
                })
            }
        }
    }

    fn mishap(&mut self, what: What, calls: u64) -> Trouble {
        let after = self.below(0..calls);
        Trouble::Mishap(Mishap { what, after })
    }

    fn steps(&mut self, count: u64) -> Vec<Step> {
        // Each caller has its own preferences.
        let submits = self.pick(&[2, 6, 12]);
        (0..count)
            .map(|_| Step {
                number: self.number(),
                seed: self.random.random(),
                action: self.action(submits),
            })
            .collect()
    }

    fn action(&mut self, submits: u64) -> Action {
        match self.below(0..10 + submits) {
            0 => self.pick(&[Action::Get, Action::Contains, Action::MultiGet]),
            1 => self.pick(&[
                Action::Get,
                Action::Walk,
                Action::Range,
                Action::ReadDurable,
            ]),
            2 => self.pick(&[Action::Hold, Action::ReadHeld]),
            3 => self.pick(&[Action::ReadHeld, Action::SnapshotAt, Action::ReadPast]),
            4 => self.pick(&[
                Action::Prove,
                Action::Prove,
                Action::Prove,
                Action::Prove,
                Action::Prove,
                Action::ProveKzg,
                Action::ProveVersions,
            ]),
            5 => self.pick(&[Action::History, Action::Evidence, Action::Follow]),
            6 => Action::AwaitEarlier(self.awaited()),
            7 => match self.below(0..5) {
                0 => Action::Drain,
                1 => Action::Reload,
                2 => Action::TrySubmit,
                3 => {
                    let awaited = self.awaited();
                    self.pick(&[Action::Revert(awaited), Action::Fork(awaited)])
                }
                _ => Action::Repeat(self.awaited()),
            },
            8 => Action::Sleep(self.micros(0..20_000)),
            9 => Action::SubmitWithin(self.micros(0..2_000)),
            _ => Action::Submit(self.awaited()),
        }
    }

    fn awaited(&mut self) -> Await {
        match self.below(0..20) {
            0 => Await::Hashed,
            1 => Await::RootReady,
            2 | 3 => Await::Durable,
            4 => Await::DurableWithin(self.micros(0..3_000)),
            5 => Await::Dropped,
            _ => Await::Nothing,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}\n{:?}", self.schedule, self.shape)?;
        for change in Config::default().changes(&self.config).unwrap_or_default() {
            writeln!(f, "{} = {}", change.key, change.to)?;
        }
        for round in &self.rounds {
            let (opening, ending) = (round.opening, round.ending);
            let loses_power = round.loses_power;
            writeln!(
                f,
                "an engine: {opening:?}, {ending:?}, loses power: {loses_power}"
            )?;
            for faults in &round.openings {
                writeln!(f, "  opened with {faults:?}")?;
            }
            writeln!(f, "  faults {:?}", round.faults)?;
            for (number, steps) in round.callers.iter().enumerate() {
                writeln!(f, "  caller {number}")?;
                for step in steps {
                    writeln!(f, "    {}: {:?}", step.number, step.action)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns settings that differ from others in what a running engine can reload.
pub(crate) fn reloaded(config: &Config, seed: u64) -> Config {
    let mut draw = Draw {
        random: SmallRng::seed_from_u64(seed),
        numbers: 0,
    };
    let mut config = config.clone();
    draw.reloadable(&mut config);
    config
}
