use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use trunkline::load::{
    Load, LoadError, Mode, OperationKind, Pending, Plan, StageName, Target, TargetError, Workload,
    WriteBatch, Written,
};

use crate::support::{Table, small};

#[test]
fn every_operation_of_an_open_loop_ended_or_was_dropped() {
    for workload in [
        Workload::A,
        Workload::D,
        Workload::E,
        Workload::F,
        Workload::Verify,
    ] {
        let table = Table::default();
        let plan = Plan {
            workload,
            ..small()
        };
        let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
        let totals = &outcome.run.totals;
        assert_eq!(
            (totals.offered, totals.failed, totals.missing),
            (2_000, 0, 0)
        );
        assert_eq!(totals.achieved + totals.dropped, 2_000);
        // At a million a second, whatever the target does.
        assert!((1_500..2_500).contains(&totals.scheduled_us), "{totals:?}");
        assert!(totals.ended_in_schedule <= totals.achieved);
        assert_eq!(outcome.tally.refused, 0);
        let seconds: u64 = outcome
            .run
            .seconds
            .iter()
            .map(|second| second.achieved)
            .sum();
        assert_eq!(seconds, totals.achieved);
        table.agrees_with(&outcome);
    }
}

#[test]
fn a_closed_loop_drops_nothing() {
    for concurrency in [1, 3] {
        let table = Table::default();
        let plan = Plan {
            mode: Mode::Closed,
            rate: None,
            concurrency,
            ..small()
        };
        let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
        let totals = &outcome.run.totals;
        assert_eq!((totals.achieved, totals.dropped), (2_000, 0));
        assert_eq!(totals.ended_in_schedule, totals.achieved);
        assert_eq!(totals.scheduled_us, totals.elapsed_us);
        assert!(outcome.calibrated.is_none());
        table.agrees_with(&outcome);
    }
}

#[test]
fn nothing_more_is_under_way_than_is_allowed() {
    let table = Table::default();
    let plan = Plan {
        in_flight_operations_max: 1,
        workload: Workload::Write,
        batch: 1,
        ..small()
    };
    let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
    let totals = &outcome.run.totals;
    assert_eq!(totals.achieved + totals.dropped, 2_000);
    assert_eq!(
        outcome
            .run
            .warnings
            .iter()
            .any(|line| line.contains("dropped")),
        totals.dropped > 0
    );
    table.agrees_with(&outcome);
}

#[test]
fn without_a_rate_one_is_found() {
    let table = Table::default();
    let plan = Plan {
        rate: None,
        ..small()
    };
    let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
    let found = outcome.calibrated.unwrap();
    let again = Plan::from_toml("run", &outcome.run.workload).unwrap();
    assert!((again.rate.unwrap() / (found * 0.7) - 1.0).abs() < 1e-9);
    let stages: Vec<StageName> = outcome.stages.iter().map(|time| time.stage).collect();
    assert_eq!(
        stages,
        [StageName::Fill, StageName::Calibrate, StageName::Run]
    );
    assert!(
        outcome
            .run
            .warnings
            .iter()
            .any(|line| line.contains("few operations"))
    );
    table.agrees_with(&outcome);
}

#[test]
fn operations_that_fail_are_counted_and_the_run_goes_on() {
    // The fill takes ten batches.
    let table = Table {
        fails_from: Some(12),
        ..Table::default()
    };
    let plan = Plan {
        workload: Workload::Write,
        ..small()
    };
    let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
    let totals = &outcome.run.totals;
    assert!(totals.failed > 0);
    assert_eq!(totals.achieved + totals.failed + totals.dropped, 2_000);
    assert_eq!(outcome.tally.first_failure.as_deref(), Some("no room"));
    assert!(
        outcome
            .run
            .warnings
            .iter()
            .any(|line| line.contains("no room"))
    );
}

#[test]
fn a_target_that_is_gone_ends_the_run() {
    let table = Table {
        ends_from: Some(12),
        ..Table::default()
    };
    let plan = Plan {
        workload: Workload::Write,
        ..small()
    };
    let error = Load::new(&plan, &table).unwrap().run().unwrap_err();
    assert!(matches!(error, LoadError::Target(error) if error.to_string() == "it is gone"));
    let table = Table {
        fails_from: Some(3),
        ..Table::default()
    };
    let error = Load::new(&plan, &table).unwrap().run().unwrap_err();
    assert_eq!(error.to_string(), "the keys could not be put: no room");
}

#[test]
fn what_a_target_cannot_do_ends_the_run() {
    struct Blind;
    impl Target for Blind {
        fn submit(&self, _batch: &WriteBatch) -> Result<Pending, TargetError> {
            Ok(Box::new(|| Ok(Written::Applied)))
        }
        fn read(&self, _key: &[u8]) -> Result<Option<Bytes>, TargetError> {
            Ok(None)
        }
    }
    let plan = Plan {
        workload: Workload::Verify,
        ..small()
    };
    let error = Load::new(&plan, &Blind).unwrap().run().unwrap_err();
    assert!(matches!(
        error,
        LoadError::Target(TargetError::Unsupported(_))
    ));

    // It finds nothing of what was put.
    let plan = Plan {
        workload: Workload::C,
        ..small()
    };
    let outcome = Load::new(&plan, &Blind).unwrap().run().unwrap();
    assert_eq!(outcome.run.totals.missing, outcome.run.totals.achieved);
}

#[test]
fn a_run_that_is_stopped_says_so_and_its_records_hold() {
    let stop = AtomicBool::new(false);
    let table = Table::default();
    let plan = Plan {
        ops: None,
        duration_s: Some(3600.0),
        rate: Some(1000.0),
        ..small()
    };
    let mut observer = |progress: &trunkline::load::Progress<'_>| {
        let is_running = progress.stage == StageName::Run && !progress.is_warm_up;
        stop.fetch_or(is_running, Ordering::Relaxed);
    };
    let load = Load::new(&plan, &table)
        .unwrap()
        .stop(&stop)
        .observer(&mut observer);
    let outcome = load.run().unwrap();
    assert!(outcome.is_interrupted);
    table.agrees_with(&outcome);
}

#[test]
fn deletes_can_be_mixed_in() {
    let table = Table::default();
    let plan = Plan::from_toml(
        "typed",
        "keys = 200\nvalue_bytes = 4\nops = 3000\nrate = 1e6\nbatch = 10\n\
         [mix]\nread = 40\ndelete = 20\nupdate = 20\nread_modify_write = 20",
    );
    let outcome = Load::new(&plan.unwrap(), &table).unwrap().run().unwrap();
    assert!(
        outcome
            .run
            .totals
            .operations
            .contains_key(&OperationKind::Delete)
    );
    assert_eq!(outcome.tally.refused, 0);
    table.agrees_with(&outcome);
}
