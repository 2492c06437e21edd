//! Versions that overlap in the pipeline.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use crate::support::{Rig, puts, until, without_hanging};

/// Returns a batch that becomes a separate version, since it has metadata.
fn alone(key: u64) -> trunkline::Batch {
    let mut batch = puts([(key.to_le_bytes(), "v")]);
    batch.metadata("alone");
    batch
}

/// While the first version waits for the disk, the next ones are built and hashed, as many as configured. Then one sync
/// makes all of them durable.
#[test]
fn versions_that_wait_for_the_disk_share_a_sync() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.in_flight_max = 5);
        let engine = rig.open();
        let syncs_before = rig.disk.syncs.passed();
        rig.disk.syncs.close();
        let first = engine.submit_blocking(alone(1)).unwrap();
        rig.disk.syncs.wait_for_a_waiter();
        let behind: Vec<_> = (2..=5)
            .map(|key| engine.submit_blocking(alone(key)).unwrap())
            .collect();
        let not_yet = engine.submit_blocking(alone(6)).unwrap();
        for (receipt, version) in behind.iter().zip(2..) {
            assert_eq!(receipt.hashed_blocking().unwrap().version, version);
            assert_eq!(receipt.root_ready_blocking().unwrap().version, version);
        }
        // The stage `kzg` has passed on the fourth version after the first.
        until(|| engine.metrics().stages[3].service_us.count == 5);
        assert_eq!(engine.metrics().groups_in_flight, 5);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(not_yet.hashed()).poll(&mut context).is_pending());
        assert!(pin!(first.durable()).poll(&mut context).is_pending());
        assert_eq!(engine.snapshot().version(), 0);

        rig.disk.syncs.open();
        not_yet.durable_blocking().unwrap();
        engine.drain_blocking().unwrap();
        let metrics = engine.metrics();
        assert!(
            metrics.versions_per_sync.max >= 4,
            "{:?}",
            metrics.versions_per_sync
        );
        let syncs = rig.disk.syncs.passed() - syncs_before;
        assert!((2..=3).contains(&syncs), "{syncs} syncs");
        assert_eq!(metrics.groups_in_flight, 0);
    });
}

/// Submissions that arrive while the pipeline is full become one version.
#[test]
fn groups_grow_while_the_pipeline_is_full() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.in_flight_max = 1);
        let engine = rig.open();
        rig.disk.syncs.close();
        engine.submit_blocking(alone(1)).unwrap();
        rig.disk.syncs.wait_for_a_waiter();
        let receipts: Vec<_> = (2..200_u64)
            .map(|key| engine.put_blocking(key.to_le_bytes(), "v").unwrap())
            .collect();
        rig.disk.syncs.open();
        let last = receipts[receipts.len() - 1].durable_blocking().unwrap();
        assert!(last.version < 150, "{} versions", last.version);
        let groups = engine.metrics().group_operations;
        assert_eq!(groups.count, last.version);
    });
}

/// A drain ends when everything before it is durable, and not earlier.
#[test]
fn a_drain_waits_for_all_versions_in_the_pipeline() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let receipts: Vec<_> = (0..10)
            .map(|key| engine.submit_blocking(alone(key)).unwrap())
            .collect();
        let mut drain = Box::pin(engine.drain());
        let mut context = Context::from_waker(Waker::noop());
        rig.disk.syncs.wait_for_a_waiter();
        assert!(drain.as_mut().poll(&mut context).is_pending());
        rig.disk.syncs.open();
        pollster::block_on(drain).unwrap();
        for receipt in receipts {
            assert!(pin!(receipt.durable()).poll(&mut context).is_ready());
        }
        assert_eq!(engine.snapshot().version(), 10);
        engine.drain_blocking().unwrap();
    });
}
