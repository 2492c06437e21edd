use trunkline_load::{Load, Phase, Plan, Schedule, Shape, Shares, TraceReader, Warning, Workload};

use crate::support::{Table, small};

fn shaped() -> Plan {
    let phase = Phase {
        at_s: 0.001,
        rate_factor: 2.0,
        workload: Some(Workload::F),
        distribution: None,
        mix: None,
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
    let noted = |warning: &Warning| match warning {
        Warning::Replayed { trace, .. } => trace.ends_with("operations.trace"),
        _ => false,
    };
    assert!(outcome.run.warnings.iter().any(noted));
    let replayed = outcome.run.replayed.as_ref().unwrap();
    assert_eq!(
        (replayed.name.as_str(), replayed.speed),
        ("operations.trace", 2.0)
    );
    assert_eq!(replayed.digest.len(), 64);
    assert!(first_outcome.run.replayed.is_none());
    second.agrees_with(&outcome);
    if first_outcome.run.totals.dropped + outcome.run.totals.dropped == 0 {
        assert_eq!(
            *first.values.lock().unwrap(),
            *second.values.lock().unwrap()
        );
    }
}

#[test]
fn a_trace_that_deletes_expects_nothing_of_its_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operations.trace");
    let mix = Shares {
        read: 50,
        delete: 50,
        ..Shares::default()
    };
    let plan = Plan {
        mix: Some(mix),
        ..small()
    };
    let table = Table::default();
    let load = Load::new(&plan, &table).unwrap().record(&path);
    assert_eq!(load.run().unwrap().tally.missing, 0);
    let again = Table::default();
    let load = Load::new(&small(), &again).unwrap();
    let outcome = load.replay(&path, 1.0).unwrap().run().unwrap();
    assert_eq!((outcome.tally.missing, outcome.run.totals.missing), (0, 0));
    let note = |warning: &Warning| warning.to_string().contains("the trace deletes keys");
    assert!(outcome.run.warnings.iter().any(note));
    again.agrees_with(&outcome);
}

#[test]
fn a_run_holds_the_plan_that_gives_its_operations_again() {
    let table = Table::default();
    let outcome = Load::new(&shaped(), &table).unwrap().run().unwrap();
    let again = Plan::from_toml("run", &outcome.run.workload).unwrap();
    assert!(Schedule::new(&again).eq(Schedule::new(&shaped())));
}
