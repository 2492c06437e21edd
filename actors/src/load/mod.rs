//! Load: schedules of arrivals, workloads, what came out of them, and how two runs compare. For the command, and
//! for whoever drives trunkline, or a service of their own, from a harness of their own.

mod run;

pub use run::{
    Latency, Machine, OperationKind, OperationSecond, OperationTotal, RUN_FORMAT, Run, Second,
    Totals,
};
