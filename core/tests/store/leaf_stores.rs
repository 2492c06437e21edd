use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::hash::Digest;
use trunkline_core::store::leaves::{
    ALL_KEY_HASHES, Leaf, LeafChange, LeafSnapshot, LeafStore, LeafStoreError, MemoryLeafStore,
};
use trunkline_core::store::simulated::SimulatedLeafStore;

type Map = BTreeMap<Digest, Leaf>;

/// A key hash with its new leaf, if any.
pub(crate) type Change = (Digest, Option<Leaf>);

pub(crate) fn borrowed(changes: &[Change]) -> impl Iterator<Item = LeafChange<'_>> {
    changes.iter().map(|(key_hash, leaf)| LeafChange {
        key_hash: *key_hash,
        leaf: leaf.as_ref().map(Leaf::borrowed),
    })
}

/// Returns sorted changes over few enough key hashes that puts, replacements and deletes all occur.
pub(crate) fn changes(random: &mut SmallRng, count: usize) -> Vec<Change> {
    let picked: BTreeMap<Digest, Option<Leaf>> = (0..count)
        .map(|_| {
            let place: u8 = random.random();
            let leaf = random.random_bool(0.7).then(|| Leaf {
                key: vec![place; 1 + usize::from(place % 9)].into(),
                value: vec![random.random(); random.random_range(0..200)].into(),
            });
            ([place; 32], leaf)
        })
        .collect();
    picked.into_iter().collect()
}

pub(crate) fn apply(map: &mut Map, changes: &[Change]) {
    for (key_hash, leaf) in changes {
        match leaf {
            Some(leaf) => map.insert(*key_hash, leaf.clone()),
            None => map.remove(key_hash),
        };
    }
}

pub(crate) fn scanned(snapshot: &dyn LeafSnapshot) -> Map {
    let mut found = Map::new();
    let mut last = None;
    snapshot
        .scan(ALL_KEY_HASHES, &mut |key_hash, key, value| {
            assert!(last.replace(*key_hash) < Some(*key_hash));
            let leaf = Leaf {
                key: key.to_vec().into(),
                value: value.to_vec().into(),
            };
            found.insert(*key_hash, leaf);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// Checks that snapshots of any age keep showing the leaves from the time when they were taken.
pub(crate) fn follows_a_map(store: &dyn LeafStore) {
    let mut random = SmallRng::seed_from_u64(5);
    let mut map = Map::new();
    let mut snapshots = vec![(store.snapshot().unwrap(), map.clone())];
    for round in 0..12 {
        let changes = changes(&mut random, 60);
        store.ingest(&mut borrowed(&changes)).unwrap();
        apply(&mut map, &changes);
        if round % 3 == 0 {
            store.sync().unwrap();
        }
        snapshots.push((store.snapshot().unwrap(), map.clone()));
    }
    for (snapshot, expected) in &snapshots {
        assert_eq!(scanned(&**snapshot), *expected);
        for place in 0..=255_u8 {
            let found = snapshot.get(&[place; 32]).unwrap();
            assert_eq!(found.as_ref(), expected.get(&[place; 32]));
        }
    }
    ranges_and_early_ends(&*snapshots.last().unwrap().0, &map);
}

fn ranges_and_early_ends(snapshot: &dyn LeafSnapshot, map: &Map) {
    let range = [20; 32]..=[90; 32];
    let mut found = Vec::new();
    let mut collect = |key_hash: &Digest, _: &[u8], _: &[u8]| {
        found.push(*key_hash);
        match found.len() {
            5 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    snapshot.scan(range.clone(), &mut collect).unwrap();
    let expected: Vec<Digest> = map.range(range).map(|(k, _)| *k).take(5).collect();
    assert_eq!(found, expected);
    snapshot
        .scan([2; 32]..=[1; 32], &mut |_, _, _| panic!("an empty range"))
        .unwrap();
}

pub(crate) fn refuses_unsorted_changes(store: &dyn LeafStore) {
    let change = |place| LeafChange {
        key_hash: [place; 32],
        leaf: None,
    };
    for changes in [[change(2), change(1)], [change(1), change(1)]] {
        let result = store.ingest(&mut changes.into_iter());
        assert!(matches!(result, Err(LeafStoreError::Order { index: 1 })));
    }
    store.ingest(&mut std::iter::empty()).unwrap();
}

#[test]
fn the_store_in_memory_agrees_with_a_map() {
    follows_a_map(&MemoryLeafStore::default());
    refuses_unsorted_changes(&MemoryLeafStore::default());
}

#[test]
fn the_simulated_store_agrees_with_a_map() {
    follows_a_map(&SimulatedLeafStore::default());
    refuses_unsorted_changes(&SimulatedLeafStore::default());
}

#[test]
fn after_a_crash_each_unsynced_entry_is_old_or_new() {
    let mut fates = [0; 3];
    for seed in 0..200 {
        let store = SimulatedLeafStore::default();
        let mut random = SmallRng::seed_from_u64(seed);
        let (first, second) = (changes(&mut random, 60), changes(&mut random, 60));
        store.ingest(&mut borrowed(&first)).unwrap();
        store.sync().unwrap();
        let mut old = Map::new();
        apply(&mut old, &first);
        let mut new = old.clone();
        apply(&mut new, &second);
        store.fail_after(seed % 2);
        let ingested = store.ingest(&mut borrowed(&second));
        assert_eq!(ingested.is_err(), seed % 2 == 0);
        assert!(store.sync().is_err());
        store.crash(seed);
        let found = scanned(&*store.snapshot().unwrap());
        fates[if found == old {
            0
        } else {
            usize::from(found == new) + 1
        }] += 1;
        for place in 0..=255_u8 {
            let leaf = found.get(&[place; 32]);
            assert!(leaf == old.get(&[place; 32]) || leaf == new.get(&[place; 32]));
        }
    }
    assert!(fates.iter().all(|fate| *fate > 30), "{fates:?}");
}
