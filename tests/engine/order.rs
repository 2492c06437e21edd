//! Reads of ranges of keys in byte order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline::core::params::CollisionPolicy;
use trunkline::core::store::simulated::{SimulatedDisk, SimulatedLeafStore};
use trunkline::{
    Batch, Config, Engine, KeyRange, OpenError, Part, ReadError, ReadOnly, Repair, Snapshot,
};
use trunkline_testkit::keys::path_collisions;

use crate::support::{Rig, without_hanging};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A machine, and the states of an engine on it.
struct Machine {
    disk: SimulatedDisk,
    leaves: Arc<SimulatedLeafStore>,
    config: Config,
    /// The state after each submission, the empty one first.
    models: Vec<Model>,
}

impl Machine {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::in_directory("tree");
        config.store.key_order = true;
        config.checkpoint.bytes_max = 4_096;
        config.checkpoint.unflushed_bytes_max = 8_192;
        config.versions.retain_versions = 4;
        change(&mut config);
        Self {
            disk: SimulatedDisk::new(1),
            leaves: Arc::default(),
            config,
            models: vec![Model::new()],
        }
    }

    fn open(&self) -> Engine {
        let builder = Engine::builder(self.config.clone()).disk(Arc::new(self.disk.clone()));
        builder
            .leaf_store(self.leaves.clone())
            .open_blocking()
            .unwrap()
    }

    /// Submits writes, and returns whether the engine still takes and commits them.
    fn submit(&mut self, engine: &Engine, writes: &[Write]) -> bool {
        let mut model = self.models[self.models.len() - 1].clone();
        let mut batch = Batch::new();
        for (key, value) in writes {
            match value {
                Some(value) => {
                    batch.put(key, value);
                    model.insert(key.clone(), value.clone());
                }
                None => {
                    batch.delete(key);
                    model.remove(key);
                }
            }
        }
        let Ok(receipt) = engine.submit_blocking(batch) else {
            return false;
        };
        self.models.push(model);
        receipt.durable_blocking().is_ok()
    }

    fn model(&self, snapshot: &Snapshot) -> &Model {
        &self.models[snapshot.record().last_sequence as usize]
    }

    /// Discards the versions that a power loss lost.
    fn reopen(&mut self) -> Engine {
        let engine = self.open();
        let last = engine.snapshot().record().last_sequence as usize;
        self.models.truncate(last + 1);
        engine
    }
}

type Write = (Vec<u8>, Option<Vec<u8>>);

fn expected(model: &Model, range: &KeyRange) -> Pairs {
    let within = model.iter().filter(|(key, _)| range.contains(key));
    let mut pairs: Pairs = within
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if range.is_reverse() {
        pairs.reverse();
    }
    pairs
}

/// Reads all pages of a range, each with its own call of `page`.
fn pages(
    mut range: KeyRange,
    page: impl Fn(&KeyRange) -> Result<trunkline::RangePage, ReadError>,
) -> Pairs {
    let mut pairs = Pairs::new();
    loop {
        let page = page(&range).unwrap();
        let entries = page.entries.iter();
        pairs.extend(entries.map(|(key, value)| (key.to_vec(), value.to_vec())));
        match page.resume {
            Some(key) => range = range.after(key),
            None => return pairs,
        }
    }
}

fn ranges(one: &[u8], other: &[u8], entries: usize) -> Vec<KeyRange> {
    let forward = [
        KeyRange::all(),
        KeyRange::new(one..other),
        KeyRange::new(one..),
        KeyRange::prefix(&one[..1]),
    ];
    let limited = forward.map(|range| range.entries_max(entries));
    let reversed = limited.clone().map(KeyRange::reversed);
    limited.into_iter().chain(reversed).collect()
}

