use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use trunkline_core::outcome::Refusal;
use trunkline_core::params::CollisionPolicy;
use trunkline_testkit::keys::{number_key, value_of};
use trunkline_testkit::naive::{self, Hash, Op, Require};
use trunkline_testkit::states::plain;
use trunkline_testkit::tree::{
    HashedOp, Seen, Twin, expected_leaves, many_near, near, prepared, random_ops, walk,
};

use crate::support::{Keyed, check_seen};

/// A full bucket in a cell with branches, another one far away, and many other keys.
struct Ground {
    full: Vec<Hash>,
    others: Vec<Hash>,
}

impl Ground {
    fn new(rng: &mut StdRng) -> Self {
        let base: Hash = rng.random();
        let mut others = many_near(rng, &base, 50, 60);
        others.extend(many_near(rng, &base, 7, 60));
        others.extend(many_near(rng, &[0; 32], 0, 200));
        let mut full = many_near(rng, &base, 56, 16);
        full.extend(many_near(rng, &[0xfe; 32], 56, 16));
        Self { full, others }
    }

    /// Returns changes throughout the tree, with a 17th member somewhere among them.
    fn hopeless(&self, rng: &mut StdRng) -> Vec<HashedOp> {
        let count = rng.random_range(0..300);
        let mut ops = random_ops(rng, &self.others, count, 0.4);
        let bucket = self.full[16 * rng.random_range(0..2)];
        ops.push((near(rng, &bucket, 56), Some([5; 32])));
        ops.shuffle(rng);
        ops
    }
}

/// Checks the version in progress as if it had been sealed.
fn check_present(twin: &Twin) {
    assert_eq!(
        walk(&twin.reader(), twin.version).0,
        expected_leaves(&twin.present)
    );
}

#[test]
fn a_refused_submission_leaves_no_trace_wherever_its_bucket_overflows() {
    let mut rng = StdRng::seed_from_u64(1);
    let ground = Ground::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&ground.full);
    let _ = twin.submit(&random_ops(&mut rng, &ground.others, 300, 0.8));
    let mut before = twin.seal();
    for _ in 0..30 {
        for _ in 0..2 {
            let refusal = twin.submit(&ground.hopeless(&mut rng)).unwrap_err();
            assert!(matches!(refusal, Refusal::BucketFull { .. }));
            check_present(&twin);
        }
        let roots = twin.seal();
        assert_eq!(roots.slots, before.slots);
        before = roots;
    }
    twin.check_leaves();
}

#[test]
fn a_refused_submission_between_others_leaves_no_trace() {
    let mut rng = StdRng::seed_from_u64(2);
    let ground = Ground::new(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&ground.full);
    twin.seal();
    let asked: Vec<_> = (0..9).map(number_key).collect();
    for round in 0..12 {
        for _ in 0..3 {
            let puts = if round % 4 == 3 { 0.1 } else { 0.7 };
            let some = random_ops(&mut rng, &ground.others, 70, puts);
            let _ = twin.submit(&some);
            assert!(twin.submit(&ground.hopeless(&mut rng)).is_err());
            check_present(&twin);
        }
        let last: &Seen = &twin.seen[&(twin.version - 1)];
        check_seen(&twin.reader(), &plain(), last, &asked);
        twin.seal();
    }
    for seen in twin.seen.values() {
        check_seen(&twin.reader(), &plain(), seen, &asked);
    }
}

#[test]
fn a_refused_submission_that_would_double_or_halve_directories_leaves_no_trace() {
    let mut rng = StdRng::seed_from_u64(3);
    let first = many_near(&mut rng, &[0; 32], 7, 300);
    let many = many_near(&mut rng, &[0; 32], 7, 1_500);
    let full = many_near(&mut rng, &[0xff; 32], 56, 16);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    twin.put_all(&[first.clone(), full.clone()].concat());
    let before = twin.seal();
    let seventeenth = (near(&mut rng, &full[0], 56), Some([5; 32]));
    let growing = many.iter().map(|key| (*key, Some([1; 32])));
    let growing: Vec<HashedOp> = growing.chain([seventeenth]).collect();
    let shrinking = first.iter().map(|key| (*key, None));
    let shrinking: Vec<HashedOp> = shrinking.chain([seventeenth]).collect();
    for ops in [&growing, &shrinking, &growing] {
        assert!(twin.submit(ops).is_err());
        check_present(&twin);
        twin.check_leaves();
        assert_eq!(twin.seal().slots, before.slots);
    }
    twin.check_leaves();
}

