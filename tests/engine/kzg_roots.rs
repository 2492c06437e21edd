//! KZG roots of receipts, in the modes that skip some.

use trunkline::config::KzgMode;

use crate::support::{Rig, put, until, without_hanging};

fn open(mode: KzgMode, retain_versions: u64) -> (Rig, trunkline::Engine) {
    let rig = Rig::with(|config| {
        config.kzg.mode = mode;
        config.versions.retain_versions = retain_versions;
    });
    let engine = rig.open();
    (rig, engine)
}

#[test]
fn a_coalesced_root_covers_its_submission() {
    without_hanging(|| {
        let (_rig, engine) = open(KzgMode::Coalesce, 1000);
        let receipts: Vec<_> = (0..300)
            .map(|round| engine.put_blocking(format!("{round}"), "v").unwrap())
            .collect();
        for receipt in &receipts {
            let hashed = receipt.hashed_blocking().unwrap();
            let committed = receipt.root_ready_blocking().unwrap();
            assert!(committed.version >= hashed.version);
            let covering = engine.drain_blocking().and(Ok(committed.version)).unwrap();
            let snapshot = engine.snapshot_at(covering).unwrap();
            assert_eq!(snapshot.kzg_root(), committed.kzg_root);
        }
    });
}

#[test]
fn a_root_on_demand_covers_its_submission() {
    without_hanging(|| {
        let (_rig, engine) = open(KzgMode::OnDemand, 16);
        let receipt = engine.put_blocking("a", "1").unwrap();
        let durable = receipt.durable_blocking().unwrap();
        assert_eq!(durable.kzg_root, None);
        let committed = receipt.root_ready_blocking().unwrap();
        assert_eq!(committed.version, durable.version);
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.root().kzg_root, Some(committed.kzg_root));
    });
}

#[test]
fn a_root_on_demand_covers_its_submission_after_the_version_was_superseded() {
    without_hanging(|| {
        let (_rig, engine) = open(KzgMode::OnDemand, 4);
        let forgotten = engine.put_blocking("a", "1").unwrap();
        for round in 0..6 {
            put(&engine, "a", &format!("{round}"));
        }
        let kept = engine.put_blocking("a", "kept").unwrap();
        let version = kept.durable_blocking().unwrap().version;
        put(&engine, "a", "later");
        assert!(engine.snapshot_at(1).is_err());

        let committed = kept.root_ready_blocking().unwrap();
        assert_eq!(committed.version, version);
        let snapshot = engine.snapshot_at(version).unwrap();
        assert_eq!(snapshot.kzg_root(), committed.kzg_root);
        let covered = forgotten.root_ready_blocking().unwrap();
        assert!(covered.version > version);
        let snapshot = engine.snapshot_at(covered.version).unwrap();
        assert_eq!(snapshot.kzg_root(), covered.kzg_root);
    });
}

#[test]
fn a_root_on_demand_covers_its_submission_while_the_version_waits_for_the_disk() {
    without_hanging(|| {
        let (rig, engine) = open(KzgMode::OnDemand, 4);
        rig.disk.syncs.close();
        let first = engine.put_blocking("a", "1").unwrap();
        let second = engine.put_blocking("a", "2").unwrap();
        rig.disk.syncs.wait_for_a_waiter();
        assert!(first.root_ready_blocking().unwrap().version >= 1);
        assert_eq!(
            second.root_ready_blocking().unwrap().version,
            second.hashed_blocking().unwrap().version
        );
        rig.disk.syncs.open();
        until(|| engine.snapshot().version() >= 1);
        second.durable_blocking().unwrap();
    });
}

#[test]
fn a_root_is_computed_before_too_many_are_skipped() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.kzg.mode = KzgMode::Coalesce;
            config.kzg.coalesce_versions_max = 2;
            config.versions.retain_versions = 1000;
            config.group.in_flight_max = 64;
        });
        let engine = rig.open();
        let receipts: Vec<_> = (0..200)
            .map(|round| {
                let mut batch = crate::support::puts([(format!("{round}"), "v")]);
                batch.metadata("alone");
                engine.submit_blocking(batch).unwrap()
            })
            .collect();
        for receipt in receipts {
            let version = receipt.hashed_blocking().unwrap().version;
            let committed = receipt.root_ready_blocking().unwrap().version;
            assert!(
                (version..=version + 2).contains(&committed),
                "{committed} for {version}"
            );
        }
    });
}
