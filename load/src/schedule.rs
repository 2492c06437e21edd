//! Computes when operations are due from the plan and its seed. Pure.
//!
//! The rate may change with time, so arrivals are found by inverting its integral: the next one is due where the
//! integral has grown by 1 (constant), or by an exponentially distributed amount (Poisson; Çinlar, "Introduction to
//! Stochastic Processes", 1975, the time change of a non-homogeneous process). The rate counts as constant within a
//! millisecond.

use std::ops::Range;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::operations::{Choice, Operation, Operations};
use super::plan::{Arrivals, Plan, SECONDS_MAX};
use super::run::OperationKind;
use super::trace::{TraceError, TraceReader, TraceSummary};

/// Time for which one value of the rate is used.
const SLICE_NS: f64 = 1e6;

/// Nanoseconds of a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// An operation with the time at which it is due.
///
/// See [`Schedule`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOperation {
    /// Nanoseconds from the beginning, including the warm-up.
    pub at_ns: u64,
    /// The operation.
    pub operation: Operation,
}

/// The times at which operations are due. They have no end unless the rate falls to zero for good.
#[derive(Debug)]
struct ArrivalTimes {
    random: SmallRng,
    arrivals: Arrivals,
    /// Start of the current slice, in nanoseconds.
    slice_ns: f64,
    /// Time of the last arrival in the slice.
    within_ns: f64,
    /// Operations per nanosecond in the slice.
    rate: f64,
}

impl ArrivalTimes {
    fn new(arrivals: Arrivals, seed: u64) -> Self {
        Self {
            // A random stream other than those of values and operations.
            random: SmallRng::seed_from_u64(seed.rotate_left(32) ^ 0x5bd1_e995),
            arrivals,
            slice_ns: -SLICE_NS,
            within_ns: SLICE_NS,
            rate: 0.0,
        }
    }

    /// Returns the next time before `end_ns`. `rate` returns the operations per second at a time in nanoseconds, and
    /// `steady_until` the time until which that rate stays the same.
    fn next(
        &mut self,
        end_ns: u64,
        rate: impl Fn(f64) -> f64,
        steady_until: impl Fn(f64) -> f64,
    ) -> Option<u64> {
        let mut missing = match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        };
        loop {
            let left = self.rate * (SLICE_NS - self.within_ns);
            if missing < left {
                self.within_ns += missing / self.rate;
                let at_ns = (self.slice_ns + self.within_ns) as u64;
                return (at_ns < end_ns).then_some(at_ns);
            }
            missing -= left;
            self.slice_ns += SLICE_NS;
            self.within_ns = 0.0;
            if self.slice_ns >= end_ns as f64 {
                // Later calls find nothing either.
                self.rate = 0.0;
                return None;
            }
            self.rate = rate(self.slice_ns) / SECOND_NS as f64;
            let of_slice = self.rate * SLICE_NS;
            if missing >= of_slice {
                // Skips slices without an arrival, so that days without any cost nothing.
                let steady_ns = steady_until(self.slice_ns).min(end_ns as f64) - self.slice_ns;
                let steady_slices = (steady_ns / SLICE_NS).floor() - 1.0;
                let empty_slices = (missing / of_slice).floor();
                let skipped = empty_slices.min(steady_slices).max(0.0);
                missing -= skipped * of_slice;
                self.slice_ns += skipped * SLICE_NS;
            }
        }
    }
}

/// All operations of a plan with the times at which they are due, in order. The same plan always gives the same
/// schedule.
///
/// In a closed loop all times are 0.
///
/// ```
/// use trunkline_load::{Plan, Schedule};
/// let plan = Plan { rate: Some(1000.0), duration_s: Some(2.0), warmup_s: Some(0.0), ..Plan::default() };
/// let operations: Vec<_> = Schedule::new(&plan).collect();
/// assert!((1800..2200).contains(&operations.len()));
/// assert_eq!(operations, Schedule::new(&plan).collect::<Vec<_>>());
/// ```
#[derive(Debug)]
pub struct Schedule {
    plan: Plan,
    times: ArrivalTimes,
    operations: Operations,
    choice: Choice,
    choice_until_s: f64,
    warmup_ns: u64,
    end_ns: u64,
    operations_left: u64,
}

