//! Async reads over a slow disk: no thread of a runtime waits, shutdown does not, and a panic stays in its read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use pollster::block_on;
use trunkline::core::frame::SecretKey;
use trunkline::{Engine, KeyRange, ProveOptions, ReadError};

use crate::support::{Rig, puts, submit, without_hanging};

/// Returns a rig whose values are in the leaf store alone, and an engine on it.
fn cold() -> (Rig, Engine) {
    let rig = Rig::with(|config| {
        config.store.key_order = true;
        config.workers.read_threads = 1;
        config.checkpoint.bytes_max = 4096;
        config.memory.budget_bytes = 1;
    });
    let engine = rig.open();
    submit(
        &engine,
        puts((0..9).map(|key| (format!("{key}"), "x".repeat(999)))),
    );
    engine.shutdown_blocking().unwrap();
    let engine = rig.open();
    (rig, engine)
}

#[test]
fn a_read_that_waits_for_the_disk_leaves_the_thread_of_its_runtime_free() {
    without_hanging(|| {
        let (rig, engine) = cold();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        rig.leaves.reads.close();
        let snapshot = engine.snapshot();
        let value = runtime.block_on(async {
            let tasks = [
                tokio::spawn({
                    let engine = engine.clone();
                    async move { engine.get_async("1").await.unwrap() }
                }),
                tokio::spawn({
                    let snapshot = snapshot.clone();
                    async move { snapshot.multi_get_async(vec!["1"]).await.unwrap().remove(0) }
                }),
                tokio::spawn({
                    let range = KeyRange::prefix("1");
                    async move {
                        Some(
                            snapshot
                                .range_async(range)
                                .await
                                .unwrap()
                                .entries
                                .remove(0)
                                .1,
                        )
                    }
                }),
            ];
            // The only thread of the runtime comes here while the reads wait.
            tokio::task::yield_now().await;
            rig.leaves.reads.wait_for_a_waiter();
            assert!(tasks.iter().all(|task| !task.is_finished()));
            rig.leaves.reads.open();
            let mut values = Vec::new();
            for task in tasks {
                values.push(task.await.unwrap().unwrap());
            }
            assert!(values.iter().all(|value| *value == values[0]));
            values.remove(0)
        });
        assert_eq!(value.len(), 999);
        engine.shutdown_blocking().unwrap();
    });
}

#[test]
fn shutdown_does_not_wait_for_a_read_and_one_that_begins_later_fails() {
    without_hanging(|| {
        let (rig, engine) = cold();
        rig.leaves.reads.close();
        let snapshot = engine.snapshot();
        let mut context = Context::from_waker(Waker::noop());
        let mut begun = pin!(snapshot.get_async("1"));
        assert!(begun.as_mut().poll(&mut context).is_pending());
        rig.leaves.reads.wait_for_a_waiter();
        // The one thread for reads is busy.
        let mut queued = pin!(snapshot.get_async("2"));
        assert!(queued.as_mut().poll(&mut context).is_pending());
        engine.shutdown_blocking().unwrap();
        rig.leaves.reads.open();
        assert_eq!(block_on(begun).unwrap().unwrap().len(), 999);
        assert!(matches!(block_on(queued), Err(ReadError::Closed)));
    });
}

#[test]
fn a_read_that_was_given_up_in_the_queue_never_begins() {
    without_hanging(|| {
        let (rig, engine) = cold();
        rig.leaves.reads.close();
        let mut context = Context::from_waker(Waker::noop());
        let mut begun = pin!(engine.get_async("1"));
        assert!(begun.as_mut().poll(&mut context).is_pending());
        rig.leaves.reads.wait_for_a_waiter();
        {
            let mut given_up = pin!(engine.get_async("2"));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        let before = rig.leaves.reads.passed();
        rig.leaves.reads.open();
        assert!(block_on(begun).unwrap().is_some());
        assert!(block_on(engine.get_async("3")).unwrap().is_some());
        assert_eq!(rig.leaves.reads.passed() - before, 2);
        engine.shutdown_blocking().unwrap();
    });
}

#[test]
fn a_panic_of_a_read_is_continued_where_it_is_awaited_and_others_succeed() {
    without_hanging(|| {
        let (rig, engine) = cold();
        rig.leaves.reads.panic(true);
        let read = || block_on(engine.get_async("1"));
        assert!(catch_unwind(AssertUnwindSafe(read)).is_err());
        rig.leaves.reads.panic(false);
        assert!(read().unwrap().is_some());
        rig.leaves.reads.fail(Some(std::io::ErrorKind::Other));
        let failed = block_on(engine.get_async("2"));
        assert!(failed.unwrap_err().retry_can_help());
        rig.leaves.reads.fail(None);
        engine.shutdown_blocking().unwrap();
    });
}

#[test]
fn a_replica_reads_ranges_and_reads_and_proves_without_blocking() {
    without_hanging(|| {
        let primary = Rig::with(|config| config.store.key_order = true).open();
        let all = (0..9).map(|key| (format!("{key}"), "x"));
        submit(&primary, puts(all));
        let rig = Rig::with(|config| config.store.key_order = true);
        let key = SecretKey::generate([7; 32]);
        let builder = rig.builder().params(&primary.params());
        let replica = builder.open_replica_blocking(vec![key.public()]).unwrap();
        let entry = primary.feed(1).next().unwrap().unwrap();
        let frame = trunkline::core::frame::Frame::sign(entry, &key);
        let applied = replica.apply_blocking(frame);
        applied.unwrap();
        replica
            .wait_for_blocking(1, trunkline_testkit::patience::HANGS_AFTER)
            .unwrap();
        let page = replica.range(&KeyRange::new("3".."5")).unwrap();
        let keys: Vec<_> = page.entries.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(keys, [b"3", b"4"]);
        let last = replica.range(&KeyRange::all().reversed().entries_max(1));
        let last = last.unwrap();
        assert_eq!(
            (&last.entries[0].0[..], last.resume),
            (&b"8"[..], Some("8".into()))
        );
        assert_eq!(replica.prefix(b"2").unwrap().entries.len(), 1);
        let page = block_on(replica.range_async(KeyRange::all())).unwrap();
        assert_eq!((page.entries.len(), page.resume), (9, None));
        let values = block_on(replica.multi_get_async(vec!["1", "none"])).unwrap();
        assert!(values[0].is_some() && values[1].is_none());
        let proof = block_on(replica.prove_async(vec!["1"], ProveOptions::default()));
        let expected = replica
            .snapshot()
            .prove_with(["1"], &ProveOptions::default());
        assert_eq!(proof.unwrap(), expected.unwrap());
        replica.shutdown_blocking().unwrap();
        primary.shutdown_blocking().unwrap();
    });
}