/// Returns writes to keys of one and two letters, so that prefixes matter; three of four put a value.
fn write() -> impl Strategy<Value = Write> {
    let letters = vec(prop::sample::select(b"ab\0\xff".to_vec()), 1..4);
    let value = prop::option::weighted(0.75, vec(any::<u8>(), 0..400));
    (letters, value)
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Vec<Write>),
    Hold,
    Reopen,
    /// The leaf store fails after this many calls, and the power fails.
    PowerLoss(u64, u64),
    Compare(Vec<u8>, Vec<u8>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || write().prop_map(|(key, _)| key);
    prop_oneof![
        8 => vec(write(), 1..9).prop_map(Step::Submit),
        2 => Just(Step::Hold),
        1 => Just(Step::Reopen),
        1 => (0..6_u64, any::<u64>()).prop_map(|(calls, seed)| Step::PowerLoss(calls, seed)),
        4 => (key(), key(), 1..7_usize).prop_map(|(a, b, count)| Step::Compare(a, b, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn ranges_of_every_version_are_those_of_the_model(
        budget_bytes in prop::sample::select(vec![0, 1]),
        steps in vec(step(), 1..60),
    ) {
        let mut machine = Machine::new(|config| config.memory.budget_bytes = budget_bytes);
        let mut engine = machine.open();
        let mut held: Vec<Snapshot> = Vec::new();
        for step in steps {
            match step {
                Step::Submit(writes) => assert!(machine.submit(&engine, &writes)),
                Step::Hold => held.push(engine.snapshot()),
                Step::Reopen => {
                    held.clear();
                    engine.shutdown_blocking().unwrap();
                    engine = machine.reopen();
                }
                Step::PowerLoss(calls, seed) => {
                    held.clear();
                    machine.leaves.fail_after(calls);
                    let large = |byte| (vec![b'a', byte], Some(vec![byte; 300]));
                    for byte in 0..60 {
                        let deleted = (vec![b'a', byte / 2], None);
                        if !machine.submit(&engine, &[large(byte), deleted]) {
                            break;
                        }
                    }
                    // The engine may have failed, which is reported here, too.
                    let _ = engine.shutdown_blocking();
                    machine.leaves.crash(seed);
                    machine.disk.crash(seed);
                    engine = machine.reopen();
                }
                Step::Compare(one, other, entries) => {
                    for range in ranges(&one, &other, entries) {
                        for snapshot in held.iter().chain([&engine.snapshot()]) {
                            let found = pages(range.clone(), |range| snapshot.range(range));
                            prop_assert_eq!(found, expected(machine.model(snapshot), &range));
                        }
                        let found = pages(range.clone(), |range| engine.range(range));
                        let newest = &machine.models[machine.models.len() - 1];
                        prop_assert_eq!(found, expected(newest, &range));
                    }
                }
            }
        }
        engine.shutdown_blocking().unwrap();
    }
}

fn in_directory(directory: &Path, key_order: bool) -> Config {
    let mut config = Config::in_directory(directory);
    config.store.key_order = key_order;
    config.checkpoint.bytes_max = 4_096;
    config.checkpoint.unflushed_bytes_max = 8_192;
    config
}

fn put_each(engine: &Engine, keys: std::ops::Range<u32>) {
    for key in keys {
        let receipt = engine.put_blocking(key.to_be_bytes(), [7; 300]).unwrap();
        receipt.durable_blocking().unwrap();
    }
}

fn keys(snapshot: &Snapshot, range: KeyRange) -> Vec<u32> {
    let entries = snapshot.range_iter(range);
    let keys = entries.map(|entry| u32::from_be_bytes(entry.unwrap().0[..].try_into().unwrap()));
    keys.collect()
}

#[test]
fn an_index_on_disk_outlives_the_engine_and_read_only_readers_use_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(in_directory(directory.path(), true)).unwrap();
    put_each(&engine, 0..200);
    engine
        .delete_blocking(3_u32.to_be_bytes())
        .unwrap()
        .durable_blocking()
        .unwrap();
    engine.shutdown_blocking().unwrap();
    let all: Vec<u32> = (0..200).filter(|key| *key != 3).collect();
    let tree = ReadOnly::open(directory.path()).unwrap();
    assert!(tree.inspect().checkpoint_version > 0);
    assert_eq!(keys(&tree.snapshot(), KeyRange::all()), all);
    drop(tree);
    let engine = Engine::open_blocking(in_directory(directory.path(), true)).unwrap();
    let tail = KeyRange::new(190_u32.to_be_bytes()..).reversed();
    let last: Vec<u32> = (190..200).rev().collect();
    assert_eq!(keys(&engine.snapshot(), tail), last);
    engine.shutdown_blocking().unwrap();
    assert!(trunkline::check(directory.path()).unwrap().is_sound());
}

#[test]
fn a_directory_is_opened_only_as_it_was_created() {
    for key_order in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_blocking(in_directory(directory.path(), key_order)).unwrap();
        put_each(&engine, 0..3);
        let read = engine.snapshot().range(&KeyRange::all());
        assert_eq!(matches!(read, Err(ReadError::NoKeyOrder)), !key_order);
        let read = engine.prefix(b"\0");
        assert_eq!(matches!(read, Err(ReadError::NoKeyOrder)), !key_order);
        engine.shutdown_blocking().unwrap();
        let other = Engine::open_blocking(in_directory(directory.path(), !key_order));
        let error = other.unwrap_err();
        let expected = format!("set store.key_order = {key_order}");
        assert!(error.to_string().contains(&expected));
        assert!(
            matches!(error, OpenError::OtherKeyOrder { recorded, .. } if recorded == key_order)
        );
        let engine = Engine::open_blocking(in_directory(directory.path(), key_order)).unwrap();
        engine.shutdown_blocking().unwrap();
    }
}

#[test]
fn a_store_that_is_the_log_has_an_index_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = in_directory(directory.path(), true);
    config.store.kind = trunkline::config::StoreKind::Log;
    for round in 0..2 {
        let engine = Engine::open_blocking(config.clone()).unwrap();
        put_each(&engine, round * 100..round * 100 + 100);
        let all: Vec<u32> = (0..round * 100 + 100).collect();
        assert_eq!(keys(&engine.snapshot(), KeyRange::all()), all);
        engine.shutdown_blocking().unwrap();
    }
}