impl Schedule {
    /// Returns the operations of a plan. An open loop without a rate has none.
    pub fn new(plan: &Plan) -> Self {
        let warmup_ns = nanos(plan.warmup_s());
        let (choice, choice_until_s) = plan.choice_at(0.0);
        Self {
            times: ArrivalTimes::new(plan.arrivals, plan.seed),
            operations: Operations::new(plan),
            choice,
            choice_until_s,
            warmup_ns,
            end_ns: warmup_ns + nanos(plan.duration_s().unwrap_or(SECONDS_MAX)),
            operations_left: plan.ops.unwrap_or(u64::MAX),
            plan: plan.clone(),
        }
    }

    /// Returns the end of the schedule, unless it ends with its last operation.
    fn end_ns(&self) -> Option<u64> {
        let ends_by_time = self.plan.duration_s().is_some() && self.operations_left > 0;
        ends_by_time.then_some(self.end_ns)
    }

    /// Returns the next operation, chosen by the settings of the plan at a time.
    fn operation_at(&mut self, at_ns: u64) -> Operation {
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
        let (plan, begin_ns) = (&self.plan, self.warmup_ns as f64);
        let rate = plan
            .rate
            .filter(|rate| *rate > 0.0 && self.operations_left > 0)?;
        let at_s = |at_ns: f64| (at_ns - begin_ns) / SECOND_NS as f64;
        let rate_at = |at_ns: f64| rate * plan.rate_factor(at_s(at_ns).max(0.0));
        let steady_until = |at_ns: f64| match at_ns < begin_ns {
            true => begin_ns,
            false => begin_ns + plan.steady_until_s(at_s(at_ns)) * SECOND_NS as f64,
        };
        let at_ns = self.times.next(self.end_ns, rate_at, steady_until)?;
        if at_ns >= self.warmup_ns {
            self.operations_left -= 1;
        }
        let operation = self.operation_at(at_ns);
        Some(TimedOperation { at_ns, operation })
    }
}

/// The source of operations.
pub(crate) enum Source {
    /// Inserts of all keys of a load, in order.
    Fill(Range<u64>),
    Planned(Box<Schedule>),
    Recorded {
        trace: Box<TraceReader>,
        speed: f64,
    },
}

impl Source {
    /// Returns a plan's operations.
    pub(crate) fn planned(plan: &Plan) -> Self {
        Self::Planned(Box::new(Schedule::new(plan)))
    }

    /// Returns the next operation of an open loop, or of a closed loop, where it is due at `now_ns`.
    pub(crate) fn next(
        &mut self,
        now_ns: Option<u64>,
    ) -> Result<Option<TimedOperation>, TraceError> {
        let next = match self {
            Self::Fill(keys) => keys.next().map(|index| TimedOperation {
                at_ns: 0,
                operation: Operation::new(OperationKind::Insert, index),
            }),
            Self::Planned(schedule) => match now_ns {
                None => schedule.next(),
                Some(at_ns) => Some(TimedOperation {
                    at_ns,
                    operation: schedule.operation_at(at_ns),
                }),
            },
            Self::Recorded { trace, speed } => trace.next_operation()?.map(|timed| {
                let at_ns = (timed.at_ns as f64 / *speed) as u64;
                TimedOperation { at_ns, ..timed }
            }),
        };
        Ok(next.map(|timed| TimedOperation {
            at_ns: now_ns.unwrap_or(timed.at_ns),
            ..timed
        }))
    }

    /// Returns the time from which nothing more is due, unless that is the time of the last operation.
    pub(crate) fn end_ns(&self) -> Option<u64> {
        match self {
            Self::Planned(schedule) => schedule.end_ns(),
            Self::Fill(_) | Self::Recorded { .. } => None,
        }
    }

    /// Returns the summary of a trace, and the mean distance of its operations in nanoseconds.
    pub(crate) fn recorded(&self) -> Option<(TraceSummary, u64)> {
        let Self::Recorded { trace, speed } = self else {
            return None;
        };
        let summary = trace.summary();
        let distance_ns = summary.ended_ns as f64 / speed / summary.operations.max(1) as f64;
        Some((summary, distance_ns as u64))
    }
}

