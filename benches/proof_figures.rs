//! Measures sizes of proofs, and the cost of verifying them relative to the least possible cost.
//!
//! `cargo bench --bench proof_figures [-- ROUNDS]`. The engine has a million keys. Each time is the median over the
//! rounds, in which the alternatives run in turns.

use trunkline_testkit::fixture::keys;

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use trunkline::core::hash::{INNER, ZERO, pair};
use trunkline::core::kzg::verify_aggregate;
use trunkline::core::params::TreeParams;
use trunkline::core::proof::{
    Expected, Proof, Siblings, ToVerify, Top, TopOpening, VerifiedRoot, VersionProof, opened_slots,
    verify, verify_all,
};
use trunkline::{Config, Engine, ProveOptions, Snapshot, TopKind, prove_versions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
/// Number of proofs of one key each.
const SINGLES: u64 = 10_000;
/// Number of keys of the larger proof.
const MANY: u64 = 1_000;
/// Number of versions of an aggregate that opens all their slots.
const VERSIONS: u64 = 8;
/// A number of keys that uses every slot.
const KEYS_OF_ALL_SLOTS: u64 = 2_000;

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds = words.find_map(|word| word.parse().ok()).unwrap_or(5_usize);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let engine = Engine::open_blocking(Config::in_directory(directory.path())).expect("a new one");
    for batch in 0..KEYS / 50_000 {
        let numbers = batch * 50_000..(batch + 1) * 50_000;
        let mut filled = trunkline::Batch::new();
        for number in numbers {
            filled.put(keys::key(number), keys::value(number));
        }
        let receipt = engine.submit_blocking(filled).expect("an open engine");
        receipt.durable_blocking().expect("a disk that works");
    }
    let snapshot = engine.snapshot();
    sizes(&snapshot);
    single_verification(&snapshot, rounds);
    together(&snapshot, TopKind::Hash, rounds);
    together(&snapshot, TopKind::Kzg, rounds);
    aggregate(&engine, rounds);
    drop(snapshot);
    engine.shutdown_blocking().expect("an orderly end");
}

/// Returns keys that are spread evenly.
fn spread(count: u64) -> Vec<Bytes> {
    (0..count).map(|i| keys::key(i * (KEYS / count))).collect()
}

fn prove(snapshot: &Snapshot, keys: &[Bytes], top: TopKind) -> Proof {
    snapshot.prove(keys, top).expect("a proof")
}

fn bytes(proof: &Proof) -> usize {
    proof.encode().expect("within its bounds").len()
}

fn singles(snapshot: &Snapshot, count: u64, top: TopKind) -> Vec<Proof> {
    let options = ProveOptions {
        top,
        ..ProveOptions::default()
    };
    let proofs = snapshot.prove_each(&spread(count), &options);
    proofs.expect("proofs")
}

fn sizes(snapshot: &Snapshot) {
    for (top, name) in [(TopKind::Kzg, "kzg"), (TopKind::Hash, "hash")] {
        let mut each: Vec<usize> = singles(snapshot, MANY, top).iter().map(bytes).collect();
        each.sort_unstable();
        let (median, greatest) = (each[each.len() / 2], each[each.len() - 1]);
        println!("{name} top, one key: {median} bytes (greatest {greatest})");
        let apart: usize = each.iter().sum();
        let together = bytes(&prove(snapshot, &spread(MANY), top));
        let share = together as f64 / apart as f64;
        println!("{name} top, {MANY} keys: {together} bytes, {share:.3} of as many proofs");
    }
    let proof = prove(snapshot, &spread(MANY), TopKind::Hash);
    let version = &proof.versions[0];
    let Top::Hash { siblings } = &version.top else {
        return;
    };
    let needed = needed_siblings();
    let shown = sibling_bytes(&version.siblings) + sibling_bytes(siblings);
    let share = shown as f64 / (32 * needed) as f64;
    println!("siblings of {MANY} keys: {shown} bytes for {needed} that are needed: {share:.3}");
}

/// Returns the bytes of the digests and the bitmap.
fn sibling_bytes(siblings: &Siblings) -> usize {
    let listed = siblings.iter().filter(|digest| *digest != ZERO).count();
    32 * listed + siblings.len().div_ceil(8)
}

/// Returns the number of sibling digests of the keys' paths, by the definition of the tree: halves that are not empty
/// and contain none of the keys, as long as there is more than one leaf.
fn needed_siblings() -> usize {
    let params = TreeParams::default();
    let path = |key: &Bytes| {
        let key_hash = params.key_hash(key);
        u64::from_be_bytes(key_hash[..8].try_into().expect("8 of 32 bytes"))
    };
    let mut all: Vec<u64> = (0..KEYS).map(|number| path(&keys::key(number))).collect();
    let mut wanted: Vec<u64> = spread(MANY).iter().map(path).collect();
    all.sort_unstable();
    wanted.sort_unstable();
    needed_below(&all, &wanted, 0)
}

fn needed_below(all: &[u64], wanted: &[u64], depth: u32) -> usize {
    if wanted.is_empty() {
        return usize::from(!all.is_empty());
    }
    if all.len() == 1 && depth >= 7 {
        return 0;
    }
    let is_left = |path: &u64| path >> (63 - depth) & 1 == 0;
    let (left, right) = all.split_at(all.partition_point(is_left));
    let (wanted_left, wanted_right) = wanted.split_at(wanted.partition_point(is_left));
    needed_below(left, wanted_left, depth + 1) + needed_below(right, wanted_right, depth + 1)
}

