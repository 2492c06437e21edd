//! Openings of slots, which are carried over from version to version.

use trunkline::core::proof::{Expected, verify};
use trunkline::{Engine, Snapshot, TopKind};

use crate::support::{Rig, put, puts, submit, without_hanging};

/// Proves a key with a KZG top and verifies it. Returns the numbers of openings computed and carried over so far.
fn prove(engine: &Engine, snapshot: &Snapshot, key: &str) -> (u64, u64) {
    let proof = snapshot.prove([key], TopKind::Kzg).unwrap();
    let trusted = Expected::KzgRoot {
        tree_id: snapshot.root().tree_id,
        kzg_root: snapshot.kzg_root(),
    };
    assert!(verify(&proof, &trusted).is_ok());
    let metrics = engine.metrics();
    (metrics.openings_computed, metrics.openings_moved)
}

#[test]
fn an_opening_moves_to_the_next_version_whichever_slot_changed() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 0));
        put(&engine, "a", "2");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 1));
        put(&engine, "b", "1");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 2));
        submit(&engine, puts([("a", "3"), ("b", "2"), ("c", "1")]));
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 3));
    });
}

#[test]
fn an_opening_moves_over_versions_without_proofs() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.versions.retain_versions = 1000);
        let engine = rig.open();
        put(&engine, "a", "1");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 0));
        for round in 0..16 {
            put(&engine, "b", &round.to_string());
        }
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 1));
        // Older versions are not searched.
        for round in 0..17 {
            put(&engine, "c", &round.to_string());
        }
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (2, 1));
    });
}

#[test]
fn an_opening_is_computed_if_most_slots_changed() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 0));
        submit(&engine, puts((0..2000).map(|key| (key.to_string(), "v"))));
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (2, 0));
    });
}

#[test]
fn an_opening_does_not_move_from_a_later_version() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "1");
        let earlier = engine.snapshot();
        put(&engine, "a", "2");
        assert_eq!(prove(&engine, &engine.snapshot(), "a"), (1, 0));
        assert_eq!(prove(&engine, &earlier, "a"), (2, 0));
    });
}
