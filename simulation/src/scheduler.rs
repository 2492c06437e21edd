//! The scheduler: picks the next task by the seed, and keeps the virtual clock.
//!
//! The clock moves a little with each step, and to the next deadline when no task can run. If there is none either, or if
//! a task of the simulated world waits for very long, a wake-up was lost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline_actors::failure::panic_message;
use trunkline_actors::runtime::simulated::{self, Pause, Place, Scheduler};

use crate::coroutine::{Coroutine, Resumed, Suspender};

/// The virtual time after which a task of the world that waits without a deadline counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// The number of steps after which a world counts as endless.
const STEPS_MAX: u64 = 20_000_000;
/// The prefix of the names of the world's tasks; all others belong to the engine.
pub(crate) const WORLD: &str = "world ";

/// The parameters by which a scheduler picks tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The seed of all picks.
    pub(crate) seed: u64,
    /// The largest weight that a task may get when it starts; the smallest is 1.
    pub(crate) weight_max: u64,
    /// The longest time of a step.
    pub(crate) step_max: Duration,
}

/// A seeded scheduler.
pub(crate) struct Simulation {
    begun: Instant,
    schedule: Schedule,
    state: RefCell<State>,
}

struct State {
    random: SmallRng,
    now: Duration,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    running: Option<(u64, Suspender<Paused>)>,
    stacks: Vec<DefaultStack>,
    /// A number that grows when a task does more than poll in vain.
    progress: u64,
    steps: u64,
    /// The number of spawns that still succeed.
    spawns_left: Option<u64>,
    trace: Trace,
    failure: Option<String>,
}

struct Task {
    name: String,
    weight: u64,
    /// `None` while the task runs.
    coroutine: Option<Coroutine<Paused>>,
    paused: Paused,
    since: Duration,
}

/// The reason why a task does not run.
#[derive(Clone, Copy, Debug)]
enum Paused {
    Ready,
    Waits(Place, Option<Duration>, &'static str),
    /// It polls until the progress has changed.
    Polls(u64, Option<Duration>, &'static str),
    /// The simulation has failed in this task.
    Failed,
}

/// A hash over all events, and whether events are printed.
struct Trace {
    hash: u64,
    prints: bool,
}

impl Trace {
    fn add(&mut self, value: u64) {
        self.hash = (self.hash ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23);
    }
}

impl Simulation {
    /// Returns a simulation without tasks. With `prints`, events are printed as they happen.
    pub(crate) fn new(schedule: Schedule, prints: bool) -> Rc<Self> {
        Rc::new(Self {
            begun: Instant::now(),
            schedule,
            state: RefCell::new(State {
                random: SmallRng::seed_from_u64(schedule.seed),
                now: Duration::ZERO,
                tasks: BTreeMap::new(),
                next_task: 0,
                running: None,
                stacks: Vec::new(),
                progress: 0,
                steps: 0,
                spawns_left: None,
                trace: Trace { hash: 0, prints },
                failure: None,
            }),
        })
    }

    /// Runs `main` as the first task, and everything that it starts, until all tasks have ended.
    ///
    /// # Errors
    ///
    /// Fails with the failure of the simulation.
    pub(crate) fn run(self: &Rc<Self>, main: impl FnOnce() + 'static) -> Result<(), String> {
        simulated::enter(Some(self.clone()));
        CURRENT.set(Some(self.clone()));
        let started = self.spawn(&format!("{WORLD}main"), Box::new(main));
        started.map_err(|error| error.to_string())?;
        while self.failure().is_none() && self.step() {}
        let abandoned = std::mem::take(&mut self.state.borrow_mut().tasks);
        for coroutine in abandoned.into_values().filter_map(|task| task.coroutine) {
            coroutine.abandon();
        }
        simulated::enter(None);
        CURRENT.set(None);
        self.failure().map_or(Ok(()), Err)
    }

    fn failure(&self) -> Option<String> {
        self.state.borrow().failure.clone()
    }

    /// Returns the hash over all events.
    pub(crate) fn trace_hash(&self) -> u64 {
        self.state.borrow().trace.hash
    }

    /// Returns the number of steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.state.borrow().steps
    }

    /// Records an event.
    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        let state = &mut *self.state.borrow_mut();
        let event = event();
        let words = event.as_bytes().chunks(8);
        words.for_each(|word| {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            state.trace.add(u64::from_le_bytes(bytes));
        });
        if state.trace.prints {
            let name = state.running.as_ref().map(|(id, _)| &*state.tasks[id].name);
            let name = name.unwrap_or_default();
            println!("{:>12.6} {name}: {event}", state.now.as_secs_f64());
        }
    }

