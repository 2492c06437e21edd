//! Five stages with one server each, in virtual microseconds: groups are sealed as in `stage/ingest.rs`, syncs are
//! shared as in `stage/persist.rs`, and admission bounds the operations in flight. Runs are repeatable by their seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::Quantiles;
use trunkline_actors::adaptive::group_share;
use trunkline_actors::decisions::{Change, Latencies, Window};

use crate::scenario::{Phase, Scenario, Spell};

pub(crate) const WINDOW_US: u64 = 500_000;
/// The most submissions that wait for admission before others are turned away, if arrivals do not wait.
const DOOR_MAX: usize = 2_000;
const PERSIST: usize = 4;

/// The function that decides after each window.
pub(crate) type Decide<'a> = &'a mut dyn FnMut(&Window, &Latencies) -> Vec<Change>;

#[derive(Clone, Copy)]
struct Submission {
    operations: u32,
    accepted_us: u64,
}

struct Group {
    submissions: Vec<Submission>,
    operations: u64,
    sealed_us: u64,
    cap: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { phase: usize },
    Done { stage: usize },
    Synced,
    WindowEnd,
}

struct Simulator<'a> {
    scenario: &'a Scenario,
    random: SmallRng,
    now_us: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    phase: usize,
    phase_began_us: u64,
    stalls: Vec<(u64, u64)>,
    small_callers: u64,

    cap: u64,
    in_flight_max: u64,
    in_flight: u64,
    door: VecDeque<u32>,
    callers: u64,
    waiting: VecDeque<Submission>,
    waiting_operations: u64,
    sealed_operations: u64,
    groups_in_flight: u64,
    queues: [VecDeque<Group>; 5],
    busy: [bool; 5],
    appended: Vec<Group>,
    syncing: bool,

    window: Window,
    seal_wait: Histogram<u64>,
    durable: Histogram<u64>,
    under_cap: Latencies,
    group_sizes: Histogram<u64>,
    done: Vec<Window>,
}

/// Returns the windows of a whole scenario.
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    (cap, in_flight_max): (u64, u64),
    decide: Decide<'_>,
) -> Vec<Window> {
    let mut simulator = Simulator::new(scenario, seed, cap, in_flight_max);
    simulator.begin_phase();
    simulator.schedule(WINDOW_US, Event::WindowEnd);
    let windows: u64 = scenario.phase.iter().map(|phase| phase.windows).sum();
    while (simulator.done.len() as u64) < windows {
        simulator.step(decide);
    }
    simulator.done
}

/// Returns an empty histogram of three digits: the verdict is more precise than the controller's own measurements.
fn precise() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000_000, 3).unwrap()
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p95: histogram.value_at_quantile(0.95),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    }
}

impl<'a> Simulator<'a> {
    fn new(scenario: &'a Scenario, seed: u64, cap: u64, in_flight_max: u64) -> Self {
        Self {
            scenario,
            random: SmallRng::seed_from_u64(seed),
            now_us: 0,
            events: BinaryHeap::new(),
            order: 0,
            phase: 0,
            phase_began_us: 0,
            stalls: Vec::new(),
            small_callers: 0,
            cap,
            in_flight_max,
            in_flight: 0,
            door: VecDeque::new(),
            callers: 0,
            waiting: VecDeque::new(),
            waiting_operations: 0,
            sealed_operations: 0,
            groups_in_flight: 0,
            queues: Default::default(),
            busy: [false; 5],
            appended: Vec::new(),
            syncing: false,
            window: Window::default(),
            seal_wait: precise(),
            durable: precise(),
            under_cap: Latencies::default(),
            group_sizes: precise(),
            done: Vec::new(),
        }
    }

