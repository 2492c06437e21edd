//! When operations are due: pure, from the plan and its seed alone.
//!
//! The rate may change with time, so arrivals are found by inverting its integral: the next one is due where the
//! integral has grown by 1 (constant), or by an exponentially distributed amount (Poisson; Çinlar, "Introduction to
//! Stochastic Processes", 1975, the time change of a non-homogeneous process). The rate counts as constant within a
//! millisecond. Not here: waiting until then.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::operations::{Choice, Operation, Operations};
use super::plan::{Arrivals, Plan, SECONDS_MAX};
use super::trace::{TraceError, TraceReader};

/// The rate is looked up once in such a time.
const SLICE_NS: f64 = 1e6;

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// An operation and when it is due.
///
/// ```
/// use trunkline::load::{Operation, TimedOperation};
/// let timed = TimedOperation { at_ns: 1_000, operation: Operation::Read { index: 0 } };
/// assert_eq!(timed.at_ns, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOperation {
    /// Nanoseconds from the beginning, warm-up included.
    pub at_ns: u64,
    /// What is due then.
    pub operation: Operation,
}

/// Times at which operations are due, without end unless the rate falls to zero for good.
#[derive(Debug)]
struct Times {
    random: SmallRng,
    arrivals: Arrivals,
    /// Start of the slice, nanoseconds.
    slice_ns: f64,
    /// How far in the slice the last arrival was.
    within_ns: f64,
    /// Operations a nanosecond in the slice.
    rate: f64,
}

impl Times {
    fn new(arrivals: Arrivals, seed: u64) -> Self {
        Self {
            // Another stream than those of values and operations.
            random: SmallRng::seed_from_u64(seed.rotate_left(32) ^ 0x5bd1_e995),
            arrivals,
            slice_ns: -SLICE_NS,
            within_ns: SLICE_NS,
            rate: 0.0,
        }
    }

    /// The next time up to `end_ns`; `rate` gives operations a second at a time in nanoseconds.
    fn next(&mut self, end_ns: u64, rate: impl Fn(f64) -> f64) -> Option<u64> {
        let mut missing = match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        };
        loop {
            let there = self.rate * (SLICE_NS - self.within_ns);
            if missing < there {
                self.within_ns += missing / self.rate;
                return Some((self.slice_ns + self.within_ns) as u64)
                    .filter(|at_ns| *at_ns < end_ns);
            }
            missing -= there;
            self.slice_ns += SLICE_NS;
            self.within_ns = 0.0;
            if self.slice_ns >= end_ns as f64 {
                // Nothing more, however often it is asked.
                self.rate = 0.0;
                return None;
            }
            self.rate = rate(self.slice_ns) / SECOND_NS as f64;
        }
    }
}

/// All operations of a plan with the times at which they are due, in order: the same for the same plan.
///
/// In a closed loop there are no such times, and all are 0.
///
/// ```
/// use trunkline::load::{Plan, Schedule};
/// let plan = Plan { rate: Some(1000.0), duration_s: Some(2.0), warmup_s: Some(0.0), ..Plan::default() };
/// let operations: Vec<_> = Schedule::new(&plan).collect();
/// assert!((1800..2200).contains(&operations.len()));
/// assert_eq!(operations, Schedule::new(&plan).collect::<Vec<_>>());
/// ```
#[derive(Debug)]
pub struct Schedule {
    plan: Plan,
    rate: f64,
    times: Times,
    operations: Operations,
    choice: Choice,
    choice_until_s: f64,
    warmup_ns: u64,
    end_ns: u64,
    operations_left: u64,
}

