use trunkline::load::{Load, Phase, Plan, Schedule, Shape, TraceReader, Workload};

use crate::support::{Table, small};

fn shaped() -> Plan {
    let phase = Phase {
        at_s: 0.001,
        rate_factor: 2.0,
        workload: Some(Workload::F),
        distribution: None,
    };
    Plan {
        shape: Shape::Sine {
            period_s: 0.01,
            amplitude: 0.5,
        },
        phase: vec![phase],
        ..small()
    }
}

#[test]
fn what_a_run_records_is_what_its_schedule_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operations.trace");
    let table = Table::default();
    let load = Load::new(&shaped(), &table).unwrap().record(&path);
    let outcome = load.run().unwrap();
    let mut trace = TraceReader::open(&path).unwrap();
    for timed in Schedule::new(&shaped()) {
        assert_eq!(trace.next_operation().unwrap(), Some(timed));
    }
    assert_eq!(trace.next_operation().unwrap(), None);
    assert_eq!(trace.summary().operations, outcome.run.totals.offered);
}

#[test]
fn a_trace_replayed_ends_in_the_same_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operations.trace");
    let (first, second) = (Table::default(), Table::default());
    let first_outcome = Load::new(&shaped(), &first)
        .unwrap()
        .record(&path)
        .run()
        .unwrap();
    let other = Plan {
        workload: Workload::C,
        keys: 7,
        ..small()
    };
    let load = Load::new(&other, &second)
        .unwrap()
        .replay(&path, 2.0)
        .unwrap();
    let outcome = load.run().unwrap();
    assert_eq!(outcome.run.totals.offered, first_outcome.run.totals.offered);
    assert!(
        outcome
            .run
            .warnings
            .iter()
            .any(|line| line.contains("operations.trace"))
    );
    second.agrees_with(&outcome);
    if first_outcome.run.totals.dropped + outcome.run.totals.dropped == 0 {
        assert_eq!(
            *first.values.lock().unwrap(),
            *second.values.lock().unwrap()
        );
    }
}

#[test]
fn a_run_holds_the_plan_that_gives_its_operations_again() {
    let table = Table::default();
    let outcome = Load::new(&shaped(), &table).unwrap().run().unwrap();
    let again = Plan::from_toml("run", &outcome.run.workload).unwrap();
    assert!(Schedule::new(&again).eq(Schedule::new(&shaped())));
}
