use trunkline_core::params::CollisionPolicy;
use trunkline_testkit::keys::{number_key, path_collisions, value_of};
use trunkline_testkit::naive::{self, Key, NaiveState, Op, Outcome, Refusal, Require};
use trunkline_testkit::states;

fn put(key: &Key, value: &str) -> Op {
    Op::Put(key.clone(), value.as_bytes().to_vec())
}

fn applied() -> Outcome {
    Outcome::Applied { displaced: vec![] }
}

fn state(collision: CollisionPolicy) -> NaiveState {
    states::numbered(states::params(collision, None), 10)
}

#[test]
fn the_last_write_to_a_key_wins() {
    let mut state = state(CollisionPolicy::Bucket);
    let key = number_key(70);
    let ops = [put(&key, "a"), Op::Delete(key.clone()), put(&key, "b")];
    assert_eq!(state.submit(&ops, &[]), applied());
    assert_eq!(state.map[&key], b"b");
    assert_eq!(
        state.submit(&[put(&key, "c"), Op::Delete(key.clone())], &[]),
        applied()
    );
    assert!(!state.map.contains_key(&key));
}

#[test]
fn a_submission_whose_requirement_fails_has_no_effect() {
    let mut state = state(CollisionPolicy::Bucket);
    let before = state.map.clone();
    let (known, unknown) = (number_key(3), number_key(30));
    let holds = [
        Require::Present(known.clone()),
        Require::Absent(unknown.clone()),
        Require::ValueHash(known.clone(), naive::plain(&value_of(3))),
    ];
    for fails in [
        Require::Absent(known.clone()),
        Require::Present(unknown.clone()),
        Require::ValueHash(known.clone(), [0; 32]),
        Require::ValueHash(unknown.clone(), [0; 32]),
    ] {
        let requires = [&holds[..], &[fails]].concat();
        let outcome = state.submit(&[put(&known, "new")], &requires);
        assert_eq!(outcome, Outcome::Refused(Refusal::Requirement(3)));
        assert_eq!(state.map, before);
    }
    assert_eq!(state.submit(&[put(&known, "new")], &holds), applied());
}

#[test]
fn buckets_make_the_state_independent_of_history() {
    for [one, other] in path_collisions() {
        let mut forward = state(CollisionPolicy::Bucket);
        let mut backward = forward.clone();
        let empty = forward.state_digest();
        forward.submit(&[put(&one, "1")], &[]);
        let single = forward.state_digest();
        forward.submit(&[put(&other, "2")], &[]);
        backward.submit(&[put(&other, "2")], &[]);
        backward.submit(&[put(&one, "1")], &[]);
        assert_eq!(forward.state_digest(), backward.state_digest());
        forward.submit(&[Op::Delete(other)], &[]);
        assert_eq!(forward.state_digest(), single);
        forward.submit(&[Op::Delete(one)], &[]);
        assert_eq!(forward.state_digest(), empty);
    }
}

#[test]
fn overwrite_keeps_the_newest_and_reports_the_other() {
    let [one, other] = path_collisions().remove(0);
    let mut state = state(CollisionPolicy::Overwrite);
    assert_eq!(state.submit(&[put(&one, "1")], &[]), applied());
    assert_eq!(state.submit(&[put(&one, "2")], &[]), applied());
    let outcome = state.submit(&[put(&other, "3")], &[]);
    assert_eq!(
        outcome,
        Outcome::Applied {
            displaced: vec![one.clone()]
        }
    );
    assert!(!state.map.contains_key(&one));
    let swapped = state.submit(&[put(&one, "4"), Op::Delete(other.clone())], &[]);
    assert_eq!(swapped, applied());
    assert!(!state.map.contains_key(&other));
}

#[test]
fn reject_refuses_the_second_key_and_all_that_came_with_it() {
    let [one, other] = path_collisions().remove(0);
    let mut state = state(CollisionPolicy::Reject);
    assert_eq!(state.submit(&[put(&one, "1")], &[]), applied());
    let before = state.map.clone();
    let outcome = state.submit(&[put(&number_key(55), "x"), put(&other, "2")], &[]);
    assert_eq!(outcome, Outcome::Refused(Refusal::Collision));
    assert_eq!(state.map, before);
    assert_eq!(state.submit(&[put(&one, "3")], &[]), applied());
}
