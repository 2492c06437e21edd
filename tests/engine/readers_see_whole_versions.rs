use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline::core::proof::{Expected, verify};
use trunkline::{Batch, Engine, TopKind};

use crate::support::{Rig, puts, submit, without_hanging};
use trunkline_testkit::random::Random;

const ACCOUNTS: u64 = 200;
const BALANCE: u64 = 1000;

fn amount(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().unwrap())
}

/// An amount and some ballast, so that checkpoints have something to do.
fn value(amount: u64) -> Vec<u8> {
    let mut value = vec![7; 60];
    value[..8].copy_from_slice(&amount.to_le_bytes());
    value
}

/// Every snapshot has the same sum, by a walk, by single reads and by what its proofs show.
fn read(engine: &Engine, seed: u64, end: &AtomicBool) -> u64 {
    let mut random = Random(seed);
    let mut snapshots = 0;
    while !end.load(Ordering::SeqCst) {
        let snapshot = engine.snapshot();
        let walked: u64 = snapshot.iter().map(|pair| amount(&pair.unwrap().1)).sum();
        assert_eq!(walked, ACCOUNTS * BALANCE);
        let read = |account: u64| snapshot.get(&account.to_le_bytes()).unwrap();
        let single: u64 = (0..ACCOUNTS)
            .filter_map(read)
            .map(|value| amount(&value))
            .sum();
        assert_eq!(single, ACCOUNTS * BALANCE);
        let account = random.below(ACCOUNTS).to_le_bytes();
        let proof = snapshot.prove([account], TopKind::Hash).unwrap();
        verify(&proof, &Expected::CommitId(snapshot.commit_id())).unwrap();
        snapshots += 1;
    }
    snapshots
}

#[test]
fn while_writers_and_checkpoints_go_on() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 8192;
            config.checkpoint.unflushed_bytes_max = 4 * 8192;
            config.versions.retain_versions = 2;
        });
        let engine = rig.open();
        submit(
            &engine,
            puts((0..ACCOUNTS).map(|account| (account.to_le_bytes(), value(BALANCE)))),
        );
        let end = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (engine, end) = (engine.clone(), end.clone());
                std::thread::spawn(move || read(&engine, seed, &end))
            })
            .collect();
        let mut balances = vec![BALANCE; ACCOUNTS as usize];
        let mut random = Random(3);
        for round in 0..1500 {
            let mut batch = Batch::new();
            for _ in 0..3 {
                let [from, to] = [(); 2].map(|()| random.below(ACCOUNTS) as usize);
                let moved = random.below(balances[from] + 1);
                balances[from] -= moved;
                balances[to] += moved;
                for account in [from, to] {
                    let key = (account as u64).to_le_bytes().to_vec();
                    match balances[account] {
                        0 => batch.delete(key),
                        balance => batch.put(key, value(balance)),
                    };
                }
            }
            let receipt = engine.submit_blocking(batch).unwrap();
            if round % 10 == 0 {
                receipt.durable_blocking().unwrap();
            }
        }
        engine.drain_blocking().unwrap();
        end.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
        assert!(
            engine.metrics().checkpoints > 5,
            "{}",
            engine.metrics().checkpoints
        );
    });
}
