//! A failure of any stage, disk or store reaches every waiter, and the directory can be opened again.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use trunkline::testing::{InjectedError, StageFault};
use trunkline::{Durable, Engine, EngineFailure, Receipt, Stage, SubmitError};
use trunkline_testkit::patience::{HANGS_AFTER, receive};

use crate::support::{Rig, put, puts, until, without_hanging};

/// Returns a rig with few permits, so that a caller waits to submit.
fn rig() -> Rig {
    Rig::with(|config| {
        config.submit.batch_operations_max = 20;
        config.submit.in_flight_operations_max = 20;
        config.group.in_flight_max = 2;
    })
}

/// Starts every call that can wait for an engine, each on its own thread or as a task. Each returns its failure.
fn waiters(engine: &Engine, receipt: &Receipt) -> Vec<JoinHandle<Option<EngineFailure>>> {
    type Wait = Box<dyn FnOnce(Engine, Receipt) -> Option<EngineFailure> + Send>;
    fn refused(result: Result<Receipt, SubmitError>) -> Option<EngineFailure> {
        match result {
            Ok(receipt) => receipt.durable_blocking().err(),
            Err(SubmitError::Engine(failure)) => Some(failure),
            Err(other) => panic!("{other}"),
        }
    }
    let many = || puts((0..20_u32).map(|key| (key.to_le_bytes(), "v")));
    let waits: Vec<Wait> = vec![
        Box::new(|_, receipt| receipt.durable_blocking().err()),
        Box::new(|_, receipt| pollster::block_on(receipt.durable()).err()),
        Box::new(|_, receipt| {
            receipt
                .hashed_blocking()
                .and(receipt.durable_blocking())
                .err()
        }),
        Box::new(|_, receipt| {
            pollster::block_on(receipt.hashed())
                .and(receipt.durable_blocking())
                .err()
        }),
        Box::new(|_, receipt| {
            receipt
                .root_ready_blocking()
                .and(receipt.durable_blocking())
                .map(drop)
                .err()
        }),
        Box::new(|_, receipt| {
            pollster::block_on(receipt.root_ready())
                .map(drop)
                .and(receipt.durable_blocking())
                .err()
        }),
        Box::new(move |engine, _| refused(engine.submit_blocking(many()))),
        Box::new(move |engine, _| refused(pollster::block_on(engine.submit(many())))),
        Box::new(|engine, _| engine.drain_blocking().err()),
        Box::new(|engine, _| pollster::block_on(engine.drain()).err()),
    ];
    let start = |wait: Wait| {
        let (engine, receipt) = (engine.clone(), receipt.clone());
        std::thread::spawn(move || wait(engine, receipt))
    };
    waits.into_iter().map(start).collect()
}

fn join<T: Send + 'static>(thread: JoinHandle<T>, what: &str) -> T {
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(thread.join()));
    match receive(&ended, HANGS_AFTER / 2) {
        Ok(Ok(found)) => found,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => panic!("{what} hangs"),
    }
}

/// Keeps the engine busy until it fails, and checks that all waiters get the same cause. Returns the durable receipts.
fn everybody_is_told(engine: &Engine, is_cause: impl Fn(&EngineFailure) -> bool) -> Vec<Durable> {
    let mut durable = Vec::new();
    let mut waiting = Vec::new();
    for round in 0..1000_u64 {
        let batch = puts([(format!("key {round}"), format!("{round}"))]);
        let receipt = match engine.submit_blocking(batch) {
            Ok(receipt) => receipt,
            Err(SubmitError::Engine(failure)) => {
                assert!(is_cause(&failure), "{failure:?}");
                break;
            }
            Err(other) => panic!("{other}"),
        };
        if round < 3 {
            waiting.extend(waiters(engine, &receipt));
        }
        match receipt.durable_blocking() {
            Ok(found) => durable.push(found),
            Err(failure) => {
                assert!(is_cause(&failure), "{failure:?}");
                waiting.extend(waiters(engine, &receipt));
            }
        }
    }
    let failure = engine.failure().expect("the engine has failed");
    assert!(
        is_cause(&failure) && !failure.retry_can_help(),
        "{failure:?}"
    );
    for (waiter, index) in waiting.into_iter().zip(0..) {
        if let Some(failure) = join(waiter, &format!("waiter {}", index % 10)) {
            assert!(is_cause(&failure), "{failure:?}");
        }
    }
    for result in [
        engine.try_submit(puts([("a", "1")])),
        engine.put_blocking("a", "1"),
    ] {
        assert!(matches!(result, Err(SubmitError::Engine(failure)) if is_cause(&failure)));
    }
    let mut ends: Vec<_> = (0..2)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || engine.shutdown_blocking())
        })
        .collect();
    assert!(engine.metrics().failed);
    let engine = engine.clone();
    ends.push(std::thread::spawn(move || {
        pollster::block_on(engine.shutdown())
    }));
    for end in ends {
        assert!(is_cause(&join(end, "shutdown").unwrap_err()));
    }
    durable
}