impl Schedule {
    /// The operations of a plan. Without a rate in an open loop there are none.
    pub fn new(plan: &Plan) -> Self {
        let warmup_ns = nanos(plan.warmup_s());
        let (choice, choice_until_s) = plan.choice_at(0.0);
        Self {
            rate: plan.rate.unwrap_or(0.0),
            times: Times::new(plan.arrivals, plan.seed),
            operations: Operations::new(plan.keys, plan.batch as u64, plan.seed),
            choice,
            choice_until_s,
            warmup_ns,
            end_ns: warmup_ns + nanos(plan.duration_s().unwrap_or(SECONDS_MAX)),
            operations_left: plan.ops.unwrap_or(u64::MAX),
            plan: plan.clone(),
        }
    }

    /// The next operation, whenever it is due, as the plan has it at a time.
    pub(crate) fn operation_at(&mut self, at_ns: u64) -> Operation {
        let at_s = (at_ns as f64 - self.warmup_ns as f64) / SECOND_NS as f64;
        if at_s >= self.choice_until_s {
            (self.choice, self.choice_until_s) = self.plan.choice_at(at_s);
        }
        self.operations.next(&self.choice)
    }
}

impl Iterator for Schedule {
    type Item = TimedOperation;

    fn next(&mut self) -> Option<TimedOperation> {
        let (plan, rate, warmup_ns) = (&self.plan, self.rate, self.warmup_ns);
        let rate_at = |at_ns: f64| {
            let at_s = (at_ns - warmup_ns as f64) / SECOND_NS as f64;
            rate * plan.rate_factor(at_s.max(0.0))
        };
        if self.operations_left == 0 || rate == 0.0 {
            return None;
        }
        let at_ns = self.times.next(self.end_ns, rate_at)?;
        if at_ns >= self.warmup_ns {
            self.operations_left -= 1;
        }
        let operation = self.operation_at(at_ns);
        Some(TimedOperation { at_ns, operation })
    }
}

/// Where operations come from: a plan, or a trace that was recorded.
#[derive(Debug)]
pub(crate) enum Source {
    /// All keys once, in order.
    Fill {
        next: u64,
        keys: u64,
    },
    Planned(Box<Schedule>),
    Recorded {
        trace: Box<TraceReader>,
        speed: f64,
    },
}

impl Source {
    /// The next operation of an open loop.
    pub(crate) fn next_timed(&mut self) -> Result<Option<TimedOperation>, TraceError> {
        match self {
            Self::Fill { .. } => Ok(self.fill().map(at_once)),
            Self::Planned(schedule) => Ok(schedule.next()),
            Self::Recorded { trace, speed } => Ok(trace.next_operation()?.map(|timed| {
                let at_ns = (timed.at_ns as f64 / *speed) as u64;
                TimedOperation { at_ns, ..timed }
            })),
        }
    }

    /// The next operation of a closed loop, that starts at this time.
    pub(crate) fn next_at(&mut self, at_ns: u64) -> Result<Option<TimedOperation>, TraceError> {
        let operation = match self {
            Self::Fill { .. } => self.fill(),
            Self::Planned(schedule) => Some(schedule.operation_at(at_ns)),
            Self::Recorded { trace, .. } => trace.next_operation()?.map(|timed| timed.operation),
        };
        Ok(operation.map(|operation| TimedOperation { at_ns, operation }))
    }

    fn fill(&mut self) -> Option<Operation> {
        let Self::Fill { next, keys } = self else {
            return None;
        };
        let index = *next;
        *next += 1;
        (index < *keys).then_some(Operation::Insert { index })
    }
}

fn at_once(operation: Operation) -> TimedOperation {
    TimedOperation {
        at_ns: 0,
        operation,
    }
}

