use trunkline::{Config, Engine};
use trunkline_load::{Load, Plan, ProofTop, Target, Workload};

use crate::support::small;

#[test]
fn every_key_of_an_engine_holds_what_the_records_say_after_any_workload() {
    for workload in [
        Workload::A,
        Workload::D,
        Workload::E,
        Workload::F,
        Workload::Verify,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path());
        let engine = Engine::open_blocking(config.clone()).unwrap();
        let plan = Plan {
            workload,
            ..small()
        };
        let outcome = Load::new(&plan, &engine).unwrap().run().unwrap();
        assert_eq!((outcome.tally.refused, outcome.run.totals.missing), (0, 0));
        let settings = Config::layers()
            .text("run", &outcome.run.config)
            .unwrap()
            .build();
        assert_eq!(settings.unwrap(), config);
        let snapshot = engine.snapshot();
        for index in 0..outcome.records.len() {
            let held = snapshot.get(&outcome.records.key(index)).unwrap();
            assert_eq!(held.map(Vec::from), outcome.records.value(index));
        }
        assert_eq!(snapshot.get(&outcome.records.absent_key(0)).unwrap(), None);
        drop(snapshot);
        engine.shutdown_blocking().unwrap();
    }
}

#[test]
fn proven_reads_hold_with_either_top() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(Config::in_directory(directory.path())).unwrap();
    let plan = Plan {
        ops: Some(0),
        ..small()
    };
    let outcome = Load::new(&plan, &engine).unwrap().run().unwrap();
    let records = &outcome.records;
    for top in [ProofTop::Hash, ProofTop::Kzg] {
        let present = engine.read_proven(&records.key(3), top).unwrap();
        assert_eq!(present.map(Vec::from), records.value(3));
        assert_eq!(
            engine.read_proven(&records.absent_key(3), top).unwrap(),
            None
        );
    }
    engine.shutdown_blocking().unwrap();
}
