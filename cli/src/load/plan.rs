//! Makes a plan from arguments.

use std::path::Path;

use trunkline_load::{Mode, Phases, Plan, RUN_FILE, Run};

use crate::arguments::PlanArguments;
use crate::error::CommandError;

/// Returns the plan file, the plan of a run, or the defaults, overridden by the flags.
pub(crate) fn of(arguments: &PlanArguments) -> Result<Plan, CommandError> {
    let mut plan = match &arguments.plan {
        Some(path) => read(path)?,
        None => Plan::default(),
    };
    lay_over(arguments, &mut plan);
    if let Some(path) = &arguments.phases {
        let phases = Phases::from_file(path)?;
        (plan.shape, plan.phase) = (phases.shape, phases.phase);
    }
    plan.validate()?;
    Ok(plan)
}

/// Returns the plan of trials, as [`of`] does, without thresholds: trials are compared with each other.
pub(crate) fn of_trials(arguments: &PlanArguments) -> Result<Plan, CommandError> {
    let plan = of(arguments)?;
    Ok(Plan {
        thresholds: Vec::new(),
        ..plan
    })
}

/// Reads a plan file, or the plan of a run, named by its directory or its [`RUN_FILE`].
fn read(path: &Path) -> Result<Plan, CommandError> {
    if path.is_dir() {
        return of_run(path);
    }
    match path.parent().filter(|_| path.ends_with(RUN_FILE)) {
        Some(directory) => of_run(directory),
        None => Ok(Plan::from_file(path)?),
    }
}

/// Returns the plan of a run.
fn of_run(directory: &Path) -> Result<Plan, CommandError> {
    let run = Run::read_from(directory)?;
    let file = directory.join(RUN_FILE);
    match run.replayed {
        Some(replayed) => Err(CommandError::Replayed {
            file,
            trace: replayed.name,
        }),
        None => {
            let name = format!("{}: workload", file.display());
            Ok(Plan::from_toml(&name, &run.workload)?)
        }
    }
}

fn lay_over(arguments: &PlanArguments, plan: &mut Plan) {
    let typed = arguments;
    set(&mut plan.name, typed.name.clone());
    set(&mut plan.keys, typed.keys);
    set(&mut plan.value_bytes, typed.value_bytes);
    set(&mut plan.seed, typed.seed);
    set(&mut plan.instance, typed.instance);
    set(&mut plan.rate_share, typed.rate_share);
    set(&mut plan.arrivals, typed.arrivals.map(Into::into));
    set(&mut plan.pacing, typed.pacing.map(Into::into));
    set(&mut plan.in_flight_operations_max, typed.in_flight_max);
    set(&mut plan.concurrency, typed.concurrency);
    set(&mut plan.batch, typed.batch);
    set(&mut plan.batch_linger_us, typed.batch_linger_us);
    set(&mut plan.proof_top, typed.proof_top.map(Into::into));
    if let Some(mix) = typed.workload {
        // Distribution and shares belong to the mix of the plan.
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
    if typed.readers.is_some() {
        plan.readers = typed.readers;
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use trunkline_load::{Distribution, RUN_FORMAT, Replayed, Workload};

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn tried(flags: &[&str]) -> Result<Plan, CommandError> {
        let flags = ["trunkline", "load"].iter().chain(flags);
        match Arguments::try_parse_from(flags).unwrap().command {
            Command::Load(arguments) => of(&arguments.plan),
            other => panic!("{other:?}"),
        }
    }

    fn typed(flags: &[&str]) -> Plan {
        tried(flags).unwrap()
    }

    /// Makes a run of a plan in its own directory.
    fn run_of(workload: &str, replayed: Option<Replayed>) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let run = Run {
            format: RUN_FORMAT,
            workload: workload.to_owned(),
            replayed,
            ..Run::default()
        };
        run.write_to(directory.path()).unwrap();
        directory
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
    fn the_plan_of_a_run_is_named_by_its_directory_or_its_file() {
        let run = run_of("batch = 3\nops = 7", None);
        let directory = run.path().to_str().unwrap();
        let plan = typed(&["--plan", directory, "--batch", "4"]);
        assert_eq!((plan.batch, plan.ops), (4, Some(7)));
        let file = run.path().join(RUN_FILE);
        let plan = typed(&["--plan", file.to_str().unwrap()]);
        assert_eq!((plan.batch, plan.ops), (3, Some(7)));
    }

    #[test]
    fn what_is_no_plan_of_a_run_is_named_by_its_file() {
        let says = |directory: &Path, expected: &str| {
            let error = tried(&["--plan", directory.to_str().unwrap()]).unwrap_err();
            let file = directory.join(RUN_FILE);
            let expected = expected.replace("FILE", file.to_str().unwrap());
            assert!(error.to_string().starts_with(&expected), "{error}");
        };
        let empty = tempfile::tempdir().unwrap();
        says(empty.path(), "cannot use FILE");
        let run = run_of("keys = 5\nvalue = 3", None);
        says(run.path(), "FILE: workload:2:1: unknown field `value`");
        let run = run_of("batch = 0", None);
        says(run.path(), "FILE: workload: batch must be 1 to 1000000");
        let replayed = Replayed {
            name: "week.trace".to_owned(),
            ..Replayed::default()
        };
        let run = run_of("batch = 3", Some(replayed));
        let expected = "FILE is a replay of \"week.trace\" and has no plan";
        says(run.path(), expected);
    }

    #[test]
    fn batches_in_flight_are_the_concurrency_of_a_closed_loop() {
        let plan = typed(&["--closed", "--in-flight", "8"]);
        assert_eq!((plan.mode, plan.concurrency), (Mode::Closed, 8));
    }

    #[test]
    fn as_many_threads_read_unless_it_is_said_how_many() {
        let readers = |flags: &[&str]| typed(flags).readers();
        assert_eq!(readers(&["--closed", "--concurrency", "8"]), 8);
        let three = ["--closed", "--concurrency", "8", "--readers", "3"];
        assert_eq!(readers(&three), 3);
        assert_eq!(readers(&["--rate", "1000", "--concurrency", "8"]), 1);
    }

    #[test]
    fn what_a_plan_says_of_readers_holds_whatever_the_concurrency() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.toml");
        std::fs::write(&path, "mode = \"closed\"\nreaders = 1").unwrap();
        let file = path.to_str().unwrap();
        let plan = typed(&["--plan", file, "--concurrency", "8"]);
        assert_eq!((plan.concurrency, plan.readers()), (8, 1));
        let plan = typed(&["--plan", file, "--readers", "4"]);
        assert_eq!(plan.readers(), 4);
    }
}
