//! Shutting down.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use trunkline::config::KzgMode;
use trunkline::{Engine, EngineFailure, ReadError, SubmitError};

use crate::support::{Rig, log_only, put, puts, until, without_hanging};

#[test]
fn calls_after_a_shutdown_fail() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let other = engine.clone();
        put(&engine, "a", "1");
        engine.shutdown_blocking().unwrap();
        let batch = || puts([("a", "2")]);
        for result in [
            other.submit_blocking(batch()),
            other.try_submit(batch()),
            other.delete_blocking("a"),
        ] {
            assert!(matches!(
                result,
                Err(SubmitError::Engine(EngineFailure::Closed))
            ));
        }
        assert!(matches!(other.drain_blocking(), Err(EngineFailure::Closed)));
        assert!(matches!(other.failure(), Some(EngineFailure::Closed)));
        other.shutdown_blocking().unwrap();
        assert!(matches!(
            other.get(b"a"),
            Err(ReadError::Engine(EngineFailure::Closed))
        ));
        // Durable values in memory can still be read.
        let snapshot = other.snapshot();
        assert_eq!(snapshot.version(), 1);
        assert_eq!(snapshot.get(b"a").unwrap(), Some("1".into()));
    });
}

#[test]
fn what_was_accepted_before_a_shutdown_is_durable_after_it() {
    without_hanging(|| {
        for mode in [KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand] {
            let rig = Rig::with(|config| {
                config.kzg.mode = mode;
                config.group.linger_ms = 60_000;
            });
            let engine = rig.open();
            let receipts: Vec<_> = (0..100)
                .map(|key| engine.put_blocking(format!("{key}"), "v").unwrap())
                .collect();
            engine.shutdown_blocking().unwrap();
            for receipt in &receipts {
                receipt.durable_blocking().unwrap();
                // A root that was not requested before is no longer computed.
                match receipt.root_ready_blocking() {
                    Ok(_) => {}
                    Err(EngineFailure::Closed) => assert_eq!(mode, KzgMode::OnDemand),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(rig.open().snapshot().key_count(), 100);
        }
    });
}

/// Every call returns after the shutdown is complete, so that the directory can be opened again.
#[test]
fn many_handles_can_shut_down_at_once() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..10 {
            let engine = Engine::open_blocking(log_only(directory.path())).unwrap();
            engine.put_blocking("a", format!("{round}")).unwrap();
            let callers: Vec<_> = (0..3)
                .map(|caller| {
                    let (engine, path) = (engine.clone(), directory.path().to_owned());
                    std::thread::spawn(move || {
                        match caller {
                            0 => pollster::block_on(engine.shutdown()).unwrap(),
                            _ => engine.shutdown_blocking().unwrap(),
                        }
                        trunkline::core::store::lock::DirectoryLock::acquire_shared(&path).unwrap();
                    })
                })
                .collect();
            for caller in callers {
                caller.join().unwrap();
            }
        }
    });
}

/// A shutdown continues if its future is dropped, and keeps the lock of the directory until its end.
#[test]
fn a_shutdown_completes_even_if_nobody_waits_for_it() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "1").unwrap();
        rig.disk.syncs.wait_for_a_waiter();
        {
            let mut context = Context::from_waker(Waker::noop());
            let mut given_up = pin!(engine.shutdown());
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        let other = engine.clone();
        drop(engine);
        rig.disk.syncs.open();
        receipt.durable_blocking().unwrap();
        until(|| matches!(other.failure(), Some(EngineFailure::Closed)));
        other.shutdown_blocking().unwrap();
        assert_eq!(rig.open().get(b"a").unwrap(), Some("1".into()));
    });
}

#[test]
fn a_caller_that_waits_to_submit_learns_of_the_shutdown() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 1;
            config.submit.in_flight_operations_max = 1;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        let accepted = engine.put_blocking("a", "1").unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(engine.submit(puts([("b", "1")])));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let mut end = pin!(engine.shutdown());
        assert!(end.as_mut().poll(&mut context).is_pending());
        rig.disk.syncs.open();
        pollster::block_on(end).unwrap();
        accepted.durable_blocking().unwrap();
        let turned_away = pollster::block_on(waiting);
        assert!(matches!(
            turned_away,
            Err(SubmitError::Engine(EngineFailure::Closed))
        ));
    });
}

/// A concurrent drain succeeds or fails with `Closed`, and nothing else fails.
#[test]
fn a_drain_during_a_shutdown_does_not_fail_the_engine() {
    without_hanging(|| {
        for _ in 0..20 {
            let engine = Rig::new().open();
            engine.put_blocking("a", "1").unwrap();
            let drains: Vec<_> = (0..2)
                .map(|_| {
                    let engine = engine.clone();
                    std::thread::spawn(move || engine.drain_blocking())
                })
                .collect();
            engine.shutdown_blocking().unwrap();
            for drain in drains {
                let drained = drain.join().unwrap();
                assert!(
                    matches!(drained, Ok(()) | Err(EngineFailure::Closed)),
                    "{drained:?}"
                );
            }
            assert!(matches!(engine.failure(), Some(EngineFailure::Closed)));
        }
    });
}
