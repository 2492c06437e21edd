use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use trunkline_load::{
    BrokenOff, Load, LoadError, Mode, OperationKind, Pending, Phase, Plan, Run, Shares, StageName,
    Target, TargetError, Warning, Workload, WriteBatch, Written,
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
        // A million operations per second are due, whatever the target does.
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
fn no_more_operations_are_in_flight_than_are_allowed() {
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
    let is_dropped = |warning: &Warning| matches!(warning, Warning::Dropped { .. });
    assert_eq!(
        outcome.run.warnings.iter().any(is_dropped),
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
    assert!(outcome.run.warnings.contains(&Warning::RateUncertain));
    table.agrees_with(&outcome);
}

#[test]
fn operations_that_fail_are_counted_and_the_run_continues() {
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
    assert_eq!(outcome.tally.first_failure.as_deref(), Some("disk full"));
    let failed = Warning::Failed {
        operations: totals.failed,
        first: "disk full".to_owned(),
    };
    assert!(outcome.run.warnings.contains(&failed));
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
    let broken = broken_off(&plan, &table);
    assert!(matches!(broken.source, LoadError::Target(error) if error.to_string() == "it is gone"));
    // The target fails before anything was measured.
    let table = Table {
        ends_from: Some(3),
        ..Table::default()
    };
    let error = Load::new(&plan, &table).unwrap().run().unwrap_err();
    assert!(matches!(error, LoadError::Target(_)));
    let table = Table {
        fails_from: Some(3),
        ..Table::default()
    };
    let error = Load::new(&plan, &table).unwrap().run().unwrap_err();
    assert_eq!(error.to_string(), "the keys could not be put: disk full");
}

#[track_caller]
fn broken_off(plan: &Plan, target: &dyn Target) -> BrokenOff {
    match Load::new(plan, target).unwrap().run() {
        Err(LoadError::BrokenOff(broken)) => *broken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_breaks_off_gives_what_was_measured_until_then() {
    for mode in [Mode::Open, Mode::Closed] {
        // The fill takes ten batches, the run a hundred.
        let table = Table {
            ends_from: Some(60),
            ..Table::default()
        };
        let plan = Plan {
            workload: Workload::Write,
            mode,
            ..small()
        };
        let outcome = broken_off(&plan, &table).outcome;
        let run = &outcome.run;
        let totals = &run.totals;
        // The batches of a late open loop are not all full.
        let is_full = mode == Mode::Closed;
        assert!((1..=1_000).contains(&totals.achieved), "{totals:?}");
        assert!(totals.achieved == 1_000 || !is_full, "{totals:?}");
        assert!(totals.failed > 0);
        let updates = totals.operations[&OperationKind::Update].achieved;
        assert_eq!(updates, totals.achieved);
        let seconds = run.seconds.iter().map(|second| second.achieved);
        assert_eq!(seconds.sum::<u64>(), totals.achieved);
        assert_eq!(
            run.ended_by.as_deref(),
            Some("the target failed: it is gone")
        );
        let says = |warning: &Warning| match warning {
            Warning::BrokenOff { reason, .. } => Some(reason) == run.ended_by.as_ref(),
            _ => false,
        };
        assert!(run.warnings.iter().any(says), "{:?}", run.warnings);

        let directory = tempfile::tempdir().unwrap();
        outcome.write_to(directory.path()).unwrap();
        assert_eq!(&Run::read_from(directory.path()).unwrap(), run);
    }
}

#[test]
fn a_trace_that_cannot_be_written_leaves_what_was_measured() {
    let table = Table::default();
    // The target accepts what fits its buffer, and then nothing.
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let plan = Plan {
        ops: Some(50_000),
        ..small()
    };
    let load = Load::new(&plan, &table).unwrap().record(full);
    match load.run() {
        Err(LoadError::BrokenOff(broken)) => {
            assert!(matches!(broken.source, LoadError::Trace(_)));
            assert!(broken.outcome.run.totals.achieved > 0);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_observer_can_ask_for_the_second_under_way() {
    let table = Table::default();
    let plan = Plan {
        ops: None,
        duration_s: Some(3600.0),
        warmup_s: Some(0.0),
        rate: Some(1000.0),
        ..small()
    };
    let (stop, mut achieved) = (AtomicBool::new(false), 0);
    let mut observer = |progress: &trunkline_load::Progress<'_>| {
        if progress.stage == StageName::Run {
            achieved = (progress.current)().achieved;
            stop.fetch_or(achieved > 0, Ordering::Relaxed);
        }
    };
    let load = Load::new(&plan, &table).unwrap().stop(&stop);
    load.observer(&mut observer).run().unwrap();
    assert!(achieved > 0);
}

#[test]
fn an_operation_that_a_target_does_not_support_ends_the_run() {
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
    let broken = broken_off(&plan, &Blind);
    assert!(matches!(
        broken.source,
        LoadError::Target(TargetError::Unsupported(_))
    ));

    // The target finds none of the keys that were put.
    let plan = Plan {
        workload: Workload::C,
        ..small()
    };
    let outcome = Load::new(&plan, &Blind).unwrap().run().unwrap();
    assert_eq!(outcome.run.totals.missing, outcome.run.totals.achieved);

    // It does not find those of a read-modify-write either.
    let plan = Plan {
        mix: Some(Shares {
            read_modify_write: 100,
            ..Shares::default()
        }),
        ..small()
    };
    let outcome = Load::new(&plan, &Blind).unwrap().run().unwrap();
    assert!(outcome.tally.missing > 0);
    assert_eq!(outcome.tally.missing, outcome.tally.keys_read);
}

#[test]
fn as_many_threads_read_in_a_closed_loop_as_batches_are_under_way_unless_it_is_said() {
    let readers = |mode, concurrency, readers| {
        let table = Table::default();
        let plan = Plan {
            mode,
            concurrency,
            readers,
            ..small()
        };
        let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
        // A run holds the number of its readers.
        let ran = Plan::from_toml("run", &outcome.run.workload).unwrap();
        (plan.readers(), ran.readers)
    };
    assert_eq!(readers(Mode::Closed, 3, None), (3, Some(3)));
    assert_eq!(readers(Mode::Closed, 3, Some(1)), (1, Some(1)));
    assert_eq!(readers(Mode::Open, 3, None), (1, Some(1)));
    let closed = |plan: Plan| {
        let plan = Plan {
            mode: Mode::Closed,
            ..plan
        };
        plan.readers()
    };
    let many = Plan {
        concurrency: 5_000,
        ..Plan::default()
    };
    assert_eq!(closed(many), 1024);
    let nothing_read = Plan {
        workload: Workload::Write,
        ..Plan::default()
    };
    assert_eq!(closed(nothing_read.clone()), 1);
    let phase = Phase {
        at_s: 1.0,
        rate_factor: 1.0,
        workload: Some(Workload::C),
        distribution: None,
        mix: None,
    };
    let read_later = Plan {
        phase: vec![phase],
        ..nothing_read
    };
    assert_eq!(closed(read_later), 16);
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
    let mut observer = |progress: &trunkline_load::Progress<'_>| {
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

/// Refused writes did not take effect, and must not count as wrong values.
#[test]
fn refused_writes_are_not_counted_as_written() {
    for workload in [Workload::Write, Workload::F] {
        let table = Table {
            refuses_one_in: Some(7),
            ..Table::default()
        };
        let plan = Plan {
            workload,
            ..small()
        };
        let outcome = Load::new(&plan, &table).unwrap().run().unwrap();
        let (tally, totals) = (&outcome.tally, &outcome.run.totals);
        assert!(tally.refused > 0, "{tally:?}");
        assert_eq!(tally.failed_writes, 0);
        let follows = tally.refused_in_consequence > 0;
        assert_eq!(follows, workload == Workload::F, "{tally:?}");
        assert!(
            totals.failed > 0 && totals.achieved + totals.failed + totals.dropped == totals.offered
        );
        let warned = |warning: &Warning| matches!(warning, Warning::Failed { .. });
        assert!(!outcome.run.warnings.iter().any(warned));

        let records = &outcome.records;
        let held = table.values.lock().unwrap();
        let mut certain = 0;
        for index in (0..records.len()).filter(|index| records.is_certain(*index)) {
            let held = held.get(&records.key(index)[..]).cloned();
            assert_eq!(held.map(Vec::from), records.value(index), "key {index}");
            certain += 1;
        }
        assert!(workload == Workload::F || certain > 0);
        assert!(certain < records.len());
    }
}

#[test]
fn a_fill_that_is_refused_ends_the_load() {
    let table = Table {
        refuses_one_in: Some(11),
        ..Table::default()
    };
    let plan = Plan {
        keys: 400,
        ..small()
    };
    let error = Load::new(&plan, &table).unwrap().run().unwrap_err();
    let says = "the keys could not be put: a batch was refused: another value";
    assert_eq!(error.to_string(), says);
}

/// Delays a batch until the next one took effect, or until a caller waits for it.
#[derive(Clone, Default)]
struct Swapping {
    table: Arc<Table>,
    held: Arc<Mutex<Option<WriteBatch>>>,
}

impl Target for Swapping {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let mut held = self.held.lock().unwrap();
        let Some(earlier) = held.take() else {
            *held = Some(batch.clone());
            let target = self.clone();
            return Ok(Box::new(move || {
                let own = target.held.lock().unwrap().take();
                own.map_or(Ok(Written::Applied), |own| target.table.submit(&own)?())
            }));
        };
        self.table.submit(batch)?()?;
        self.table.submit(&earlier)?()?;
        Ok(Box::new(|| Ok(Written::OutOfOrder)))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.table.read(key)
    }
}

#[test]
fn of_batches_that_took_effect_out_of_order_nothing_is_certain_until_their_keys_are_written_again()
{
    let target = Swapping::default();
    let plan = Plan {
        keys: 40,
        workload: Workload::Write,
        batch: 10,
        ..small()
    };
    let outcome = Load::new(&plan, &target).unwrap().run().unwrap();
    let totals = &outcome.run.totals;
    assert_eq!(
        (totals.achieved + totals.dropped, totals.failed),
        (2_000, 0)
    );
    assert!(outcome.tally.out_of_order > 0);
    for index in (0..40).filter(|index| outcome.records.is_certain(*index)) {
        let held = target.read(&outcome.records.key(index)).unwrap();
        assert_eq!(
            held.map(Vec::from),
            outcome.records.value(index),
            "key {index}"
        );
    }
}
