//! Rules about entries, leaves, buckets and siblings: everything below the top.

use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Claim, Place, Proof, Siblings, Top};
use trunkline_testkit::naive::NOTHING;
use trunkline_testkit::states::{self, plain};

use super::super::form::RefusedVector;
use super::forged;
use crate::forgery::{absent, at, bucket, full, hash, in_slot, leaf, members, parted, present};

pub(super) fn vectors() -> Vec<RefusedVector> {
    let mut vectors = of_entries_and_terminals();
    vectors.extend(of_empty_places_and_leaves());
    vectors.extend(of_buckets());
    vectors.extend(of_siblings());
    vectors.extend(of_leaves_beside_nothing());
    vectors
}

fn of_entries_and_terminals() -> Vec<RefusedVector> {
    let [one, other] = parted();
    let empty = || vec![at(7, Place::Empty)];
    let both = || vec![absent(&one), absent(&other)];
    vec![
        forged(
            "EntryOrder",
            "The second entry's key hash is below that of the first.",
            &in_slot(vec![absent(&other), absent(&one)], empty(), 0),
        ),
        forged(
            "EntryOrder",
            "Both entries are of one key.",
            &in_slot(vec![absent(&one), absent(&one)], empty(), 0),
        ),
        forged(
            "EntryOrder",
            "One key is claimed present and absent.",
            &in_slot(
                vec![present(&one), absent(&one)],
                vec![at(7, Place::OwnLeaf)],
                0,
            ),
        ),
        forged(
            "TerminalMissing",
            "The only terminal is the half of the slot that the second entry does not lie in.",
            &in_slot(both(), vec![at(8, Place::Empty)], 1),
        ),
        forged(
            "TerminalUnused",
            "Both entries lie below the first terminal.",
            &in_slot(both(), vec![at(7, Place::Empty), at(8, Place::Empty)], 0),
        ),
        forged(
            "TerminalOverlap",
            "The second terminal is the whole slot, the first one half of it.",
            &in_slot(both(), vec![at(8, Place::Empty), at(7, Place::Empty)], 0),
        ),
    ]
}

fn of_empty_places_and_leaves() -> Vec<RefusedVector> {
    let [one, other] = parted();
    let shown = |key| Place::OtherLeaf(leaf(hash(key)));
    let own = || vec![at(7, Place::OwnLeaf)];
    vec![
        forged(
            "EmptyWithPresent",
            "A key is claimed present where nothing is.",
            &in_slot(
                vec![absent(&one), present(&other)],
                vec![at(7, Place::Empty)],
                0,
            ),
        ),
        forged(
            "OwnLeafPresent",
            "Two keys are claimed present, and one leaf is to be that of both.",
            &in_slot(vec![present(&one), present(&other)], own(), 0),
        ),
        forged(
            "OwnLeafPresent",
            "No entry is present whose leaf this could be.",
            &in_slot(vec![absent(&one), absent(&other)], own(), 0),
        ),
        forged(
            "OtherLeafWithPresent",
            "A key is claimed present where the leaf of another one stands.",
            &in_slot(vec![present(&one)], vec![at(7, shown(&other))], 0),
        ),
        forged(
            "OtherLeafWithPresent",
            "The other leaf is that of the present entry: the own leaf in another form.",
            &in_slot(
                vec![absent(&one), present(&other)],
                vec![at(7, shown(&other))],
                0,
            ),
        ),
        forged(
            "OtherLeafIsEntry",
            "The other leaf is that of a key that is claimed absent.",
            &in_slot(
                vec![absent(&one), absent(&other)],
                vec![at(7, shown(&other))],
                0,
            ),
        ),
        forged(
            "OtherLeafOutside",
            "The other leaf belongs into the other half of the slot.",
            &in_slot(vec![absent(&one)], vec![at(8, shown(&other))], 1),
        ),
    ]
}

fn bucket_with(change: impl Fn(&mut Proof)) -> Proof {
    let mut proof = bucket(plain());
    change(&mut proof);
    proof
}

