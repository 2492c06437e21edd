use trunkline::{ReadError, SnapshotError};

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
        // Accepted alone, then hashed and shown by the tree: the same.
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
            assert_eq!(error, SnapshotError::Expired { version, oldest: 3 });
        }
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "6").unwrap();
        receipt.hashed_blocking().unwrap();
        for version in [6, u64::MAX] {
            let error = engine.snapshot_at(version).unwrap_err();
            assert_eq!(error, SnapshotError::NotYet { version, newest: 5 });
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

/// While a walk goes on, the tree below grows by a factor and shrinks again.
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
fn a_snapshot_that_is_held_too_long_says_so_and_holds_nothing_any_more() {
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
        // What it says of its root was true and stays so.
        assert_eq!(snapshot.root().version, 1);
        put(&engine, "a", "and later");
        let error = engine.snapshot_at(0).unwrap_err();
        assert_eq!(
            error,
            SnapshotError::Expired {
                version: 0,
                oldest: 7
            }
        );
        let copy = snapshot.clone();
        drop((copy, snapshot));
        put(&engine, "a", "still in order");
    });
}
