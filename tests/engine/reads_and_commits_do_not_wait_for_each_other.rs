//! Reads and proofs of many keys are answered while commits are stuck, and commits go on under a flood of them. What
//! happens when a pool has no thread left is tested beside the pools' user (`many`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use trunkline::{ProveOptions, TopKind};

use crate::support::{Rig, puts, submit, until, without_hanging};

/// Enough for several shards.
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
fn commits_go_on_under_a_flood_of_reads_and_proofs() {
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
            // More than there are threads to read.
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
