//! Reads and proofs of many keys.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::{Batch, ProveOptions, TopKind};

use crate::support::{Rig, puts, submit, until, without_hanging};

#[test]
fn many_keys_are_read_like_each_alone_in_any_order_and_more_than_once() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let mut batch = Batch::new();
        for key in 0..500_u32 {
            batch.put(key.to_be_bytes(), format!("first {key}"));
        }
        let receipt = engine.submit_blocking(batch).unwrap();
        receipt.durable_blocking().unwrap();
        let before = engine.snapshot();
        let mut batch = Batch::new();
        for key in (0..500_u32).step_by(3) {
            batch.put(key.to_be_bytes(), format!("second {key}"));
            batch.delete((key + 1).to_be_bytes());
        }
        engine.submit_blocking(batch).unwrap();

        let mut random = SmallRng::seed_from_u64(5);
        // The last rounds are read in shards.
        for count in [0, 1, 15, 16, 17, 700, 1_024, 2_500] {
            let keys: Vec<_> = (0..count)
                .map(|_| random.random_range(0..600_u32).to_be_bytes())
                .collect();
            let present = keys.iter().map(|key| engine.get(key).unwrap());
            assert_eq!(
                engine.multi_get(&keys).unwrap(),
                present.collect::<Vec<_>>()
            );
            let held = keys.iter().map(|key| before.get(key).unwrap());
            assert_eq!(before.multi_get(&keys).unwrap(), held.collect::<Vec<_>>());
        }
    });
}

/// A number of keys that makes several shards.
const KEYS: u32 = 3_000;
const OPTIONS: ProveOptions = ProveOptions {
    top: TopKind::Hash,
    values: trunkline::ShownValues::All,
};

fn keys() -> Vec<[u8; 4]> {
    (0..KEYS).map(u32::to_be_bytes).collect()
}

fn rig() -> Rig {
    Rig::with(|config| {
        config.workers.read_threads = 2;
        config.workers.proof_parallelism = 4;
    })
}

#[test]
fn reads_and_proofs_are_answered_while_syncs_are_held() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let keys = keys();
        submit(&engine, puts(keys.iter().map(|key| (key, "first"))));
        let snapshot = engine.snapshot();

        rig.disk.syncs.close();
        let flood: Vec<_> = (0..20)
            .map(|_| puts(keys.iter().map(|key| (key, "second"))))
            .map(|batch| engine.submit_blocking(batch).unwrap())
            .collect();
        rig.disk.syncs.wait_for_a_waiter();
        let all = |value: &'static str| vec![Some(Bytes::from(value)); keys.len()];
        assert_eq!(engine.multi_get(&keys).unwrap(), all("second"));
        assert_eq!(snapshot.multi_get(&keys).unwrap(), all("first"));
        let each = snapshot.prove_each(&keys[..200], &OPTIONS).unwrap();
        assert_eq!(each.len(), 200);
        let proof = snapshot.prove_with(&keys, &OPTIONS).unwrap();
        assert_eq!(proof.versions[0].entries.len(), keys.len());

        rig.disk.syncs.open();
        for receipt in flood {
            receipt.durable_blocking().unwrap();
        }
    });
}

#[test]
fn commits_continue_under_a_flood_of_reads_and_proofs() {
    without_hanging(|| {
        let rig = rig();
        let engine = rig.open();
        let keys = keys();
        submit(&engine, puts(keys.iter().map(|key| (key, "first"))));
        let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let read = || {
            while !stop.load(Ordering::SeqCst) {
                let found = engine.multi_get(&keys).unwrap();
                assert!(found.iter().all(Option::is_some));
                let snapshot = engine.snapshot();
                snapshot.prove_each(&keys[..200], &OPTIONS).unwrap();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            // More readers than there are threads for reads.
            (0..4).for_each(|_| drop(scope.spawn(read)));
            until(|| rounds.load(Ordering::SeqCst) >= 4);
            for _ in 0..5 {
                submit(&engine, puts(keys.iter().map(|key| (key, "second"))));
            }
            let before = rounds.load(Ordering::SeqCst);
            until(|| rounds.load(Ordering::SeqCst) > before);
            stop.store(true, Ordering::SeqCst);
        });
    });
}
