use rand::SeedableRng;
use rand::rngs::StdRng;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::Applied;
use trunkline_testkit::naive::Hash;
use trunkline_testkit::tree::{HashedOp, Twin, many_near, near, random_ops};

const ONE: Option<Hash> = Some([1; 32]);
const TWO: Option<Hash> = Some([2; 32]);

fn applied(unchanged: &[u32], displaced: &[Hash]) -> Applied {
    Applied {
        unchanged: unchanged.to_vec(),
        displaced: displaced.to_vec(),
    }
}

/// Returns whether the version dirtied nothing, as seen by the hasher.
fn is_clean(twin: &mut Twin) -> bool {
    let sealed = twin.writer.seal(twin.version);
    let clean = sealed.is_empty();
    let roots = twin.hasher.hash(sealed, None);
    let before = &twin.seen[&(twin.version - 1)].roots;
    clean && roots.slots == before.slots && roots.state_digest == before.state_digest
}

#[test]
fn writes_that_changed_nothing_are_named_by_their_places() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut keys = many_near(&mut rng, &[0; 32], 0, 4);
    keys.sort_unstable();
    let [a, b, c, d] = keys[..] else {
        unreachable!()
    };
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    assert_eq!(
        twin.submit(&[(c, ONE), (a, ONE), (b, None)]),
        Ok(applied(&[1], &[]))
    );
    assert_eq!(
        twin.submit(&[(d, ONE), (c, None), (b, None), (a, ONE)]),
        Ok(applied(&[0, 1], &[]))
    );
    assert_eq!(
        twin.submit(&[(a, TWO), (a, ONE), (d, TWO)]),
        Ok(applied(&[0], &[]))
    );
}

#[test]
fn keys_that_newer_ones_displaced_are_named() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut path = many_near(&mut rng, &[0x33; 32], 56, 3);
    path.sort_unstable();
    let (low, high) = ([0; 32], [0xff; 32]);
    let mut twin = Twin::new(CollisionPolicy::Overwrite);
    twin.put_all(&[path[2]]);
    assert_eq!(
        twin.submit(&[(path[0], ONE), (high, ONE), (path[1], ONE), (low, ONE)]),
        Ok(applied(&[1], &[path[2]]))
    );
    // A member that was there before and that this submission itself put is displaced like any other.
    assert_eq!(
        twin.submit(&[(path[1], TWO), (path[0], ONE)]),
        Ok(applied(&[1], &[path[1]]))
    );
    // A member that was not there before came and went within the submission.
    assert_eq!(
        twin.submit(&[(path[1], TWO), (path[0], ONE)]),
        Ok(applied(&[0, 1], &[]))
    );
}

#[test]
fn what_changes_nothing_dirties_nothing() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut keys = many_near(&mut rng, &[0; 32], 0, 200);
    keys.extend(many_near(&mut rng, &[0x55; 32], 30, 60));
    keys.extend(many_near(&mut rng, &[0x66; 32], 56, 10));
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&keys);
    twin.seal();
    let mut ops: Vec<HashedOp> = keys.iter().map(|key| (*key, ONE)).collect();
    for bits in [7, 20, 35, 55] {
        let base = keys[210];
        ops.push((near(&mut rng, &base, bits), None));
    }
    ops.push((near(&mut rng, &keys[265], 56), None));
    let all: Vec<u32> = (0..ops.len() as u32).collect();
    assert_eq!(twin.submit(&ops), Ok(applied(&all, &[])));
    assert!(is_clean(&mut twin));
    twin.version += 1;
    twin.check_leaves();
}

#[test]
fn a_version_without_submissions_is_clean() {
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&[[7; 32]]);
    twin.seal();
    assert!(is_clean(&mut twin));
}

#[test]
fn a_value_that_stays_keeps_its_origin() {
    let mut rng = StdRng::seed_from_u64(4);
    let keys = many_near(&mut rng, &[0x10; 32], 7, 120);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for _ in 0..8 {
        twin.submit(&random_ops(&mut rng, &keys, 60, 0.9)).unwrap();
        twin.seal();
    }
    // Origins are part of what is compared here.
    twin.check_leaves();
    let origins: std::collections::BTreeSet<u64> =
        twin.present.values().map(|leaf| leaf.1).collect();
    assert!(origins.len() > 4);
}