    fn schedule(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at_us, self.order, event)));
    }

    fn phase(&self) -> &'a Phase {
        &self.scenario.phase[self.phase]
    }

    fn begin_phase(&mut self) {
        let phase = self.phase();
        self.phase_began_us = self.now_us;
        let begin = |stall: &crate::scenario::Stall| {
            (self.now_us + stall.after_ms * 1000, stall.length_ms * 1000)
        };
        self.stalls = phase.stalls.iter().map(begin).collect();
        if phase.rate > 0.0 {
            let phase = self.phase;
            self.schedule(self.now_us, Event::Arrival { phase });
        }
        while self.callers < phase.callers {
            self.callers += 1;
            self.door.push_back(phase.submission);
        }
        while self.small_callers < phase.small_callers {
            self.small_callers += 1;
            self.door.push_back(1);
        }
        self.admit();
    }

    fn step(&mut self, decide: Decide<'_>) {
        let Some(Reverse((at_us, _, event))) = self.events.pop() else {
            return;
        };
        self.now_us = at_us;
        match event {
            Event::Arrival { phase } => self.arrive(phase),
            Event::Done { stage } => self.served(stage),
            Event::Synced => self.synced(),
            Event::WindowEnd => self.end_window(decide),
        }
    }

    fn arrive(&mut self, of: usize) {
        if of != self.phase {
            return;
        }
        let phase = self.phase();
        let since_us = self.now_us - self.phase_began_us;
        let part = since_us as f64 / (phase.windows * WINDOW_US) as f64;
        let mut rate = phase.rate + (phase.rate_end.unwrap_or(phase.rate) - phase.rate) * part;
        if let Some(burst) = &phase.burst
            && since_us / 1000 % burst.period_ms < burst.length_ms
        {
            rate *= burst.factor;
        }
        let mean_us = f64::from(phase.submission) * 1e6 / rate;
        let gap_us = -mean_us * (1.0 - self.random.random::<f64>()).ln();
        self.schedule(self.now_us + gap_us as u64, Event::Arrival { phase: of });
        if self.door.len() < DOOR_MAX {
            self.door.push_back(phase.submission);
        }
        self.admit();
    }

    fn admit(&mut self) {
        while let Some(&operations) = self.door.front() {
            let fits = self.in_flight + u64::from(operations) <= self.in_flight_max;
            if !fits && self.in_flight > 0 {
                break;
            }
            self.door.pop_front();
            self.in_flight += u64::from(operations);
            self.window.submissions += 1;
            self.window.operations_accepted += u64::from(operations);
            self.waiting_operations += u64::from(operations);
            self.waiting.push_back(Submission {
                operations,
                accepted_us: self.now_us,
            });
        }
        self.seal();
    }

    fn seal(&mut self) {
        let pipeline = &self.scenario.pipeline;
        while self.groups_in_flight < pipeline.groups_in_flight_max && !self.waiting.is_empty() {
            let mut group = Group {
                submissions: Vec::new(),
                operations: 0,
                sealed_us: self.now_us,
                cap: self.cap,
            };
            let inside = self.waiting_operations + self.sealed_operations;
            let share = group_share(inside, pipeline.groups_in_flight_max);
            let (mut full, mut full_of_bytes, mut shared) = (false, false, false);
            while let Some(next) = self.waiting.front() {
                let operations = group.operations + u64::from(next.operations);
                let over = operations > self.cap;
                let heavy = operations * pipeline.operation_bytes > pipeline.group_bytes_max;
                let more = operations > share;
                if (over || heavy || more) && !group.submissions.is_empty() {
                    (full, full_of_bytes, shared) = (over, heavy, more);
                    break;
                }
                group.operations = operations;
                group.submissions.extend(self.waiting.pop_front());
            }
            self.waiting_operations -= group.operations;
            self.sealed_operations += group.operations;
            self.groups_in_flight += 1;
            self.window.groups += 1;
            let full = full || group.operations >= self.cap;
            self.window.groups_full += u64::from(full);
            self.window.groups_full_bytes += u64::from(full_of_bytes && !full);
            self.window.groups_shared += u64::from(shared && !full && !full_of_bytes);
            self.group_sizes.saturating_record(group.operations);
            self.forward(0, group);
        }
    }

    fn forward(&mut self, stage: usize, group: Group) {
        self.queues[stage].push_back(group);
        self.serve(stage);
    }

    fn noise(&mut self) -> f64 {
        // The sum of twelve uniform numbers is nearly normal.
        let normal = (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0;
        (normal * self.scenario.pipeline.noise).exp()
    }

    fn service_us(&mut self, stage: usize, operations: u64) -> u64 {
        let pipeline = &self.scenario.pipeline;
        let operations = operations as f64;
        let mut per_operation_ns = pipeline.per_operation_ns[stage];
        if (1..=2).contains(&stage) {
            per_operation_ns += pipeline.per_operation_ns_per_100k * operations / 1e5;
        }
        let us = pipeline.fixed_us[stage] + per_operation_ns * operations / 1e3;
        (us * self.phase().service * self.luck() * self.noise()).max(1.0) as u64
    }

    fn luck(&self) -> f64 {
        let since_ms = (self.now_us - self.phase_began_us) / 1000;
        let spell = |spell: &&Spell| (spell.after_ms..spell.until_ms).contains(&since_ms);
        let spell = self.phase().spells.iter().find(spell);
        spell.map_or(1.0, |spell| spell.factor)
    }

    fn stall_us(&mut self) -> u64 {
        let now_us = self.now_us;
        let due = self.stalls.iter().position(|(at_us, _)| *at_us <= now_us);
        due.map_or(0, |due| self.stalls.remove(due).1)
    }

    fn serve(&mut self, stage: usize) {
        if self.busy[stage] || (stage == PERSIST && self.syncing) {
            return;
        }
        let Some(group) = self.queues[stage].front() else {
            if stage == PERSIST && !self.appended.is_empty() {
                self.sync();
            }
            return;
        };
        let operations = group.operations;
        let service_us = self.service_us(stage, operations);
        self.busy[stage] = true;
        self.window.stages[stage].busy_us += service_us;
        self.window.stages[stage].served += 1;
        self.schedule(self.now_us + service_us, Event::Done { stage });
    }

    fn served(&mut self, stage: usize) {
        self.busy[stage] = false;
        let Some(group) = self.queues[stage].pop_front() else {
            return;
        };
        if stage == PERSIST {
            self.appended.push(group);
        } else {
            self.forward(stage + 1, group);
        }
        self.serve(stage);
    }

    fn sync(&mut self) {
        let usual_us = self.scenario.pipeline.sync_us * self.phase().service;
        let sync_us = usual_us * self.luck() * self.noise();
        let sync_us = sync_us as u64 + self.stall_us();
        self.syncing = true;
        self.window.stages[PERSIST].busy_us += sync_us;
        self.schedule(self.now_us + sync_us, Event::Synced);
    }

    fn synced(&mut self) {
        self.syncing = false;
        for group in std::mem::take(&mut self.appended) {
            self.acknowledge(group);
        }
        self.admit();
        self.serve(PERSIST);
    }

    fn acknowledge(&mut self, group: Group) {
        self.groups_in_flight -= 1;
        self.sealed_operations -= group.operations;
        self.in_flight -= group.operations;
        self.window.operations_durable += group.operations;
        let callers = self.phase().callers;
        for submission in group.submissions {
            let latency_us = self.now_us - submission.accepted_us;
            self.durable.saturating_record(latency_us);
            self.seal_wait
                .saturating_record(group.sealed_us - submission.accepted_us);
            if group.cap == self.cap {
                let operations = u64::from(submission.operations);
                self.under_cap.record(latency_us, 1);
                self.under_cap.weigh(operations, latency_us * operations);
            }
            if submission.operations == 1 && self.small_callers > 0 {
                self.door.push_back(1);
            } else if self.callers > callers {
                self.callers -= 1;
            } else if callers > 0 {
                self.door.push_back(self.phase().submission);
            }
        }
    }

    fn end_window(&mut self, decide: Decide<'_>) {
        let mut window = std::mem::take(&mut self.window);
        window.number = self.done.len() as u64 + 1;
        window.ended_us = self.now_us;
        window.length_us = WINDOW_US;
        window.group_operations_max = self.cap;
        window.in_flight_operations_max = self.in_flight_max;
        window.operations_waiting = self.waiting_operations;
        window.groups_in_flight = self.groups_in_flight;
        window.group_operations = quantiles(&self.group_sizes);
        window.seal_wait_us = quantiles(&self.seal_wait);
        window.durable_us = quantiles(&self.durable);
        window.durable_under_cap_us = quantiles(self.under_cap.submissions());
        for change in decide(&window, &self.under_cap) {
            match change {
                Change::GroupOperationsMax { from, to } => {
                    assert_eq!(from, self.cap);
                    self.cap = to;
                }
                Change::InFlightOperationsMax { from, to } => {
                    assert_eq!(from, self.in_flight_max);
                    self.in_flight_max = to;
                }
                _ => {}
            }
        }
        self.under_cap.clear();
        self.done.push(window);
        for series in [
            &mut self.durable,
            &mut self.seal_wait,
            &mut self.group_sizes,
        ] {
            series.reset();
        }
        self.next_phase();
        self.schedule(self.now_us + WINDOW_US, Event::WindowEnd);
        self.admit();
    }

    fn next_phase(&mut self) {
        let ends = |phase: &Phase| phase.windows;
        let until: u64 = self.scenario.phase[..=self.phase].iter().map(ends).sum();
        if self.done.len() as u64 >= until && self.phase + 1 < self.scenario.phase.len() {
            self.phase += 1;
            self.begin_phase();
        }
    }
}
