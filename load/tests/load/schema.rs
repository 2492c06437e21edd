//! Compares `load/schema/run.schema.json` with the types and with real runs. After a change of a type:
//! `TRUNKLINE_WRITE_SCHEMA=1 cargo test -p trunkline-load --test load schema`.

use std::path::Path;

use serde_json::Value;
use trunkline::{Config, Engine};
use trunkline_load::{
    IntervalLog, Load, LoadError, LoadThread, Outcome, Plan, Run, Warning, Workload, merge,
    run_schema,
};

use crate::support::{Table, small};

#[track_caller]
fn assert_valid(run: &Run) -> Value {
    let (schema, json) = (run_schema(), serde_json::to_value(run).unwrap());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(&json)
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
    json
}

#[test]
fn the_file_is_the_schema_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/run.schema.json");
    let schema = serde_json::to_string_pretty(&run_schema()).unwrap() + "\n";
    if std::env::var_os("TRUNKLINE_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == schema,
        "{} is old; write it again",
        path.display()
    );
}

/// Returns a run of an engine, with windows, spans and thresholds.
fn of_engine() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::in_directory(directory.path());
    config.control.window_ms = 50;
    let engine = Engine::open_blocking(config).unwrap();
    let plan = Plan {
        workload: Workload::F,
        thresholds: vec![
            "read.p99.9<1s".parse().unwrap(),
            "failed<1".parse().unwrap(),
        ],
        rate: Some(5_000.0),
        ..small()
    };
    let outcome = Load::new(&plan, &engine).unwrap().run().unwrap();
    engine.shutdown_blocking().unwrap();
    outcome
}

#[test]
fn a_run_of_an_engine_is_valid() {
    let outcome = of_engine();
    let run = &outcome.run;
    assert!(!run.windows.is_empty() && !run.spans.is_empty() && run.thresholds.len() == 2);
    let json = assert_valid(run);
    let validator = jsonschema::validator_for(&run_schema()).unwrap();
    let changes: [fn(&mut Value); 5] = [
        |json| json["more"] = 1.into(),
        |json| json["format"] = 3.into(),
        |json| drop(json.as_object_mut().unwrap().remove("totals")),
        |json| json["totals"]["offered"] = (-1).into(),
        |json| json["windows"][0]["number"] = "one".into(),
    ];
    for change in changes {
        let mut other = json.clone();
        change(&mut other);
        assert!(!validator.is_valid(&other));
    }
}

#[test]
fn runs_that_broke_off_or_were_merged_are_valid_and_so_is_every_warning() {
    let table = Table {
        ends_from: Some(20),
        ..Table::default()
    };
    let Err(LoadError::BrokenOff(broken)) = Load::new(&small(), &table).unwrap().run() else {
        panic!("the target ends");
    };
    assert!(broken.outcome.run.ended_by.is_some());
    assert_valid(&broken.outcome.run);

    let part = |instance| {
        let plan = Plan {
            instance,
            ..small()
        };
        let run = Run {
            name: instance.to_string(),
            totals: trunkline_load::Totals {
                scheduled_us: 1_000_000,
                ..Default::default()
            },
            format: trunkline_load::RUN_FORMAT,
            workload: plan.to_toml(),
            ..Run::default()
        };
        (run, IntervalLog::new(0))
    };
    let (mut run, _) = merge(&[part(1), part(2)]).unwrap();
    run.warnings = warnings();
    assert_valid(&run);
}

fn warnings() -> Vec<Warning> {
    let text = String::new;
    let all = [
        Warning::GeneratorLate {
            p99_us: 1.0,
            max_us: 2.0,
        },
        Warning::Dropped {
            percent: 0.5,
            in_flight_max: 1,
            readers_busy: false,
            load_busy: true,
        },
        Warning::Failed {
            operations: 1,
            first: text(),
        },
        Warning::Refused {
            batches: 1,
            first: text(),
        },
        Warning::Missing { keys: 1 },
        Warning::ReadersBusy {
            readers: 1,
            percent: 99.0,
            read_us: 1.0,
        },
        Warning::ThreadBusy {
            thread: LoadThread::Submitter,
            percent: 99.0,
        },
        Warning::SecondsLeftOut { seconds: 1 },
        Warning::Interrupted,
        Warning::Replayed {
            trace: text(),
            speed: 1.0,
            has_deletes: false,
        },
        Warning::RateUncertain,
        Warning::PartlyOverlapping {
            window_s: 1.0,
            whole_s: 2.0,
        },
        Warning::BrokenOff {
            reason: text(),
            seconds: 1.0,
        },
    ];
    all.into()
}
