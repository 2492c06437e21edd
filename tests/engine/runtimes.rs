//! The engine in any runtime, and in none.

use trunkline::{Engine, EngineFailure};

use crate::support::{Rig, log_only, puts, without_hanging};

async fn a_whole_life() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(log_only(directory.path())).await.unwrap();
    let receipt = engine.submit(puts([("a", "1"), ("b", "2")])).await.unwrap();
    assert_eq!(receipt.hashed().await.unwrap().version, 1);
    receipt.root_ready().await.unwrap();
    receipt.durable().await.unwrap();
    engine.delete("a").await.unwrap();
    engine.put("c", "3").await.unwrap();
    engine.drain().await.unwrap();
    assert_eq!(engine.snapshot().key_count(), 2);
    engine.shutdown().await.unwrap();
    assert!(matches!(engine.drain().await, Err(EngineFailure::Closed)));
    let engine = Engine::open(log_only(directory.path())).await.unwrap();
    assert_eq!(engine.get(b"c").unwrap(), Some("3".into()));
    // The engine is dropped within the runtime, without a shutdown.
}

#[test]
fn an_engine_works_in_a_current_thread_runtime() {
    without_hanging(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(a_whole_life());
    });
}

#[test]
fn an_engine_works_in_a_multi_thread_runtime() {
    without_hanging(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build();
        let runtime = runtime.unwrap();
        let lives = [runtime.spawn(a_whole_life()), runtime.spawn(a_whole_life())];
        for life in lives {
            runtime.block_on(life).unwrap();
        }
    });
}

#[test]
fn an_engine_works_in_a_runtime_of_actix() {
    without_hanging(|| actix::System::new().block_on(a_whole_life()));
}

#[test]
fn an_engine_works_without_a_runtime() {
    without_hanging(|| pollster::block_on(a_whole_life()));
}

#[test]
fn blocking_calls_work_within_a_runtime() {
    without_hanging(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let engine = Rig::new().open();
            let receipt = engine.put_blocking("a", "1").unwrap();
            receipt.root_ready_blocking().unwrap();
            receipt.durable_blocking().unwrap();
            engine.drain_blocking().unwrap();
            engine.shutdown_blocking().unwrap();
        });
    });
}

#[test]
fn handles_and_futures_can_be_sent_to_any_thread() {
    fn goes_everywhere<T: Clone + Send + Sync + 'static>() {}
    goes_everywhere::<Engine>();
    goes_everywhere::<trunkline::Receipt>();
    goes_everywhere::<trunkline::Snapshot>();
    fn future_goes_everywhere<T: Send>(_: &T) {}
    without_hanging(|| {
        let engine = Rig::new().open();
        future_goes_everywhere(&engine.submit(puts([("a", "1")])));
        future_goes_everywhere(&engine.shutdown());
        future_goes_everywhere(&engine.drain());
        let receipt = engine.put_blocking("a", "1").unwrap();
        future_goes_everywhere(&receipt.root_ready());
    });
}