/// Checks that every durable receipt holds after reopening, and that the new engine works.
fn all_is_there(rig: &Rig, durable: &[Durable]) {
    let engine = rig.open();
    let snapshot = engine.snapshot();
    if let Some(last) = durable.last() {
        assert!(snapshot.version() >= last.version);
        if snapshot.version() == last.version {
            assert_eq!(snapshot.commit_id(), last.commit_id);
        }
    }
    let goes_on = put(&engine, "goes on", "1");
    assert_eq!(goes_on.version, snapshot.version() + 1);
    engine.shutdown_blocking().unwrap();
}

fn is_injected(failure: &EngineFailure, stage: Stage, fault: StageFault) -> bool {
    match failure {
        EngineFailure::Panic { stage: at, message } => {
            fault == StageFault::Panic && *at == stage && message.contains("test asked for")
        }
        EngineFailure::Stage { stage: at, source } => {
            fault == StageFault::Error && *at == stage && source.is::<InjectedError>()
        }
        _ => false,
    }
}

fn in_stage(stage: Stage) {
    without_hanging(move || {
        for fault in [StageFault::Panic, StageFault::Error] {
            for after in [0, 1, 7] {
                let rig = rig();
                put(&rig.open(), "before", "1");
                let builder = rig.builder().fail_stage(stage, after, fault);
                let engine = builder.open_blocking().unwrap();
                let is_cause = |failure: &EngineFailure| is_injected(failure, stage, fault);
                let durable = everybody_is_told(&engine, is_cause);
                all_is_there(&rig, &durable);
                assert_eq!(rig.open().get(b"before").unwrap(), Some("1".into()));
            }
        }
    });
}

#[test]
fn a_failure_of_ingest_reaches_all_waiters() {
    in_stage(Stage::Ingest);
}

#[test]
fn a_failure_of_the_tree_reaches_all_waiters() {
    in_stage(Stage::Tree);
}

#[test]
fn a_failure_of_hash_reaches_all_waiters() {
    in_stage(Stage::Hash);
}

#[test]
fn a_failure_of_kzg_reaches_all_waiters() {
    in_stage(Stage::Kzg);
}

#[test]
fn a_failure_of_persist_reaches_all_waiters() {
    in_stage(Stage::Persist);
}

fn has_source(failure: &EngineFailure, kind: io::ErrorKind) -> bool {
    let mut source: Option<&dyn Error> = Some(failure);
    while let Some(error) = source {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == kind)
        {
            return true;
        }
        source = match error.source() {
            // `source` of an `io::Error` skips the inner error itself.
            None => None,
            Some(deeper) => Some(deeper),
        };
    }
    false
}

