//! Blocking calls on the threads of every kind of runtime: no call needs its task to yield.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_executor::{LocalPool, block_on};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, block_in_place, coop, spawn_blocking};
use trunkline::{Engine, EngineFailure, EvidenceError, TopKind};

use crate::support::{Rig, log_only, puts, until, without_hanging};

/// More calls than tokio lets a task make before it has to yield (128).
const CALLS: usize = 300;

/// Makes every blocking call, and the frequent ones often.
fn every_blocking_call() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(log_only(directory.path())).unwrap();
    for call in 0..CALLS {
        engine.put_blocking(format!("k{call}"), "v").unwrap();
        engine.delete_blocking(format!("k{call}")).unwrap();
        let receipt = engine.submit_blocking(puts([("a", "1")])).unwrap();
        assert!(receipt.hashed_blocking().unwrap().outcome.is_applied());
    }
    for call in 0..CALLS / 10 {
        let receipt = engine.put_blocking("b", format!("{call}")).unwrap();
        receipt.root_ready_blocking().unwrap();
        receipt.durable_blocking().unwrap();
        receipt.evidence_blocking().unwrap();
        engine.drain_blocking().unwrap();
        engine.snapshot().prove(["a"], TopKind::Kzg).unwrap();
    }
    engine.shutdown_blocking().unwrap();
    let closed = engine.drain_blocking();
    assert!(matches!(closed, Err(EngineFailure::Closed)));
    // The last handle is dropped without a shutdown.
    let engine = Engine::open_blocking(log_only(directory.path())).unwrap();
    engine.put_blocking("c", "3").unwrap();
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).build().unwrap()
}

#[test]
fn blocking_calls_work_without_a_runtime() {
    without_hanging(every_blocking_call);
}

#[test]
fn blocking_calls_work_in_a_current_thread_runtime() {
    without_hanging(|| current_thread().block_on(async { every_blocking_call() }));
}

#[test]
fn blocking_calls_work_in_tasks_of_a_multi_thread_runtime_that_block_all_its_threads() {
    without_hanging(|| {
        let runtime = multi_thread();
        let tasks = [(); 4].map(|()| runtime.spawn(async { every_blocking_call() }));
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        let in_place = runtime.spawn(async { block_in_place(every_blocking_call) });
        runtime.block_on(in_place).unwrap();
    });
}

#[test]
fn blocking_calls_work_on_threads_for_blocking_work() {
    without_hanging(|| {
        let work = async { spawn_blocking(every_blocking_call).await.unwrap() };
        current_thread().block_on(work);
    });
}

#[test]
fn blocking_calls_work_in_a_local_set() {
    without_hanging(|| {
        let set = LocalSet::new();
        let task = set.spawn_local(async { every_blocking_call() });
        set.block_on(&current_thread(), task).unwrap();
    });
}

#[test]
fn blocking_calls_work_in_a_system_of_actix() {
    without_hanging(|| {
        actix::System::new().block_on(async {
            every_blocking_call();
            actix::spawn(async { every_blocking_call() }).await.unwrap();
        });
    });
}

#[test]
fn blocking_calls_work_in_executors_other_than_tokio() {
    without_hanging(|| {
        block_on(async { every_blocking_call() });
        LocalPool::new().run_until(async { every_blocking_call() });
    });
}

/// Uses up the calls that tokio lets a task make before it has to yield.
async fn use_up_the_budget() {
    poll_fn(|context| {
        while let Poll::Ready(progress) = coop::poll_proceed(context) {
            progress.made_progress();
        }
        Poll::Ready(())
    })
    .await;
    assert!(!coop::has_budget_remaining());
}

#[test]
fn each_blocking_call_works_in_a_task_that_has_used_up_its_budget() {
    type Call = fn(Engine);
    let calls: [Call; 6] = [
        |engine| drop(engine.put_blocking("a", "1").unwrap()),
        |engine| drop(engine.delete_blocking("a").unwrap()),
        |engine| drop(engine.submit_blocking(puts([("a", "1")])).unwrap()),
        |engine| engine.drain_blocking().unwrap(),
        |engine| engine.shutdown_blocking().unwrap(),
        drop,
    ];
    without_hanging(move || {
        for call in calls {
            current_thread().block_on(async {
                let engine = Rig::new().open();
                engine.put_blocking("b", "2").unwrap();
                use_up_the_budget().await;
                call(engine);
            });
        }
    });
}

/// Drops an engine when it is woken, like the last waker of a task that its executor has forgotten.
struct OwnsEngine(Mutex<Option<Engine>>);

impl Wake for OwnsEngine {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().take());
    }
}

#[test]
fn the_last_handle_can_be_dropped_on_a_thread_of_the_engine() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "1").unwrap();
        let waker = Waker::from(Arc::new(OwnsEngine(Mutex::new(Some(engine)))));
        let mut durable = pin!(receipt.durable());
        let polled = durable.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        rig.disk.syncs.open();
        until(|| matches!(receipt.evidence_blocking(), Err(EvidenceError::Gone)));
        assert!(rig.open().recovery().survey.closed);
    });
}

#[test]
fn a_blocking_call_passes_a_task_of_its_thread_that_waits_for_room() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 2;
            config.submit.in_flight_operations_max = 2;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        engine
            .submit_blocking(puts([("a", "1"), ("b", "1")]))
            .unwrap();
        let set = LocalSet::new();
        set.block_on(&current_thread(), async {
            let mut waiting = pin!(engine.submit(puts([("c", "1"), ("d", "1")])));
            let first = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context)));
            assert!(first.await.is_pending());
            // From now on there is room for the task, which cannot run.
            rig.disk.syncs.open();
            for call in 0..5 {
                engine.put_blocking(format!("{call}"), "1").unwrap();
            }
            waiting.await.unwrap().durable().await.unwrap();
        });
        assert_eq!(engine.snapshot().key_count(), 9);
    });
}