#[test]
fn keys_that_share_a_path_are_all_there_unless_one_displaced_the_other() {
    let colliding = path_collisions();
    for (policy, count) in [
        (CollisionPolicy::Bucket, 2),
        (CollisionPolicy::Overwrite, 1),
    ] {
        let mut machine = Machine::new(|config| config.tree.collision = policy);
        let engine = machine.open();
        let [one, other] = [&colliding[0][0], &colliding[0][1]].map(|key| key.to_vec());
        for key in [&one, &other] {
            assert!(machine.submit(&engine, &[(key.clone(), Some(b"v".to_vec()))]));
        }
        let found = pages(KeyRange::all(), |range| engine.snapshot().range(range));
        assert_eq!(found.len(), count);
        assert!(found.iter().any(|(key, _)| *key == other));
        engine.shutdown_blocking().unwrap();
    }
}

#[test]
fn an_index_that_lost_keys_is_found_and_built_again_from_the_leaves() {
    use trunkline::core::store::fjall_leaves::{FjallLeafStore, FjallOptions};
    use trunkline::core::store::key_index::KeyChange;
    use trunkline::core::store::leaves::{LEAVES_DIRECTORY, LeafStore};
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(in_directory(directory.path(), true)).unwrap();
    put_each(&engine, 0..100);
    engine.shutdown_blocking().unwrap();
    let options = FjallOptions {
        key_order: true,
        ..FjallOptions::default()
    };
    let leaves = directory.path().join(LEAVES_DIRECTORY);
    let store = FjallLeafStore::open(&leaves, &options).unwrap();
    let (lost, stray) = (5_u32.to_be_bytes(), *b"stray");
    let changes = [(&lost[..], false), (&stray[..], true)];
    let changes = changes.map(|(key, is_present)| KeyChange { key, is_present });
    store.ingest_keys(&mut changes.into_iter()).unwrap();
    store.sync().unwrap();
    drop(store);
    let report = trunkline::check(directory.path()).unwrap();
    assert_eq!(report.findings[0].part, Part::KeyOrder);
    assert_eq!(report.findings[0].repair, Some(Repair::KeyOrder));
    let report = trunkline::repair(directory.path(), None).unwrap();
    assert!(report.after.is_sound());
    let tree = ReadOnly::open(directory.path()).unwrap();
    assert_eq!(keys(&tree.snapshot(), KeyRange::all()).len(), 100);
}