#[test]
fn a_refused_submission_under_reject_leaves_no_trace() {
    let mut rng = StdRng::seed_from_u64(4);
    let keys = many_near(&mut rng, &[0; 32], 0, 120);
    let mut twin = Twin::new(CollisionPolicy::Reject);
    twin.put_all(&keys[..80]);
    let before = twin.seal();
    for taken in keys[..80].iter().step_by(7) {
        let mut ops = random_ops(&mut rng, &keys, 60, 0.5);
        let second = near(&mut rng, taken, 56);
        ops.retain(|(key, _)| key != taken);
        ops.push((second, Some([5; 32])));
        let refusal = twin.submit(&ops).unwrap_err();
        assert_eq!(refusal, Refusal::PathTaken { key_hash: second });
        check_present(&twin);
    }
    assert_eq!(twin.seal().slots, before.slots);
    twin.check_leaves();
}

#[test]
fn a_submission_whose_requirement_fails_leaves_no_trace() {
    let mut keyed = Keyed::new(plain());
    let put = |number| Op::Put(number_key(number), value_of(number));
    let puts: Vec<Op> = (0..50).map(put).collect();
    keyed
        .submit(&puts, &[Require::Absent(number_key(3))])
        .unwrap();
    let before = keyed.twin.seal();
    let right = |number| Require::ValueHash(number_key(number), naive::plain(&value_of(number)));
    let wrong = Require::ValueHash(number_key(8), naive::plain(b"other"));
    let nobody = Require::ValueHash(number_key(90), naive::plain(&value_of(90)));
    let changes = [put(60), Op::Delete(number_key(1))];
    for broken in [wrong, nobody, Require::Absent(number_key(8))] {
        let requires = [right(7), right(9), broken];
        assert!(keyed.submit(&changes, &requires).is_err());
    }
    let sealed = keyed.twin.seal();
    assert_eq!(sealed.slots, before.slots);
    keyed
        .submit(&changes, &[right(1), Require::Absent(number_key(60))])
        .unwrap();
    assert_ne!(keyed.twin.seal().slots, before.slots);
    keyed.twin.check_leaves();
}

#[test]
fn requirements_look_at_the_state_before_their_submission() {
    let mut keyed = Keyed::new(plain());
    let put = |value| Op::Put(number_key(1), value_of(value));
    let is = |value| Require::ValueHash(number_key(1), naive::plain(&value_of(value)));
    keyed
        .submit(&[put(1)], &[Require::Absent(number_key(1))])
        .unwrap();
    keyed.submit(&[put(2)], &[is(1)]).unwrap();
    keyed.submit(&[put(3)], &[is(1)]).unwrap_err();
    keyed.submit(&[put(3)], &[is(2), is(1)]).unwrap_err();
    keyed.submit(&[], &[is(2), is(2)]).unwrap();
    keyed
        .submit(&[Op::Delete(number_key(1))], &[is(2)])
        .unwrap();
    keyed.twin.seal();
}

#[test]
fn a_replay_refuses_what_no_log_of_the_tree_holds() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let members = many_near(&mut rng, &[0x50; 32], 56, 17);
    let ops: Vec<HashedOp> = members.iter().map(|key| (*key, Some([1; 32]))).collect();
    let refusal = twin.writer.replay(None, &prepared(&ops).writes, 1);
    assert!(matches!(refusal, Err(Refusal::BucketFull { .. })));
}