/// Returns seconds as whole nanoseconds.
pub(crate) fn nanos(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::operations::{Shares, Workload};
    use super::super::plan::{Phase, Shape};
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
    fn a_mix_of_a_phase_goes_before_its_workload_and_ends_with_it() {
        let phase = |at_s, workload, mix| Phase {
            at_s,
            rate_factor: 1.0,
            workload,
            distribution: None,
            mix,
        };
        let inserts = Shares {
            insert: 100,
            ..Shares::default()
        };
        let plan = Plan {
            workload: Workload::C,
            phase: vec![
                phase(5.0, Some(Workload::Write), Some(inserts)),
                phase(10.0, None, Some(Workload::Write.shares())),
                phase(15.0, None, None),
            ],
            ..plan(Arrivals::Constant)
        };
        for timed in Schedule::new(&plan) {
            let expected = match timed.at_ns / (5 * SECOND_NS) {
                1 => OperationKind::Insert,
                2 => OperationKind::Update,
                _ => OperationKind::Read,
            };
            assert_eq!(timed.operation.kind, expected);
        }
        assert!(plan.has(|shares| shares.insert > 0));
    }

    #[test]
    fn phases_change_rate_and_mix_from_their_time_on() {
        let phase = |at_s, rate_factor, workload| Phase {
            at_s,
            rate_factor,
            workload,
            distribution: None,
            mix: None,
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
            assert_eq!(timed.operation.kind, expected);
            assert!(timed.at_ns <= 10 * SECOND_NS);
        }
        assert!(in_second(&plan, 7).abs_diff(5_000) <= 1);
    }

    #[test]
    fn a_rate_that_stays_the_same_is_not_looked_up_again_and_again() {
        let day_ns = 86_400 * SECOND_NS;
        let looked_up = std::cell::Cell::new(0);
        let next = |per_second: f64, steady_until_ns: u64| {
            looked_up.set(0);
            let mut times = ArrivalTimes::new(Arrivals::Constant, 1);
            let rate = |at_ns: f64| {
                looked_up.set(looked_up.get() + 1);
                match at_ns < steady_until_ns as f64 {
                    true => per_second,
                    false => 1_000.0,
                }
            };
            let steady_until = |at_ns: f64| match at_ns < steady_until_ns as f64 {
                true => steady_until_ns as f64,
                false => f64::INFINITY,
            };
            times.next(7 * day_ns, rate, steady_until)
        };
        assert_eq!(next(0.0, 7 * day_ns), None);
        assert!(looked_up.get() < 10, "{looked_up:?}");
        // No operation for a day, then one per millisecond.
        let after_a_day = next(0.0, day_ns).unwrap();
        assert!(after_a_day.abs_diff(day_ns) <= 2_000_000, "{after_a_day}");
        assert!(looked_up.get() < 10, "{looked_up:?}");
        // One operation in a thousand seconds.
        let seldom = next(0.001, 7 * day_ns).unwrap();
        assert!(seldom.abs_diff(1_000 * SECOND_NS) <= 1_000, "{seldom}");
        assert!(looked_up.get() < 10, "{looked_up:?}");
    }

    #[test]
    fn a_plan_whose_rate_falls_to_nothing_ends_with_its_last_operation() {
        let never_again = [
            (
                Shape::Step {
                    at_s: 1.0,
                    factor: 0.0,
                },
                Vec::new(),
            ),
            (
                Shape::Ramp {
                    from: 1.0,
                    to: 0.0,
                    over_s: 2.0,
                },
                Vec::new(),
            ),
            (
                Shape::Sine {
                    period_s: 1.0,
                    amplitude: 1.0,
                },
                vec![Phase {
                    mix: None,
                    at_s: 1.0,
                    rate_factor: 0.0,
                    workload: None,
                    distribution: None,
                }],
            ),
        ];
        for (shape, phase) in never_again {
            let plan = Plan {
                rate: Some(100.0),
                ops: Some(1_000),
                duration_s: None,
                shape,
                phase,
                ..plan(Arrivals::Constant)
            };
            let count = Schedule::new(&plan).count();
            assert!((90..=101).contains(&count), "{shape:?} {count}");
        }
    }

    #[test]
    fn operations_of_a_trace_are_as_far_apart_as_its_length_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operations.trace");
        let mut writer = super::super::trace::TraceWriter::create(&path, 10, 4).unwrap();
        for number in 1..=10 {
            writer
                .write(number * 5_000, Operation::new(OperationKind::Read, 0))
                .unwrap();
        }
        writer.finish().unwrap();
        let distance_ns = |speed| {
            let trace = Box::new(TraceReader::open(&path).unwrap());
            Source::Recorded { trace, speed }
                .recorded()
                .map(|recorded| recorded.1)
        };
        assert_eq!(
            (distance_ns(1.0), distance_ns(2.5)),
            (Some(5_000), Some(2_000))
        );
        let planned = Source::planned(&plan(Arrivals::Poisson));
        assert!(planned.recorded().is_none());
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