#[test]
fn a_page_keeps_its_bounds_and_its_resume_key_leads_to_the_rest() {
    let mut machine = Machine::new(|_| {});
    let engine = machine.open();
    let writes: Vec<Write> = (0..10).map(|key| (vec![key], Some(vec![0; 99]))).collect();
    assert!(machine.submit(&engine, &writes));
    for (bytes, count) in [(100, 1), (199, 1), (200, 2), (250, 2), (300, 3)] {
        let page = engine.range(&KeyRange::all().bytes_max(bytes)).unwrap();
        let last = Some(vec![count as u8 - 1].into());
        assert_eq!((page.entries.len(), page.resume), (count, last));
    }
    let page = engine.range(&KeyRange::all().bytes_max(0)).unwrap();
    assert_eq!(page.entries.len(), 1);
    let rest = KeyRange::all().reversed().entries_max(4).after(vec![2_u8]);
    let page = engine.range(&rest).unwrap();
    assert_eq!((page.entries.len(), page.resume), (2, None));
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_page_that_meets_too_many_keys_without_a_value_is_empty_and_leads_to_the_next() {
    let mut machine = Machine::new(|config| config.checkpoint.bytes_max = 64 << 20);
    machine.config.checkpoint.unflushed_bytes_max = 64 << 20;
    let engine = machine.open();
    let keys = || (0..5_000_u16).map(|key| key.to_be_bytes().to_vec());
    let put = |key: Vec<u8>| (key, Some(vec![1]));
    let puts: Vec<Write> = keys().map(put).collect();
    let deletes: Vec<Write> = keys().take(4_999).map(|key| (key, None)).collect();
    assert!(machine.submit(&engine, &puts) && machine.submit(&engine, &deletes));
    for engine_or_snapshot in [true, false] {
        let read = |range: &KeyRange| match engine_or_snapshot {
            true => engine.range(range),
            false => engine.snapshot().range(range),
        };
        let first = read(&KeyRange::all()).unwrap();
        let last_seen = Some(4_095_u16.to_be_bytes().to_vec().into());
        assert_eq!((first.entries.len(), first.resume), (0, last_seen));
        let back = read(&KeyRange::all().reversed()).unwrap();
        assert_eq!(back.entries.len(), 1);
        assert!(back.resume.is_some());
        let all = pages(KeyRange::all(), read);
        assert_eq!(all, [(4_999_u16.to_be_bytes().to_vec(), vec![1])]);
    }
    let iterated: Vec<_> = engine.snapshot().range_iter(KeyRange::all()).collect();
    assert_eq!(iterated.len(), 1);
    engine.shutdown_blocking().unwrap();
}

#[test]
fn writes_that_are_accepted_and_not_durable_are_in_ranges_of_the_latest() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.store.key_order = true;
            config.submit.batch_operations_max = 1_000;
            config.submit.in_flight_operations_max = 20_000;
        });
        let engine = rig.open();
        let mut model = Model::new();
        let mut batch = Batch::new();
        for key in 0..500_u16 {
            let (key, value) = (key.to_be_bytes().to_vec(), b"old".to_vec());
            batch.put(&key, &value);
            model.insert(key, value);
        }
        crate::support::submit(&engine, batch);
        rig.disk.syncs.close();
        let mut receipts = Vec::new();
        // Until no more is taken: the first are applied, and those behind them wait.
        for round in 0..1_000_u16 {
            let (mut batch, mut next) = (Batch::new(), model.clone());
            // Few and many writes: the two forms in which they are shown.
            let count = if round % 8 == 0 { 700 } else { 5 };
            for key in (0..count).map(|key| (37 * round + key) % 1_500) {
                let key = key.to_be_bytes().to_vec();
                match (key[1] ^ round as u8) % 3 {
                    0 => {
                        batch.delete(&key);
                        next.remove(&key);
                    }
                    _ => {
                        batch.put(&key, round.to_be_bytes());
                        next.insert(key, round.to_be_bytes().to_vec());
                    }
                }
            }
            match engine.try_submit(batch) {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => {
                    assert!(error.retry_can_help(), "{error}");
                    break;
                }
            }
            model = next;
        }
        assert!(receipts.len() > 50, "{}", receipts.len());
        let (one, other) = (100_u16.to_be_bytes(), 900_u16.to_be_bytes());
        for entries in [7, 300, 5_000] {
            for range in ranges(&one, &other, entries) {
                let found = pages(range.clone(), |range| engine.range(range));
                assert_eq!(found, expected(&model, &range), "{range:?}");
            }
        }
        assert_eq!(engine.snapshot().version(), 1, "nothing of it is durable");
        rig.disk.syncs.open();
        for receipt in receipts {
            receipt.durable_blocking().unwrap();
        }
        let found = pages(KeyRange::all(), |range| engine.snapshot().range(range));
        assert_eq!(found, expected(&model, &KeyRange::all()));
        engine.shutdown_blocking().unwrap();
    });
}

