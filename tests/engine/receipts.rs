//! Receipts: four states in every mode, and the effect of dropping one.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::hash::Digest;
use trunkline::core::record::CommitRecord;
use trunkline::{Durability, Outcome, SubmitError};

use crate::support::{Rig, puts, without_hanging};

const KZG_MODES: [KzgMode; 3] = [KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand];
const DURABILITY_MODES: [(DurabilityMode, Durability); 3] = [
    (DurabilityMode::Sync, Durability::Sync),
    (DurabilityMode::Interval, Durability::Interval),
    (DurabilityMode::Os, Durability::Os),
];

fn four_states(kzg: KzgMode, (durability, promised): (DurabilityMode, Durability)) {
    let rig = Rig::with(|config| {
        config.kzg.mode = kzg;
        config.durability.mode = durability;
    });
    let engine = rig.open();
    let mut parent: Digest = CommitRecord::genesis(engine.params().tree_id()).commit_id();
    for round in 1..=5_u64 {
        let receipt = engine
            .submit_blocking(puts([(format!("{round}"), "v")]))
            .unwrap();
        assert_eq!(receipt.sequence(), round);
        let hashed = receipt.hashed_blocking().unwrap();
        assert_eq!(hashed.version, round);
        assert_eq!(hashed.outcome, Outcome::Applied { displaced: 0 });
        let durable = receipt.durable_blocking().unwrap();
        let committed = receipt.root_ready_blocking().unwrap();
        assert!(committed.version >= round);

        assert_eq!(durable.durability, promised);
        assert_eq!(
            (
                durable.version,
                durable.commit_id,
                durable.state_digest,
                durable.outcome
            ),
            (
                hashed.version,
                hashed.commit_id,
                hashed.state_digest,
                hashed.outcome
            )
        );
        let snapshot = engine.snapshot_at(round).unwrap();
        let root = snapshot.root();
        assert_eq!(
            (root.commit_id, root.state_digest),
            (durable.commit_id, durable.state_digest)
        );
        if durable.kzg_root.is_some() || committed.version == round {
            assert_eq!(root.kzg_root, Some(committed.kzg_root));
        }
        if kzg == KzgMode::Eager {
            assert_eq!(durable.kzg_root, Some(committed.kzg_root));
        }
        let record = snapshot.record();
        assert_eq!(record.parent, parent);
        assert_eq!(
            (record.first_sequence, record.last_sequence),
            (round, round)
        );
        assert_eq!(record.provisional_root, receipt.provisional_root());
        assert_eq!(record.commit_id(), durable.commit_id);
        parent = durable.commit_id;
    }
    engine.shutdown_blocking().unwrap();
    let engine = rig.open();
    assert_eq!(engine.snapshot().commit_id(), parent);
}

#[test]
fn a_receipt_passes_four_states_in_every_kzg_and_durability_mode() {
    without_hanging(|| {
        for kzg in KZG_MODES {
            for durability in DURABILITY_MODES {
                four_states(kzg, durability);
            }
        }
    });
}

#[test]
fn the_states_can_be_awaited_in_any_order_and_more_than_once() {
    without_hanging(|| {
        let engine = Rig::new().open();
        pollster_like(async {
            let receipt = engine.put("key", "value").await.unwrap();
            let copy = receipt.clone();
            let committed = receipt.root_ready().await.unwrap();
            let durable = copy.durable().await.unwrap();
            assert_eq!(durable, receipt.durable().await.unwrap());
            assert_eq!(durable.commit_id, receipt.hashed().await.unwrap().commit_id);
            assert_eq!(durable.kzg_root, Some(committed.kzg_root));
            assert_eq!(committed, copy.root_ready_blocking().unwrap());
        });
    });
}

fn pollster_like(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future);
}