/// The sync fails while a caller waits for the disk, or before one does.
#[test]
fn a_failed_sync_reaches_all_waiters() {
    without_hanging(|| {
        for held_up in [true, false] {
            let rig = rig();
            let engine = rig.open();
            let before = put(&engine, "before", "1");
            if held_up {
                rig.disk.syncs.close();
                let receipt = engine.put_blocking("key", "1").unwrap();
                rig.disk.syncs.wait_for_a_waiter();
                let waiting = waiters(&engine, &receipt);
                rig.disk.syncs.fail(Some(io::ErrorKind::PermissionDenied));
                rig.disk.syncs.open();
                for waiter in waiting {
                    assert!(join(waiter, "a waiter").is_some());
                }
            } else {
                rig.disk.syncs.fail(Some(io::ErrorKind::PermissionDenied));
            }
            let is_cause = |failure: &EngineFailure| {
                let of_persist = matches!(
                    failure,
                    EngineFailure::Stage {
                        stage: Stage::Persist,
                        ..
                    }
                );
                of_persist && has_source(failure, io::ErrorKind::PermissionDenied)
            };
            let mut durable = everybody_is_told(&engine, is_cause);
            durable.insert(0, before);
            rig.disk.syncs.fail(None);
            all_is_there(&rig, &durable);
        }
    });
}

#[test]
fn a_full_disk_reaches_all_waiters() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let before = put(&engine, "before", "1");
        rig.disk.appends.fail(Some(io::ErrorKind::StorageFull));
        let mut durable = everybody_is_told(&engine, |failure| {
            has_source(failure, io::ErrorKind::StorageFull)
        });
        durable.insert(0, before);
        // Opening also fails while the disk is full, and gives the reason.
        let error = rig.builder().open_blocking().unwrap_err();
        assert!(format!("{error:?}").contains("StorageFull"), "{error:?}");
        rig.disk.appends.fail(None);
        all_is_there(&rig, &durable);
    });
}

#[test]
fn a_failed_checkpoint_reaches_all_waiters() {
    without_hanging(|| {
        let mut rig = rig();
        rig.config.checkpoint.bytes_max = 4096;
        rig.config.checkpoint.unflushed_bytes_max = 8192;
        let engine = rig.open();
        let before = put(&engine, "before", &"x".repeat(1000));
        rig.leaves.ingestions.fail(Some(io::ErrorKind::StorageFull));
        let mut durable = everybody_is_told(&engine, |failure| {
            matches!(failure, EngineFailure::Checkpoint { .. })
        });
        durable.insert(0, before);
        rig.leaves.ingestions.fail(None);
        all_is_there(&rig, &durable);
    });
}

/// Commits that wait for a checkpoint that is far behind fail with it.
#[test]
fn a_failed_checkpoint_that_commits_wait_for_reaches_all_waiters() {
    without_hanging(|| {
        let mut rig = rig();
        rig.config.checkpoint.bytes_max = 4096;
        rig.config.checkpoint.unflushed_bytes_max = 4096;
        let engine = rig.open();
        rig.leaves.ingestions.close();
        let first = engine.put_blocking("a", "x".repeat(5000)).unwrap();
        rig.leaves.ingestions.wait_for_a_waiter();
        first.durable_blocking().unwrap();
        let second = engine.put_blocking("b", "1").unwrap();
        second.hashed_blocking().unwrap();
        let waiting = waiters(&engine, &second);
        rig.leaves.ingestions.fail(Some(io::ErrorKind::StorageFull));
        rig.leaves.ingestions.open();
        for waiter in waiting {
            let failure = join(waiter, "a waiter").expect("all fail");
            assert!(
                matches!(failure, EngineFailure::Checkpoint { .. }),
                "{failure:?}"
            );
        }
        until(|| engine.failure().is_some());
        drop(engine);
        rig.leaves.ingestions.fail(None);
        assert_eq!(rig.open().get(b"a").unwrap(), Some("x".repeat(5000).into()));
    });
}

/// A caller that waits for a KZG root which will not be computed gets the failure.
#[test]
fn a_failure_reaches_those_who_wait_for_a_root_of_a_durable_version() {
    without_hanging(|| {
        let mut rig = rig();
        rig.config.kzg.mode = trunkline::config::KzgMode::OnDemand;
        let builder = rig.builder().fail_stage(Stage::Tree, 1, StageFault::Error);
        let engine = Arc::new(builder.open_blocking().unwrap());
        let first = engine.put_blocking("a", "1").unwrap();
        first.durable_blocking().unwrap();
        let second = engine.put_blocking("a", "2").unwrap();
        assert!(second.root_ready_blocking().is_err());
        assert!(first.root_ready_blocking().is_err());
        assert!(first.durable_blocking().is_ok());
    });
}
