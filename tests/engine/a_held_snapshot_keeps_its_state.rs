use trunkline::TopKind;
use trunkline::core::proof::{Claim, Expected, verify};

use crate::support::{Rig, puts, submit, without_hanging};

fn holds(snapshot: &trunkline::Snapshot, round: u64) {
    let value = |key: u64| format!("{key} of {round} {}", "x".repeat(50));
    let keys: Vec<[u8; 8]> = (0..30).map(u64::to_le_bytes).collect();
    for (key, number) in keys.iter().zip(0..) {
        let expected = (number % 10 != round % 10).then(|| value(number).into());
        assert_eq!(snapshot.get(key).unwrap(), expected);
    }
    for top in [TopKind::Hash, TopKind::Kzg] {
        let proof = snapshot.prove(&keys[..4], top).unwrap();
        let expected = Expected::Root(snapshot.root());
        let verified = verify(&proof, &expected).unwrap();
        for (key, number) in keys[..4].iter().zip(0..) {
            let claim = match number % 10 == round % 10 {
                true => Claim::Absent,
                false => Claim::Present(value(number).into()),
            };
            assert_eq!(verified.claim(key), Some(&claim));
        }
    }
    assert_eq!(snapshot.iter().map(Result::unwrap).count(), 27);
}

/// Hundreds of versions and many checkpoints later, values, proofs and walks are what they were.
#[test]
fn while_hundreds_of_versions_and_checkpoints_pass() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 4096;
            // However slow checkpoints are, what is durable was waited for.
            config.checkpoint.unflushed_bytes_max = 4096;
            config.versions.retain_versions = 2;
        });
        let engine = rig.open();
        let mut held = Vec::new();
        for round in 0..400_u64 {
            let value = |key: u64| format!("{key} of {round} {}", "x".repeat(50));
            let mut batch = puts((0..30_u64).map(|key| (key.to_le_bytes(), value(key))));
            for key in (0..30).filter(|key| key % 10 == round % 10) {
                batch.delete(u64::to_le_bytes(key));
            }
            let receipt = engine.submit_blocking(batch).unwrap();
            if round % 80 == 3 {
                let version = receipt.durable_blocking().unwrap().version;
                held.push((round, engine.snapshot_at(version).unwrap()));
            }
        }
        engine.drain_blocking().unwrap();
        assert!(engine.metrics().checkpoints > 5);
        for (round, snapshot) in &held {
            holds(snapshot, *round);
        }
        // The oldest go; those that are held still keep what they need.
        held.drain(..3);
        for _ in 0..3 {
            submit(&engine, puts([("more", "x".repeat(5000))]));
        }
        for (round, snapshot) in &held {
            holds(&snapshot.clone(), *round);
        }
        drop(engine);
        holds_what_is_in_memory(&held);
    });
}

/// A snapshot outlives its engine; values that a checkpoint has moved are gone with the store.
fn holds_what_is_in_memory(held: &[(u64, trunkline::Snapshot)]) {
    for (round, snapshot) in held {
        let absent = (round % 10).to_le_bytes();
        assert_eq!(snapshot.get(&absent).unwrap(), None);
        let present = ((round + 1) % 10).to_le_bytes();
        assert!(snapshot.value_hash(&present).unwrap().is_some());
        match snapshot.get(&present) {
            Ok(Some(_)) | Err(trunkline::ReadError::Closed) => {}
            other => panic!("{other:?}"),
        }
    }
}
