//! Every forgery here folds to *some* root and is checked against nothing else, so that only the named rule refuses it.

use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{
    Claim, Entry, Expected, Place, Proof, Siblings, Top, VerifyProofError, verify,
};
use trunkline_testkit::naive;
use trunkline_testkit::states::{self, by_hash, keys_in_slot, plain};

use crate::forgery::{absent, at, bucket, full, hash, in_slot, leaf, members, parted, present};

fn assert_holds(proof: &Proof) {
    assert_eq!(verify(proof, &Expected::Carried).err(), None);
}

fn assert_refused(proof: &Proof, error: VerifyProofError) {
    assert_eq!(verify(proof, &Expected::Carried), Err(error));
}

#[test]
fn entries_ascend_strictly() {
    let [one, other] = parted();
    let empty = || vec![at(7, Place::Empty)];
    assert_holds(&in_slot(vec![absent(&one), absent(&other)], empty(), 0));
    for (first, second) in [(&other, &one), (&one, &one)] {
        let proof = in_slot(vec![absent(first), absent(second)], empty(), 0);
        assert_refused(&proof, VerifyProofError::EntryOrder(1));
    }
}

#[test]
fn every_entry_has_a_terminal() {
    let [one, other] = parted();
    let proof = in_slot(
        vec![absent(&one), absent(&other)],
        vec![at(8, Place::Empty)],
        1,
    );
    assert_refused(&proof, VerifyProofError::TerminalMissing(1));
}

#[test]
fn every_terminal_has_an_entry() {
    let [one, other] = parted();
    let terminals = vec![at(7, Place::Empty), at(8, Place::Empty)];
    let proof = in_slot(vec![absent(&one), absent(&other)], terminals, 0);
    assert_refused(&proof, VerifyProofError::TerminalUnused(1));
}

#[test]
fn terminals_are_disjoint() {
    let [one, other] = parted();
    let terminals = vec![at(8, Place::Empty), at(7, Place::Empty)];
    let proof = in_slot(vec![absent(&one), absent(&other)], terminals, 0);
    assert_refused(&proof, VerifyProofError::TerminalOverlap(1));
}

#[test]
fn nothing_is_present_in_an_empty_place() {
    let [one, other] = parted();
    let proof = in_slot(
        vec![absent(&one), present(&other)],
        vec![at(7, Place::Empty)],
        0,
    );
    assert_refused(&proof, VerifyProofError::EmptyWithPresent(0));
}

#[test]
fn an_own_leaf_is_that_of_exactly_one_present_entry() {
    let [one, other] = parted();
    let own = || vec![at(7, Place::OwnLeaf)];
    assert_holds(&in_slot(vec![absent(&one), present(&other)], own(), 0));
    let error = VerifyProofError::OwnLeafPresent(0);
    assert_refused(
        &in_slot(vec![present(&one), present(&other)], own(), 0),
        error,
    );
    assert_refused(
        &in_slot(vec![absent(&one), absent(&other)], own(), 0),
        error,
    );
}

#[test]
fn another_leaf_leaves_no_entry_present() {
    let [one, other] = parted();
    let place = || Place::OtherLeaf(leaf(hash(&other)));
    assert_holds(&in_slot(vec![absent(&one)], vec![at(7, place())], 0));
    let proof = in_slot(vec![present(&one)], vec![at(7, place())], 0);
    assert_refused(&proof, VerifyProofError::OtherLeafWithPresent(0));
    // It is not a second form of an own leaf either.
    let proof = in_slot(vec![absent(&one), present(&other)], vec![at(7, place())], 0);
    assert_refused(&proof, VerifyProofError::OtherLeafWithPresent(0));
}

#[test]
fn another_leaf_is_not_that_of_an_absent_entry() {
    let [one, other] = parted();
    let place = Place::OtherLeaf(leaf(hash(&other)));
    let proof = in_slot(vec![absent(&one), absent(&other)], vec![at(7, place)], 0);
    assert_refused(&proof, VerifyProofError::OtherLeafIsEntry(0));
}

#[test]
fn another_leaf_lives_below_its_terminal() {
    let [one, other] = parted();
    let place = Place::OtherLeaf(leaf(hash(&other)));
    let proof = in_slot(vec![absent(&one)], vec![at(8, place)], 1);
    assert_refused(&proof, VerifyProofError::OtherLeafOutside(0));
}

#[test]
fn a_bucket_is_one_of_a_tree_that_has_them() {
    assert_holds(&bucket(plain()));
    for collision in [CollisionPolicy::Overwrite, CollisionPolicy::Reject] {
        let proof = bucket(states::params(collision, None));
        assert_refused(&proof, VerifyProofError::BucketPolicy(0));
    }
}

#[test]
fn a_bucket_stands_at_the_last_bit() {
    let mut proof = bucket(plain());
    proof.versions[0].terminals[0].depth = 55;
    proof.versions[0].siblings = Siblings::from_iter(proof.versions[0].siblings.iter().take(48));
    assert_refused(&proof, VerifyProofError::BucketDepth(0));
}

#[test]
fn bucket_members_ascend_strictly() {
    let mut proof = bucket(plain());
    members(&mut proof).reverse();
    assert_refused(&proof, VerifyProofError::BucketOrder(0));
    let mut proof = bucket(plain());
    let last = members(&mut proof)[1];
    members(&mut proof).push(last);
    assert_refused(&proof, VerifyProofError::BucketOrder(0));
}