fn single_verification(snapshot: &Snapshot, rounds: usize) {
    let proofs = singles(snapshot, MANY, TopKind::Hash);
    let expected = Expected::StateDigest {
        tree_id: snapshot.root().tree_id,
        state_digest: snapshot.root().state_digest,
    };
    let [verifying, hashing] = medians(rounds, |turn| match turn {
        0 => {
            for proof in &proofs {
                black_box(verify(black_box(proof), &expected)).expect("a true proof");
            }
        }
        _ => {
            for proof in &proofs {
                black_box(bare_hashes(black_box(proof)));
            }
        }
    });
    let each = |seconds: f64| seconds * 1e9 / MANY as f64;
    println!(
        "hash top, one key verified: {:.0} ns, its bare hashes {:.0} ns: {:.2}",
        each(verifying),
        each(hashing),
        verifying / hashing
    );
}

/// Computes the compressions that every verification of a proof of one key needs, one after the other: tree id, key,
/// value, leaf, and one for each level.
fn bare_hashes(proof: &Proof) -> [u8; 32] {
    let version = &proof.versions[0];
    let key_hash = proof.params.key_hash(&version.entries[0].key);
    let value_hash = version.entries[0].claim.value_hash().unwrap_or(ZERO);
    let levels = levels(version);
    let leaf = INNER.hash(&pair(&key_hash, &value_hash));
    let top = (0..levels).fold(leaf, |digest, _| INNER.hash(&pair(&digest, &key_hash)));
    black_box(proof.params.tree_id());
    top
}

fn levels(version: &VersionProof) -> usize {
    let top = match &version.top {
        Top::Hash { siblings } => siblings.len(),
        Top::Kzg { .. } => 0,
    };
    version.siblings.len() + top
}

/// Verifies many proofs of one key each, against one root.
fn together(snapshot: &Snapshot, top: TopKind, rounds: usize) {
    let proofs = singles(snapshot, SINGLES, top);
    let root = snapshot.root();
    let expected = [Expected::Root(root)];
    let jobs: Vec<ToVerify<'_, '_>> = proofs
        .iter()
        .map(|proof| ToVerify {
            proof,
            expected: &expected,
        })
        .collect();
    let mut known = VerifiedRoot::new(root);
    let all: Vec<&Proof> = proofs.iter().collect();
    known.verify_all(&all).expect("true proofs");
    let [together, remembered] = medians(rounds, |turn| match turn {
        0 => drop(black_box(
            verify_all(black_box(&jobs)).expect("true proofs"),
        )),
        _ => drop(black_box(
            known.verify_all(black_box(&all)).expect("true proofs"),
        )),
    });
    let each = |seconds: f64| seconds * 1e6 / SINGLES as f64;
    let name = match top {
        TopKind::Hash => "hash",
        TopKind::Kzg => "kzg",
    };
    println!(
        "{name} top, {SINGLES} proofs together: {:.2} µs each; by a root whose slots are known {:.2} µs",
        each(together),
        each(remembered)
    );
}

/// Verifies all slots of several versions, against a single opening.
fn aggregate(engine: &Engine, rounds: usize) {
    let snapshots: Vec<Snapshot> = (0..VERSIONS)
        .map(|version| {
            let put = engine.put_blocking(keys::key(version), keys::value(KEYS + version));
            let receipt = put.expect("an open engine");
            receipt.durable_blocking().expect("a disk that works");
            engine.snapshot()
        })
        .collect();
    let asked = spread(KEYS_OF_ALL_SLOTS);
    let parts: Vec<(&Snapshot, &[Bytes])> = snapshots
        .iter()
        .map(|snapshot| (snapshot, &asked[..]))
        .collect();
    let many = prove_versions(&parts, &ProveOptions::default()).expect("a proof");
    let opened = opened_slots(&many).expect("a true proof");
    let Some(TopOpening::Aggregate(aggregate)) = many.opening else {
        return;
    };
    let slots: usize = opened.iter().map(|opened| opened.slots.len()).sum();
    let single = prove(&snapshots[0], &asked[..1], TopKind::Kzg);
    let trusted = Expected::Root(snapshots[0].root());
    let [many, one] = medians(rounds.max(21), |turn| match turn {
        0 => assert_eq!(verify_aggregate(black_box(&opened), &aggregate), Ok(true)),
        _ => drop(black_box(verify(black_box(&single), &trusted)).expect("a true proof")),
    });
    println!(
        "{slots} slots of {VERSIONS} versions, opened by one aggregate: {:.2} ms; a proof of one key verified {:.2} ms: {:.2}",
        many * 1e3,
        one * 1e3,
        many / one
    );
}

/// Returns the median time of each piece of work in seconds. They are done in turns.
fn medians<const N: usize>(rounds: usize, mut work: impl FnMut(usize)) -> [f64; N] {
    let mut seconds: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (turn, seconds) in seconds.iter_mut().enumerate() {
            let start = Instant::now();
            work(turn);
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    })
}