#[test]
fn ranges_of_archived_versions_have_the_keys_that_were_deleted_since() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = in_directory(directory.path(), true);
    config.versions.archive = true;
    config.versions.retain_versions = 2;
    config.checkpoint.bytes_max = 16 << 10;
    config.checkpoint.unflushed_bytes_max = 32 << 10;
    let mut engine = Engine::open_blocking(config.clone()).unwrap();
    let mut random = trunkline_testkit::random::Random(5);
    let mut models = vec![Model::new()];
    for round in 0..3 {
        for _ in 0..50 {
            let (mut batch, mut model) = (Batch::new(), models[models.len() - 1].clone());
            for _ in 0..30 {
                let key = format!("{:03}", random.below(400)).into_bytes();
                match random.below(2) {
                    0 => {
                        batch.delete(&key);
                        model.remove(&key);
                    }
                    _ => {
                        let value = vec![random.below(256) as u8; 20];
                        batch.put(&key, &value);
                        model.insert(key, value);
                    }
                }
            }
            let receipt = engine.submit_blocking(batch).unwrap();
            receipt.durable_blocking().unwrap();
            models.push(model);
        }
        let check = |number: usize, snapshot: &Snapshot| {
            for range in ranges(b"150", b"260", 1 + 40 * (number % 5)) {
                let found = pages(range.clone(), |range| snapshot.range(range));
                let expected = expected(&models[number], &range);
                assert_eq!(found, expected, "{range:?} of version {number}");
            }
        };
        for number in (round..models.len()).step_by(3) {
            check(number, &engine.snapshot_at(number as u64).unwrap());
        }
        assert!(engine.metrics().past_bytes > 0);
        engine.shutdown_blocking().unwrap();
        let tree = ReadOnly::open(directory.path()).unwrap();
        for number in [1, models.len() / 2, models.len() - 1] {
            check(number, &tree.snapshot_at(number as u64).unwrap());
        }
        drop(tree);
        engine = Engine::open_blocking(config.clone()).unwrap();
    }
    engine.shutdown_blocking().unwrap();
    assert!(trunkline::check(directory.path()).unwrap().is_sound());
}

#[tokio::test]
async fn async_reads_give_what_blocking_ones_do_and_can_be_given_up() {
    let mut machine = Machine::new(|_| {});
    let engine = machine.open();
    let writes: Vec<Write> = (0..50)
        .map(|key| (vec![key], Some(vec![key; 300])))
        .collect();
    assert!(machine.submit(&engine, &writes));
    let snapshot = engine.snapshot();
    let one = Some(vec![1; 300].into());
    assert_eq!(engine.get_async(vec![1]).await.unwrap(), one);
    assert_eq!(snapshot.get_async(vec![1]).await.unwrap(), one);
    let keys = vec![vec![1], vec![99]];
    let several = vec![one, None];
    assert_eq!(engine.multi_get_async(keys.clone()).await.unwrap(), several);
    assert_eq!(
        snapshot.multi_get_async(keys.clone()).await.unwrap(),
        several
    );
    let options = trunkline::ProveOptions::default();
    let proof = snapshot.prove_async(keys.clone(), options).await.unwrap();
    assert_eq!(proof, snapshot.prove_with(&keys, &options).unwrap());
    // Far more than may be running at once, each dropped after its first poll.
    for _ in 0..2_000 {
        let mut read = std::pin::pin!(snapshot.get_async(vec![1]));
        let waker = std::task::Waker::noop();
        let _ = read
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
    }
    let mut stream = snapshot.range_stream(KeyRange::all().entries_max(7));
    let mut count = 0_u8;
    while let Some(entry) = std::future::poll_fn(|context| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut stream), context)
    })
    .await
    {
        assert_eq!(entry.unwrap().0[..], [count]);
        count += 1;
    }
    assert_eq!(count, 50);
    drop((stream, snapshot));
    engine.shutdown().await.unwrap();
}