    /// Fails the simulation. Never returns: the task stays suspended.
    pub(crate) fn fail(&self, failure: String) -> ! {
        let running = {
            let state = &mut *self.state.borrow_mut();
            let running = state.running.clone();
            let name = running.as_ref().map(|(id, _)| state.tasks[id].name.clone());
            let at = state.now;
            state.failure.get_or_insert_with(|| {
                format!("{} at {at:?}: {failure}", name.unwrap_or_default())
            });
            running
        };
        loop {
            match &running {
                Some((_, suspender)) => suspender.suspend(Paused::Failed),
                None => panic!("{failure}"),
            }
        }
    }

    /// Makes the spawn of a thread fail after this many more; `None` stands for never.
    pub(crate) fn fail_spawn_after(&self, spawns: Option<u64>) {
        self.state.borrow_mut().spawns_left = spawns;
    }

    /// Returns the virtual time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.state.borrow().now
    }

    /// Returns the names of the engine's live tasks.
    pub(crate) fn engine_tasks(&self) -> Vec<String> {
        let state = self.state.borrow();
        let names = state.tasks.values().map(|task| task.name.clone());
        names.filter(|name| !name.starts_with(WORLD)).collect()
    }

    /// Resumes one task. Returns false if no task is left.
    fn step(self: &Rc<Self>) -> bool {
        let Some(id) = self.pick() else {
            return false;
        };
        let (coroutine, before) = {
            let state = &mut *self.state.borrow_mut();
            let task = state.tasks.get_mut(&id).expect("picked from the tasks");
            let coroutine = task.coroutine.take().expect("it does not run");
            let before = std::mem::replace(&mut task.paused, Paused::Ready);
            state.running = Some((id, coroutine.suspender()));
            (coroutine, before)
        };
        let (coroutine, resumed) = coroutine.resume();
        let state = &mut *self.state.borrow_mut();
        state.running = None;
        match resumed {
            Resumed::Ended(stack) => {
                state.stacks.push(stack);
                state.tasks.remove(&id);
                state.progress += 1;
            }
            Resumed::Suspended(paused) => {
                // Polling in vain does not count as progress.
                let in_vain = matches!((before, paused), (Paused::Polls(..), Paused::Polls(..)));
                state.progress += u64::from(!in_vain);
                let paused = match paused {
                    Paused::Polls(_, until, what) => Paused::Polls(state.progress, until, what),
                    paused => paused,
                };
                let task = state.tasks.get_mut(&id).expect("it lives");
                task.coroutine = coroutine;
                task.paused = paused;
                task.since = state.now;
            }
        }
        true
    }

    /// Picks the next task, and advances the clock if necessary.
    fn pick(&self) -> Option<u64> {
        let state = &mut *self.state.borrow_mut();
        state.steps += 1;
        if state.steps > STEPS_MAX {
            state.fail("the world does not end");
            return None;
        }
        let step_us_max = self.schedule.step_max.as_micros() as u64;
        if step_us_max > 0 {
            state.now += Duration::from_micros(state.random.random_range(0..=step_us_max));
        }
        loop {
            let total: u64 = state.runnable().map(|(_, task)| task.weight).sum();
            if total > 0 {
                let mut place = state.random.random_range(0..total);
                let mut runnable = state.tasks.iter();
                let (progress, now) = (state.progress, state.now);
                let picked = runnable.find(|(_, task)| {
                    if !task.can_run(progress, now) {
                        return false;
                    }
                    let found = place < task.weight;
                    place = place.saturating_sub(task.weight);
                    found
                });
                let id = picked.map(|(id, _)| *id)?;
                state.trace.add(id);
                state.trace.add(state.now.as_nanos() as u64);
                return Some(id);
            }
            if state.tasks.is_empty() {
                return None;
            }
            let deadlines = state.tasks.values().filter_map(|task| task.waits_for().1);
            match deadlines.min() {
                Some(next) => state.now = state.now.max(next),
                None => state.fail("no task can run, and none has a deadline"),
            }
            let now = state.now;
            let stuck = |task: &Task| task.is_stuck(now);
            if state.failure.is_none() && state.tasks.values().any(stuck) {
                state.fail("a task waits for very long");
            }
            if state.failure.is_some() {
                return None;
            }
        }
    }

    fn suspender(&self) -> Option<Suspender<Paused>> {
        let state = self.state.borrow();
        state
            .running
            .as_ref()
            .map(|(_, suspender)| suspender.clone())
    }
}

impl State {
    fn runnable(&self) -> impl Iterator<Item = (&u64, &Task)> {
        let (progress, now) = (self.progress, self.now);
        let tasks = self.tasks.iter();
        tasks.filter(move |(_, task)| task.can_run(progress, now))
    }