/// In mode `interval`, what was acknowledged is synced when the interval ends, without a drain.
#[test]
fn intervals_end_in_a_sync() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.durability.mode = DurabilityMode::Interval;
            config.durability.interval_ms = 1;
        });
        let engine = rig.open();
        let before = rig.disk.syncs.passed();
        crate::support::put(&engine, "key", "value");
        crate::support::until(|| rig.disk.syncs.passed() > before);
    });
}

/// While commits wait for a checkpoint no interval can end, so what was acknowledged is synced before.
#[test]
fn an_interval_ends_before_commits_wait_for_a_checkpoint() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.durability.mode = DurabilityMode::Interval;
            config.durability.interval_ms = 60_000;
            config.checkpoint.bytes_max = 4096;
            config.checkpoint.unflushed_bytes_max = 4 * 4096;
        });
        let engine = rig.open();
        rig.leaves.ingestions.close();
        let value = "v".repeat(5000);
        crate::support::put(&engine, "0", &value);
        rig.leaves.ingestions.wait_for_a_waiter();
        let before = rig.disk.syncs.passed();
        // No call waits for it: the last one may reach persist only after the checkpoint.
        for key in ["1", "2", "3"] {
            engine.submit_blocking(puts([(key, &value)])).unwrap();
        }
        crate::support::until(|| rig.disk.syncs.passed() > before);
        rig.leaves.ingestions.open();
    });
}

/// In mode `os` only a drain syncs.
#[test]
fn mode_os_syncs_nothing_until_a_drain() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.durability.mode = DurabilityMode::Os);
        let engine = rig.open();
        let before = rig.disk.syncs.passed();
        for round in 0..5 {
            crate::support::put(&engine, "key", &format!("{round}"));
        }
        assert_eq!(rig.disk.syncs.passed(), before);
        engine.drain_blocking().unwrap();
        assert_eq!(rig.disk.syncs.passed(), before + 1);
    });
}

#[test]
fn dropping_a_receipt_loses_nothing() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        for round in 0..50 {
            drop(engine.put_blocking(format!("{round}"), "v").unwrap());
        }
        engine.shutdown_blocking().unwrap();
        assert_eq!(rig.open().snapshot().key_count(), 50);
    });
}

#[test]
fn dropping_the_engine_loses_nothing() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let receipts: Vec<_> = (0..50)
            .map(|round| engine.put_blocking(format!("{round}"), "v").unwrap())
            .collect();
        drop(engine);
        for receipt in receipts {
            receipt.durable_blocking().unwrap();
        }
        assert_eq!(rig.open().snapshot().key_count(), 50);
    });
}

/// A future that is dropped while it waits for permits submits nothing and leaves the queue. A future that was ready
/// has submitted its batch.
#[test]
fn dropping_the_future_of_a_submission_loses_nothing_that_was_accepted() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 2;
            config.submit.in_flight_operations_max = 2;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        {
            let mut accepted = pin!(engine.submit(puts([("a", "1"), ("b", "1")])));
            let mut context = Context::from_waker(Waker::noop());
            assert!(accepted.as_mut().poll(&mut context).is_ready());
            let mut waiting = pin!(engine.submit(puts([("c", "1")])));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert!(matches!(
                engine.try_submit(puts([("d", "1")])),
                Err(SubmitError::Busy)
            ));
        }
        rig.disk.syncs.open();
        let next = engine
            .submit_blocking(puts([("e", "1"), ("f", "1")]))
            .unwrap();
        assert_eq!(next.sequence(), 2);
        next.durable_blocking().unwrap();
        let found = engine.multi_get(&["a", "b", "c", "d", "e"]).unwrap();
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(there, [true, true, false, false, true]);
    });
}

/// Dropping the future of a receipt does not affect later waiters.
#[test]
fn dropping_the_future_of_a_receipt_loses_nothing() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "1").unwrap();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let Poll::Pending = pin!(receipt.durable()).poll(&mut context) else {
                panic!("durable before the disk has synced");
            };
        }
        rig.disk.syncs.open();
        receipt.durable_blocking().unwrap();
    });
}
