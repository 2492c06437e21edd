//! Snapshots: each read sees one version, which stays the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline::core::proof::{Claim, Expected, verify};
use trunkline::{Batch, Engine, ReadError, SnapshotError, TopKind};
use trunkline_testkit::random::Random;

use crate::support::{Rig, put, puts, submit, without_hanging};

#[test]
fn get_sees_what_was_accepted_and_get_durable_what_is_durable() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        put(&engine, "a", "old");
        rig.disk.syncs.close();
        let receipt = engine.submit_blocking({
            let mut batch = puts([("a", "new"), ("b", "new")]);
            batch.delete("c");
            batch
        });
        let new = Some("new".into());
        let old = Some("old".into());
        // A version that is only accepted, and one that is hashed and in the tree, show the same.
        for _ in 0..2 {
            assert_eq!(
                engine.multi_get(&["a", "b", "c"]).unwrap(),
                [new.clone(), new.clone(), None]
            );
            assert!(engine.contains(b"b").unwrap());
            assert!(!engine.contains(b"c").unwrap());
            assert_eq!(engine.get_durable(b"a").unwrap(), old);
            assert_eq!(engine.get_durable(b"b").unwrap(), None);
            assert_eq!(engine.snapshot().get(b"a").unwrap(), old);
            receipt.as_ref().unwrap().hashed_blocking().unwrap();
        }
        rig.disk.syncs.open();
        receipt.unwrap().durable_blocking().unwrap();
        assert_eq!(engine.get_durable(b"a").unwrap(), new);
    });
}

#[test]
fn a_version_that_is_not_kept_or_not_durable_is_an_error_that_says_so() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.versions.retain_versions = 3);
        let engine = rig.open();
        for round in 1..=5 {
            put(&engine, "a", &format!("{round}"));
        }
        for version in 3..=5 {
            let value = engine.snapshot_at(version).unwrap().get(b"a").unwrap();
            assert_eq!(value, Some(version.to_string().into()));
        }
        for version in 0..3 {
            let error = engine.snapshot_at(version).unwrap_err();
            let SnapshotError::Expired {
                version: of,
                oldest,
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((of, oldest), (version, 3));
        }
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "6").unwrap();
        receipt.hashed_blocking().unwrap();
        for version in [6, u64::MAX] {
            let error = engine.snapshot_at(version).unwrap_err();
            let SnapshotError::NotYet {
                version: of,
                newest,
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((of, newest), (version, 5));
        }
        rig.disk.syncs.open();
    });
}

#[test]
fn walks_go_in_path_order() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let keys: Vec<String> = (0..5000).map(|key| format!("key {key}")).collect();
        submit(
            &engine,
            puts(keys.iter().map(|key| (key, key.to_uppercase()))),
        );
        let snapshot = engine.snapshot();
        let mut expected = keys.clone();
        expected.sort_by_key(|key| engine.params().key_hash(key.as_bytes()));
        let found: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
        assert!(
            found
                .iter()
                .map(|(key, _)| key)
                .eq(expected.iter().map(String::as_bytes))
        );
        assert!(
            found
                .iter()
                .all(|(key, value)| key.to_ascii_uppercase() == **value)
        );
        assert_eq!(snapshot.key_count(), 5000);
    });
}

/// During the walk the tree grows to a multiple of its size and shrinks again.
#[test]
fn a_walk_sees_one_version_however_the_tree_grows_meanwhile() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let keys = |range: std::ops::Range<u32>| range.map(|key| (key.to_le_bytes(), b"old"));
        submit(&engine, puts(keys(0..500)));
        let snapshot = engine.snapshot();
        let mut walk = snapshot.iter();
        let mut found: Vec<_> = walk.by_ref().take(100).map(Result::unwrap).collect();
        submit(
            &engine,
            puts((0..20_000_u32).map(|key| (key.to_le_bytes(), b"new"))),
        );
        found.extend(walk.by_ref().take(100).map(Result::unwrap));
        let mut gone = trunkline::Batch::new();
        for key in 0..19_900_u32 {
            gone.delete(key.to_le_bytes());
        }
        submit(&engine, gone);
        found.extend(walk.map(Result::unwrap));
        assert!(found.iter().all(|(_, value)| **value == *b"old"));
        let mut numbers: Vec<u32> = found
            .iter()
            .map(|(key, _)| u32::from_le_bytes(key[..].try_into().unwrap()))
            .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..500));
        assert_eq!(engine.snapshot().iter().count(), 100);
    });
}

#[test]
fn reads_of_a_snapshot_that_is_held_too_long_fail() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.versions.retain_versions = 2;
            config.versions.snapshot_versions_behind_max = 5;
        });
        let engine = rig.open();
        put(&engine, "a", "first");
        let snapshot = engine.snapshot();
        for _ in 0..5 {
            put(&engine, "a", "later");
            assert_eq!(snapshot.get(b"a").unwrap(), Some("first".into()));
        }
        let mut walk = snapshot.iter();
        put(&engine, "a", "too late");
        let expired = |error: ReadError| {
            assert!(matches!(error, ReadError::Expired { version: 1, oldest } if oldest >= 2));
            assert!(!error.retry_can_help());
        };
        expired(snapshot.get(b"a").unwrap_err());
        expired(snapshot.get(b"absent").unwrap_err());
        expired(snapshot.value_hash(b"a").unwrap_err());
        expired(walk.next().unwrap().unwrap_err());
        assert!(walk.next().is_none());
        let refused = snapshot.prove(["a"], trunkline::TopKind::Hash).unwrap_err();
        assert!(matches!(
            refused,
            trunkline::SnapshotProveError::Read(ReadError::Expired { .. })
        ));
        // Its root stays valid.
        assert_eq!(snapshot.root().version, 1);
        put(&engine, "a", "and later");
        let error = engine.snapshot_at(0).unwrap_err();
        assert!(matches!(
            error,
            SnapshotError::Expired {
                version: 0,
                oldest: 7
            }
        ));
        let copy = snapshot.clone();
        drop((copy, snapshot));
        put(&engine, "a", "still in order");
    });
}

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

/// Values, proofs and walks stay the same over hundreds of versions and many checkpoints.
#[test]
fn a_held_snapshot_keeps_its_state_while_hundreds_of_versions_and_checkpoints_pass() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 4096;
            // Does not depend on the speed of checkpoints: each version was waited for.
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
        // The oldest snapshots are dropped; the others keep the parts that they need.
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

/// A snapshot outlives its engine, but values that a checkpoint has moved to the store are gone.
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

const ACCOUNTS: u64 = 200;
const BALANCE: u64 = 1000;

fn amount(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().unwrap())
}

/// Returns an amount with padding, so that checkpoints have bytes to move.
fn value(amount: u64) -> Vec<u8> {
    let mut value = vec![7; 60];
    value[..8].copy_from_slice(&amount.to_le_bytes());
    value
}

/// Checks that every snapshot has the same sum, by a walk, by single reads and by proofs.
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
fn readers_see_whole_versions_while_writers_and_checkpoints_run() {
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