/// Seconds as whole nanoseconds.
pub(crate) fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::operations::Workload;
    use super::super::plan::{Phase, Shape};
    use super::super::run::OperationKind;
    use super::*;

    fn plan(arrivals: Arrivals) -> Plan {
        Plan {
            arrivals,
            rate: Some(10_000.0),
            warmup_s: Some(0.0),
            duration_s: Some(20.0),
            ..Plan::default()
        }
    }

    fn in_second(plan: &Plan, second: u64) -> usize {
        let operations = Schedule::new(plan);
        operations
            .filter(|timed| timed.at_ns / SECOND_NS == second)
            .count()
    }

    #[test]
    fn constant_arrivals_are_even() {
        let times: Vec<u64> = Schedule::new(&plan(Arrivals::Constant))
            .map(|timed| timed.at_ns)
            .collect();
        assert!(times.len().abs_diff(200_000) <= 1);
        assert!(
            times
                .windows(2)
                .all(|pair| (pair[1] - pair[0]).abs_diff(100_000) <= 1)
        );
    }

    #[test]
    fn poisson_arrivals_have_their_mean_and_its_variance() {
        let times: Vec<u64> = Schedule::new(&plan(Arrivals::Poisson))
            .map(|timed| timed.at_ns)
            .collect();
        let distances: Vec<f64> = times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect();
        let count = distances.len() as f64;
        let mean = distances.iter().sum::<f64>() / count;
        let variance = distances
            .iter()
            .map(|distance| (distance - mean).powi(2))
            .sum::<f64>()
            / count;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.01, "{mean}");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "{}",
            variance.sqrt()
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        let all = |seed| {
            Schedule::new(&Plan {
                seed,
                ..plan(Arrivals::Poisson)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(all(5), all(5));
        assert_ne!(all(5), all(6));
    }

    #[test]
    fn shapes_change_the_rate() {
        let shaped = |shape| Plan {
            shape,
            ..plan(Arrivals::Constant)
        };
        let step = shaped(Shape::Step {
            at_s: 5.0,
            factor: 2.0,
        });
        assert_eq!((in_second(&step, 4), in_second(&step, 5)), (10_000, 20_000));
        let ramp = shaped(Shape::Ramp {
            from: 0.0,
            to: 1.0,
            over_s: 10.0,
        });
        assert!(in_second(&ramp, 4).abs_diff(4_500) < 10);
        assert!(in_second(&ramp, 15).abs_diff(10_000) < 2);
        let sine = shaped(Shape::Sine {
            period_s: 4.0,
            amplitude: 1.0,
        });
        assert!(in_second(&sine, 0) > 15_000 && in_second(&sine, 2) < 5_000);
        let bursts = shaped(Shape::Bursts {
            every_s: 5.0,
            length_s: 1.0,
            factor: 0.0,
        });
        let counts = [0, 4, 5, 6, 10].map(|second| in_second(&bursts, second));
        assert!(counts[2] <= 1 && counts[4] <= 1 && counts[0] + counts[1] + counts[3] > 29_990);
    }

    #[test]
    fn phases_change_rate_and_mix_from_their_time_on() {
        let phase = |at_s, rate_factor, workload| Phase {
            at_s,
            rate_factor,
            workload,
            distribution: None,
        };
        let plan = Plan {
            workload: Workload::C,
            phase: vec![
                phase(5.0, 0.5, Some(Workload::Write)),
                phase(10.0, 0.0, Some(Workload::Write)),
            ],
            ..plan(Arrivals::Constant)
        };
        for timed in Schedule::new(&plan) {
            let expected = match timed.at_ns < 5 * SECOND_NS {
                true => OperationKind::Read,
                false => OperationKind::Update,
            };
            assert_eq!(timed.operation.kind(), expected);
            assert!(timed.at_ns <= 10 * SECOND_NS);
        }
        assert!(in_second(&plan, 7).abs_diff(5_000) <= 1);
    }

    #[test]
    fn the_warm_up_counts_neither_as_time_nor_as_operations() {
        let by_time = Plan {
            warmup_s: Some(3.0),
            duration_s: Some(2.0),
            ..plan(Arrivals::Constant)
        };
        assert!(Schedule::new(&by_time).count().abs_diff(50_000) <= 1);
        let by_ops = Plan {
            ops: Some(10),
            duration_s: None,
            ..by_time
        };
        let counted = Schedule::new(&by_ops).filter(|timed| timed.at_ns >= 3 * SECOND_NS);
        assert_eq!(counted.count(), 10);
    }
}