    fn fail(&mut self, what: &str) {
        let mut report = format!("at {:?}: {what}:", self.now);
        for task in self.tasks.values() {
            let (what, until) = task.waits_for();
            let _ = write!(
                report,
                "\n    {} waits for {what} since {:?}",
                task.name, task.since
            );
            if let Some(until) = until {
                let _ = write!(report, ", until {until:?}");
            }
        }
        self.failure.get_or_insert(report);
    }
}

impl Task {
    fn can_run(&self, progress: u64, now: Duration) -> bool {
        match self.paused {
            Paused::Ready => true,
            Paused::Waits(_, until, _) => until.is_some_and(|at| at <= now),
            Paused::Polls(seen, until, _) => seen != progress || until.is_some_and(|at| at <= now),
            Paused::Failed => false,
        }
    }

    fn waits_for(&self) -> (&'static str, Option<Duration>) {
        match self.paused {
            Paused::Waits(_, until, what) | Paused::Polls(_, until, what) => (what, until),
            Paused::Ready => ("its turn", None),
            Paused::Failed => ("nothing", None),
        }
    }

    fn is_stuck(&self, now: Duration) -> bool {
        let waits = matches!(self.paused, Paused::Waits(_, None, _));
        waits && self.name.starts_with(WORLD) && now > self.since + STUCK_AFTER
    }
}

impl Scheduler for Simulation {
    fn now(&self) -> Instant {
        self.begun + self.elapsed()
    }

    fn since_1970(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.elapsed()
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce()>) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        if !name.starts_with(WORLD)
            && let Some(left) = &mut state.spawns_left
        {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Err(io::Error::other("simulated lack of threads")),
            }
        }
        let coroutine = Coroutine::new(state.stacks.pop(), move || {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                let place = PANICKED.take();
                fail(format!("panic at {place}: {}", panic_message(&*payload)));
            }
        });
        let id = state.next_task;
        state.next_task += 1;
        let weight = state
            .random
            .random_range(1..=self.schedule.weight_max.max(1));
        state.tasks.insert(
            id,
            Task {
                name: name.to_owned(),
                weight: weight * weight,
                coroutine: Some(coroutine),
                paused: Paused::Ready,
                since: state.now,
            },
        );
        Ok(())
    }

    fn is_own(&self) -> bool {
        let state = self.state.borrow();
        let running = state
            .running
            .as_ref()
            .and_then(|(id, _)| state.tasks.get(id));
        running.is_some_and(|task| !task.name.starts_with(WORLD))
    }

    fn pause(&self, pause: Pause) {
        let Some(suspender) = self.suspender() else {
            return;
        };
        let at = |until: Option<Instant>| until.map(|at| at.saturating_duration_since(self.begun));
        suspender.suspend(match pause {
            // Unwinding goes through destructors that must not be interrupted.
            Pause::Yield if std::thread::panicking() => return,
            Pause::Yield => Paused::Ready,
            Pause::Wait { on, until, what } => Paused::Waits(on, at(until), what),
            Pause::Poll { until, what } => Paused::Polls(0, at(until), what),
        });
    }

    fn notify(&self, place: Place) {
        let state = &mut *self.state.borrow_mut();
        for task in state.tasks.values_mut() {
            if matches!(task.paused, Paused::Waits(on, ..) if on == place) {
                task.paused = Paused::Ready;
            }
        }
    }

    fn random(&self) -> u64 {
        self.state.borrow_mut().random.random()
    }
}

thread_local! {
    /// The location of the last panic.
    static PANICKED: RefCell<String> = const { RefCell::new(String::new()) };
    static CURRENT: RefCell<Option<Rc<Simulation>>> = const { RefCell::new(None) };
}

/// Returns the simulation that runs on this thread.
pub(crate) fn current() -> Rc<Simulation> {
    let current = CURRENT.with_borrow(Clone::clone);
    current.expect("a simulation runs on this thread")
}

/// Fails the simulation that runs on this thread. Never returns: the task stays suspended.
pub(crate) fn fail(failure: String) -> ! {
    current().fail(failure)
}

/// Keeps panics in simulations from being printed: stages panic on purpose there.
pub(crate) fn quieten_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            match CURRENT.with_borrow(Option::is_some) {
                true => PANICKED.set(
                    panic
                        .location()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ),
                false => print(panic),
            }
        }));
    });
}

/// Returns the location of the last panic on this thread.
pub(crate) fn last_panic() -> String {
    PANICKED.with_borrow(Clone::clone)
}