fn of_buckets() -> Vec<RefusedVector> {
    let other_policies = [CollisionPolicy::Overwrite, CollisionPolicy::Reject].map(|policy| {
        forged(
            "BucketPolicy",
            "A tree of this policy has no buckets.",
            &bucket(states::params(policy, None)),
        )
    });
    let mut vectors = Vec::from(other_policies);
    vectors.extend([
        forged(
            "BucketDepth",
            "A bucket at depth 55.",
            &bucket_with(|proof| {
                proof.versions[0].terminals[0].depth = 55;
                let siblings = proof.versions[0].siblings.iter().take(48);
                proof.versions[0].siblings = Siblings::from_iter(siblings);
            }),
        ),
        forged(
            "BucketOrder",
            "Members descend.",
            &bucket_with(|proof| members(proof).reverse()),
        ),
        forged(
            "BucketOrder",
            "One member stands there twice.",
            &bucket_with(|proof| {
                let last = members(proof)[1];
                members(proof).push(last);
            }),
        ),
        forged(
            "BucketMemberOutside",
            "A third member has another path.",
            &bucket_with(|proof| members(proof).push(leaf([0xff; 32]))),
        ),
        forged(
            "BucketWithoutPresent",
            "A key is claimed present that is no member.",
            &bucket_with(|proof| members(proof)[1].key_hash[31] ^= 1),
        ),
        forged(
            "BucketWithAbsent",
            "A key is claimed absent that is a member.",
            &bucket_with(|proof| proof.versions[0].entries[0].claim = Claim::Absent),
        ),
        forged(
            "BucketValue",
            "A member is claimed to have another value.",
            &bucket_with(|proof| {
                proof.versions[0].entries[0].claim = Claim::Present(b"w".to_vec());
            }),
        ),
        forged(
            "BucketValue",
            "A member is claimed to have a value of another hash.",
            &bucket_with(|proof| proof.versions[0].entries[1].claim = Claim::PresentHash([7; 32])),
        ),
    ]);
    vectors
}

fn of_siblings() -> Vec<RefusedVector> {
    let [one, other] = parted();
    let deep = |siblings| {
        let mut proof = in_slot(vec![present(&one)], vec![at(9, Place::OwnLeaf)], 0);
        proof.versions[0].siblings = siblings;
        proof
    };
    let with_top = |siblings| {
        let mut proof = in_slot(vec![present(&one)], vec![at(7, Place::OwnLeaf)], 0);
        proof.versions[0].top = Top::Hash { siblings };
        proof
    };
    // Two terminals could lie in two slots, so that only the walk tells.
    let mut of_two = in_slot(
        vec![present(&one), present(&other)],
        vec![at(8, Place::OwnLeaf), at(8, Place::OwnLeaf)],
        0,
    );
    of_two.versions[0].top = Top::Hash { siblings: full(8) };
    let with_empty_last = Siblings::from_iter([[1; 32], [1; 32], NOTHING]);
    vec![
        forged(
            "SiblingMissing",
            "One of the two siblings is left out.",
            &deep(full(1)),
        ),
        forged(
            "SiblingUnused",
            "One sibling more than the path has.",
            &deep(full(3)),
        ),
        forged(
            "SiblingUnused",
            "The last sibling, which nothing takes, is an empty one.",
            &deep(with_empty_last),
        ),
        forged(
            "TopSiblingMissing",
            "Six siblings above a slot.",
            &with_top(full(6)),
        ),
        forged("TopSiblingUnused", "Eight siblings above a slot.", &of_two),
    ]
}

fn of_leaves_beside_nothing() -> Vec<RefusedVector> {
    let [one, other] = parted();
    let alone = |entry, place| {
        let mut proof = in_slot(vec![entry], vec![at(8, place)], 0);
        proof.versions[0].siblings = Siblings::from_iter([NOTHING]);
        proof
    };
    let neighbour_of = |key| {
        let mut neighbour = hash(key);
        neighbour[31] ^= 1;
        Place::OtherLeaf(leaf(neighbour))
    };
    let beside_an_empty_place = in_slot(
        vec![present(&one), absent(&other)],
        vec![at(8, Place::OwnLeaf), at(8, Place::Empty)],
        0,
    );
    let behind_an_empty_place = in_slot(
        vec![absent(&one), present(&other)],
        vec![at(8, Place::Empty), at(8, Place::OwnLeaf)],
        0,
    );
    vec![
        forged(
            "LeafSiblingEmpty",
            "An own leaf alone in its half: it would stand one level higher.",
            &alone(present(&one), Place::OwnLeaf),
        ),
        forged(
            "LeafSiblingEmpty",
            "Another leaf alone in its half.",
            &alone(absent(&one), neighbour_of(&one)),
        ),
        forged(
            "LeafSiblingEmpty",
            "The empty half is a terminal, not a sibling.",
            &beside_an_empty_place,
        ),
        forged(
            "LeafSiblingEmpty",
            "An own leaf alone in the right half.",
            &alone(present(&other), Place::OwnLeaf),
        ),
        forged(
            "LeafSiblingEmpty",
            "Another leaf alone in the right half.",
            &alone(absent(&other), neighbour_of(&other)),
        ),
        forged(
            "LeafSiblingEmpty",
            "The empty left half is a terminal, not a sibling.",
            &behind_an_empty_place,
        ),
    ]
}
