//! One tree that applies submissions whole, and another one that applies them in shards: both always return and show
//! the same.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::{ThreadPool, ThreadPoolBuilder};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::{self, TreeHasher, TreeWriter};
use trunkline_testkit::naive::Hash;
use trunkline_testkit::tree::{HashedOp, Twin, many_near, near, pick, prepared, random_ops, walk};

struct Pair {
    whole: Half,
    cut: Half,
    pool: ThreadPool,
    version: u64,
}

struct Half {
    writer: TreeWriter,
    hasher: TreeHasher,
}

impl Half {
    fn new(policy: CollisionPolicy) -> Self {
        let (writer, hasher) = tree::build(policy, &[]).unwrap();
        Self { writer, hasher }
    }
}

impl Pair {
    fn new(policy: CollisionPolicy) -> Self {
        Self {
            whole: Half::new(policy),
            cut: Half::new(policy),
            pool: ThreadPoolBuilder::new().num_threads(3).build().unwrap(),
            version: 1,
        }
    }

    /// Submits to both trees. Returns whether the submission took effect.
    fn submit(&mut self, ops: &[HashedOp], shards: usize) -> bool {
        let batch = prepared(ops);
        let whole = self.whole.writer.apply(&batch, self.version);
        let pool = Some((&self.pool, shards));
        let cut = self.cut.writer.apply_on(pool, &batch, self.version);
        assert_eq!(whole, cut, "{shards} shards");
        let count = |half: &Half| half.writer.key_count();
        assert_eq!(count(&self.whole), count(&self.cut));
        whole.is_ok()
    }

    fn seal(&mut self, shards: usize) {
        let [whole, cut] = [&mut self.whole, &mut self.cut];
        let (of_whole, of_cut) = (
            whole.writer.seal(self.version),
            cut.writer.seal(self.version),
        );
        assert_eq!(of_whole.is_empty(), of_cut.is_empty());
        let expected = whole.hasher.hash(of_whole, None);
        let roots = cut.hasher.hash(of_cut, Some((&self.pool, shards)));
        assert_eq!(roots, expected);
        self.version += 1;
    }

    fn check_leaves(&self) {
        let [whole, cut] = [&self.whole, &self.cut].map(|half| half.writer.reader());
        for version in 0..self.version {
            assert_eq!(walk(&cut, version), walk(&whole, version));
        }
    }
}

/// Returns keys throughout the tree, crowded ones, and two paths with more keys than a bucket holds.
fn hashes(rng: &mut StdRng) -> Vec<Hash> {
    let mut hashes = many_near(rng, &[0; 32], 0, 1_500);
    for (first, bits, count) in [
        (0x11, 9, 300),
        (0x80, 30, 100),
        (0x40, 56, 18),
        (0xf0, 56, 18),
    ] {
        hashes.extend(many_near(rng, &[first; 32], bits, count));
    }
    hashes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..crate::support::fixed_cases() })]

    #[test]
    fn nothing_shows_that_a_submission_was_cut_into_pieces(
        seed: u64,
        policy in prop::sample::select(vec![
            CollisionPolicy::Bucket,
            CollisionPolicy::Overwrite,
            CollisionPolicy::Reject,
        ]),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let all = hashes(&mut rng);
        let mut pair = Pair::new(policy);
        for step in 0..6 {
            for _ in 0..rng.random_range(0..4) {
                let count = *pick(&mut rng, &[1, 40, 700, 3_000]);
                let puts = if step == 4 { 0.1 } else { 0.7 };
                let mut ops = random_ops(&mut rng, &all, count, puts);
                if policy == CollisionPolicy::Reject && rng.random_bool(0.8) {
                    ops.retain(|(key, _)| !matches!(key[..7], [0x40 | 0xf0, ..]));
                }
                pair.submit(&ops, *pick(&mut rng, &[1, 2, 3, 8, 128, 500]));
            }
            pair.seal(*pick(&mut rng, &[1, 2, 8]));
        }
        pair.check_leaves();
    }
}

#[test]
fn the_first_refusal_in_path_order_is_named_and_takes_back_every_piece() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut pair = Pair::new(CollisionPolicy::Bucket);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let full: Vec<Hash> = [0x40, 0x90, 0xf0]
        .into_iter()
        .flat_map(|first| many_near(&mut rng, &[first; 32], 56, 16))
        .collect();
    let ops: Vec<HashedOp> = full.iter().map(|key| (*key, Some([1; 32]))).collect();
    assert!(pair.submit(&ops, 4));
    twin.submit(&ops).unwrap();
    pair.seal(1);
    twin.seal();
    let some = many_near(&mut rng, &[0; 32], 0, 2_000);
    for overflowing in [&[2, 1][..], &[1], &[2], &[0, 1, 2]] {
        let mut ops = random_ops(&mut rng, &some, 2_000, 0.9);
        ops.extend(
            overflowing
                .iter()
                .map(|bucket| (near(&mut rng, &full[16 * bucket], 56), Some([5; 32]))),
        );
        assert!(!pair.submit(&ops, 4));
        let Err(Refusal::BucketFull { key_hash }) = twin.submit(&ops) else {
            panic!("a bucket overflows");
        };
        let first = *overflowing.iter().min().unwrap();
        assert_eq!(key_hash[..7], full[16 * first][..7]);
        assert!(pair.submit(&ops[..50], 4));
        pair.seal(2);
        pair.check_leaves();
    }
}