#[test]
fn bucket_members_share_the_path() {
    let mut proof = bucket(plain());
    members(&mut proof).push(leaf([0xff; 32]));
    assert_refused(&proof, VerifyProofError::BucketMemberOutside(0));
}

#[test]
fn a_present_entry_is_a_member() {
    let mut proof = bucket(plain());
    let mut neighbour = members(&mut proof)[1].key_hash;
    neighbour[31] ^= 1;
    members(&mut proof)[1].key_hash = neighbour;
    assert_refused(&proof, VerifyProofError::BucketWithoutPresent(0));
}

#[test]
fn an_absent_entry_is_no_member() {
    let mut proof = bucket(plain());
    proof.versions[0].entries[0].claim = Claim::Absent;
    assert_refused(&proof, VerifyProofError::BucketWithAbsent(0));
}

#[test]
fn a_member_has_the_value_that_is_claimed() {
    let mut proof = bucket(plain());
    proof.versions[0].entries[0].claim = Claim::Present(b"w".to_vec());
    assert_refused(&proof, VerifyProofError::BucketValue(0));
}

#[test]
fn siblings_are_as_many_as_the_paths_need() {
    let [one, _] = parted();
    let proof = |siblings| in_slot(vec![present(&one)], vec![at(9, Place::OwnLeaf)], siblings);
    assert_holds(&proof(2));
    assert_refused(&proof(1), VerifyProofError::SiblingMissing);
    assert_refused(&proof(3), VerifyProofError::SiblingUnused);
    let at_slot = in_slot(vec![present(&one)], vec![at(7, Place::OwnLeaf)], 1);
    assert_refused(&at_slot, VerifyProofError::SiblingUnused);
}

#[test]
fn the_lowest_sibling_of_a_leaf_is_not_empty() {
    let [one, _] = parted();
    let mut neighbour = hash(&one);
    neighbour[31] ^= 1;
    for (entry, place) in [
        (present(&one), Place::OwnLeaf),
        (absent(&one), Place::OtherLeaf(leaf(neighbour))),
    ] {
        let mut proof = in_slot(vec![entry], vec![at(8, place)], 1);
        assert_holds(&proof);
        proof.versions[0].siblings = Siblings::from_iter([[0; 32]]);
        assert_refused(&proof, VerifyProofError::LeafSiblingEmpty);
    }
}

#[test]
fn the_lowest_sibling_of_a_leaf_is_no_empty_terminal_either() {
    let [one, other] = parted();
    for (one_claim, other_claim) in [
        (present(&one), absent(&other)),
        (absent(&one), present(&other)),
    ] {
        let place = |entry: &Entry| match entry.claim {
            Claim::Absent => Place::Empty,
            _ => Place::OwnLeaf,
        };
        let terminals = vec![at(8, place(&one_claim)), at(8, place(&other_claim))];
        let proof = in_slot(vec![one_claim, other_claim], terminals, 0);
        assert_refused(&proof, VerifyProofError::LeafSiblingEmpty);
    }
}

#[test]
fn the_higher_siblings_of_a_leaf_may_be_empty() {
    let [one, _] = parted();
    let mut proof = in_slot(vec![present(&one)], vec![at(10, Place::OwnLeaf)], 0);
    // The order is depth first: which of the three is the lowest depends on the path.
    let lowest = (7..10)
        .filter(|&depth| naive::bit(&hash(&one), depth))
        .count();
    let mut siblings = vec![[0; 32]; 3];
    // Left siblings come before the path continues, right ones after it: the lowest is in between.
    let last_is_left = naive::bit(&hash(&one), 9);
    siblings[if last_is_left { lowest - 1 } else { lowest }] = [1; 32];
    proof.versions[0].siblings = Siblings::from_iter(siblings);
    assert_holds(&proof);
}

#[test]
fn top_siblings_are_as_many_as_the_slots_need() {
    let [one, other] = parted();
    for (count, error) in [
        (6, VerifyProofError::TopSiblingMissing),
        (8, VerifyProofError::TopSiblingUnused),
    ] {
        let mut proof = in_slot(
            vec![present(&one), present(&other)],
            vec![at(8, Place::OwnLeaf), at(8, Place::OwnLeaf)],
            0,
        );
        proof.versions[0].top = Top::Hash {
            siblings: full(count),
        };
        assert_refused(&proof, error);
    }
}

#[test]
fn which_terminal_an_entry_lies_below_follows_from_its_path() {
    let keys = by_hash(&plain(), keys_in_slot(&plain(), 40, 0, 30));
    let mut entries: Vec<Entry> = keys.iter().map(absent).collect();
    let mut neighbour = hash(&keys[0]);
    neighbour[31] ^= 1;
    let other_leaf = Place::OtherLeaf(leaf(neighbour));
    let terminals = vec![at(8, other_leaf), at(8, Place::OwnLeaf)];
    let last = entries.len() - 1;
    entries[last].claim = Claim::Present(vec![]);
    assert_holds(&in_slot(entries.clone(), terminals.clone(), 0));
    entries[last].claim = Claim::Absent;
    entries[0].claim = Claim::Present(vec![]);
    let proof = in_slot(entries, terminals, 0);
    assert_refused(&proof, VerifyProofError::OtherLeafWithPresent(0));
}
