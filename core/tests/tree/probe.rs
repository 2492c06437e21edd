//! The information in a block's header stays correct whatever was tried and undone in between.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::Probe;
use trunkline_testkit::naive::Hash;
use trunkline_testkit::tree::{HashedOp, State, Twin, many_near, near, random_ops};

/// Checks that the result of a probe of keys at the last sealed version was true at every version that it covers.
fn check(twin: &Twin, history: &[State], keys: &[Hash]) -> usize {
    let version = twin.version - 1;
    let value = |then: u64, key: &Hash| history[then as usize].get(key).map(|leaf| leaf.0);
    let mut clear = 0;
    for key in keys {
        let since = match twin.reader().probe(version, key) {
            Probe::Absent => {
                assert_eq!(value(version, key), None);
                version
            }
            Probe::UnchangedSince(since) => since,
            Probe::Unknown => continue,
        };
        clear += 1;
        for then in since..version {
            assert_eq!(value(then, key), value(version, key), "since {since}");
        }
    }
    clear
}

#[test]
fn a_glance_holds_through_refused_submissions_that_would_have_split_or_merged_blocks() {
    let mut rng = StdRng::seed_from_u64(1);
    let base: Hash = rng.random();
    let full = many_near(&mut rng, &[0xfe; 32], 56, 16);
    // Enough keys that some of them fill a block, and not all of them fit into one.
    let keys = many_near(&mut rng, &base, 50, 24);
    let more = many_near(&mut rng, &base, 50, 40);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&full);
    let mut history = vec![State::new()];
    let mut clear = 0;
    for step in 0..120 {
        let count = rng.random_range(0..6);
        let puts = if step % 3 == 0 { 0.2 } else { 0.7 };
        let ops = random_ops(&mut rng, &keys, count, puts);
        twin.submit(&ops).unwrap();
        twin.seal();
        history.push(twin.present.clone());
        clear += check(&twin, &history, &keys);
        // The last write does not fit, so all others are undone.
        let mut hopeless: Vec<HashedOp> = match step % 2 {
            0 => more.iter().map(|key| (*key, Some([2; 32]))).collect(),
            _ => keys.iter().map(|key| (*key, None)).collect(),
        };
        hopeless.push((near(&mut rng, &full[0], 56), Some([2; 32])));
        twin.submit(&hopeless).unwrap_err();
        clear += check(&twin, &history, &keys);
    }
    assert!(clear > 500, "{clear}");
}
