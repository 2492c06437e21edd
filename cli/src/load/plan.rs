//! From what was typed to a plan.

use trunkline::load::{Mode, Phases, Plan, ProofTop, Workload};

use crate::arguments::{PlanArguments, Top};
use crate::error::CommandError;

/// Most threads that read.
const READERS_MAX: usize = 1024;

/// The plan file, or the defaults, and the flags over it.
pub(crate) fn of(arguments: &PlanArguments) -> Result<Plan, CommandError> {
    let mut plan = match &arguments.plan {
        Some(path) => Plan::from_file(path)?,
        None => Plan::default(),
    };
    lay_over(arguments, &mut plan);
    if let Some(path) = &arguments.phases {
        let phases = Phases::from_file(path)?;
        (plan.shape, plan.phase) = (phases.shape, phases.phase);
    }
    let is_unsaid = arguments.readers.is_none() && plan.readers == Plan::default().readers;
    if let Some(concurrency) = arguments.concurrency.filter(|_| is_unsaid && reads(&plan)) {
        plan.readers = concurrency.clamp(1, READERS_MAX);
    }
    plan.validate()?;
    Ok(plan)
}

/// Whether anything is read at any time.
fn reads(plan: &Plan) -> bool {
    let own = plan.mix.unwrap_or(plan.workload.shares());
    let phases = plan.phase.iter().filter_map(|phase| phase.workload);
    let mut all = phases.map(Workload::shares).chain([own]);
    all.any(|shares| shares.read > 0 || shares.multi_get > 0 || shares.verify > 0)
}

fn lay_over(arguments: &PlanArguments, plan: &mut Plan) {
    let typed = arguments;
    set(&mut plan.name, typed.name.clone());
    set(&mut plan.keys, typed.keys);
    set(&mut plan.value_bytes, typed.value_bytes);
    set(&mut plan.seed, typed.seed);
    set(&mut plan.rate_share, typed.rate_share);
    set(&mut plan.arrivals, typed.arrivals.map(Into::into));
    set(&mut plan.pacing, typed.pacing.map(Into::into));
    set(&mut plan.in_flight_operations_max, typed.in_flight_max);
    set(&mut plan.concurrency, typed.concurrency);
    set(&mut plan.batch, typed.batch);
    set(&mut plan.batch_linger_us, typed.batch_linger_us);
    set(&mut plan.readers, typed.readers);
    set(&mut plan.proof_top, typed.proof_top.map(proof_top));
    if let Some(mix) = typed.workload {
        // What goes with another mix goes with it.
        (plan.workload, plan.distribution, plan.mix) = (mix.into(), None, None);
    }
    if let Some(dist) = typed.dist {
        plan.distribution = Some(dist.into());
    }
    if typed.rate.is_some() {
        (plan.mode, plan.rate) = (Mode::Open, typed.rate);
    }
    if typed.rate_share.is_some() {
        (plan.mode, plan.rate) = (Mode::Open, None);
    }
    if typed.closed {
        plan.mode = Mode::Closed;
    }
    if typed.duration.is_some() || typed.ops.is_some() {
        (plan.duration_s, plan.ops) = (typed.duration, typed.ops);
    }
    if typed.warmup.is_some() {
        plan.warmup_s = typed.warmup;
    }
}

fn set<T>(value: &mut T, typed: Option<T>) {
    if let Some(typed) = typed {
        *value = typed;
    }
}

fn proof_top(top: Top) -> ProofTop {
    match top {
        Top::Kzg => ProofTop::Kzg,
        Top::Hash => ProofTop::Hash,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use trunkline::load::{Distribution, Workload};

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn typed(flags: &[&str]) -> Plan {
        let flags = ["trunkline", "load"].iter().chain(flags);
        match Arguments::try_parse_from(flags).unwrap().command {
            Command::Load(arguments) => of(&arguments.plan).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_typed_is_the_default_plan() {
        assert_eq!(typed(&[]), Plan::default());
    }

    #[test]
    fn flags_go_before_the_plan_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.toml");
        let text = "workload = \"d\"\ndistribution = \"uniform\"\nrate = 5.0\nops = 7\nbatch = 3";
        std::fs::write(&path, text).unwrap();
        let file = path.to_str().unwrap();
        let plan = typed(&["--plan", file, "--batch", "4", "--duration", "2"]);
        assert_eq!((plan.batch, plan.rate), (4, Some(5.0)));
        assert_eq!((plan.duration_s, plan.ops), (Some(2.0), None));
        assert_eq!(plan.distribution, Some(Distribution::Uniform));
        let plan = typed(&["--plan", file, "--workload", "b", "--closed"]);
        assert_eq!((plan.workload, plan.distribution), (Workload::B, None));
        assert_eq!(plan.mode, Mode::Closed);
    }

    #[test]
    fn batches_in_flight_are_the_concurrency_of_a_closed_loop() {
        let plan = typed(&["--closed", "--in-flight", "8"]);
        assert_eq!((plan.mode, plan.concurrency), (Mode::Closed, 8));
    }

    #[test]
    fn as_many_threads_read_unless_it_is_said_how_many() {
        let readers = |flags: &[&str]| typed(&[&["--closed"][..], flags].concat()).readers;
        assert_eq!(readers(&["--concurrency", "8"]), 8);
        assert_eq!(readers(&["--concurrency", "8", "--readers", "3"]), 3);
        assert_eq!(readers(&["--concurrency", "5000"]), 1024);
        assert_eq!(readers(&["--concurrency", "8", "--workload", "write"]), 1);
        assert_eq!(readers(&[]), 1);
    }
}
