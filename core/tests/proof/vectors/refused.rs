//! `refused.json`: for each rule proofs that break it and, as far as that can be, nothing else.
//!
//! Most of those that break a rule of one version fold to *some* root and are held against nothing, so
//! that the rule named is all that stands in their way.

use std::collections::BTreeSet;

use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Claim, Expected, Place, Proof, Siblings, Top, TopOpening};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, NOTHING};
use trunkline_testkit::naive_kzg::{self, CEREMONY};
use trunkline_testkit::points::{self, IDENTITY, Point};
use trunkline_testkit::states::{self, plain};
use trunkline_testkit::vectors::Trusted;

use super::form::RefusedVector;
use super::malformed;
use super::proofs::{Part, part, prove};
use super::states::{Named, States};
use crate::forgery::{absent, at, bucket, full, hash, in_slot, leaf, members, parted, present};

fn refused(rule: &str, why: &str, proof: &Proof, trusted: &[Expected]) -> RefusedVector {
    RefusedVector {
        name: String::new(),
        rule: rule.into(),
        malformed: None,
        why: why.into(),
        proof: proof.encode().unwrap().into(),
        trusted: trusted.iter().map(Trusted::from).collect(),
    }
}

/// Held against nothing.
fn forged(rule: &str, why: &str, proof: &Proof) -> RefusedVector {
    refused(rule, why, proof, &[Expected::Carried])
}

pub(super) fn vectors(states: &States) -> Vec<RefusedVector> {
    let mut vectors = of_entries_and_terminals();
    vectors.extend(of_empty_places_and_leaves());
    vectors.extend(of_buckets());
    vectors.extend(of_siblings());
    vectors.extend(of_leaves_beside_nothing());
    vectors.extend(of_records(states));
    vectors.extend(of_roots(states));
    vectors.extend(of_other_trust(states));
    vectors.extend(of_versions(states));
    vectors.extend(of_kinds_of_openings(states));
    vectors.extend(of_openings(states));
    vectors.extend(of_points(states));
    vectors.extend(of_aggregates(states));
    vectors.extend(malformed::vectors(states));
    number(vectors)
}

/// Names each after its rule: `EntryOrder 1`, `EntryOrder 2`.
fn number(mut vectors: Vec<RefusedVector>) -> Vec<RefusedVector> {
    let mut counts = std::collections::BTreeMap::new();
    for vector in &mut vectors {
        let count: &mut u32 = counts.entry(vector.rule.clone()).or_default();
        *count += 1;
        vector.name = format!("{} {count}", vector.rule);
    }
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

/// Key `a` of the three, with its record, which is changed.
fn with_record(states: &States, change: impl Fn(&mut CommitRecord)) -> Proof {
    let mut proof = prove(&[part(&states.three_keys, ["a"]).with_record()]);
    proof.versions[0].record.iter_mut().for_each(change);
    proof
}

fn of_records(states: &States) -> Vec<RefusedVector> {
    let of =
        |rule, why, change: fn(&mut CommitRecord)| forged(rule, why, &with_record(states, change));
    let other_state = with_record(states, |record| record.state_digest[0] ^= 1);
    let commit_id = other_state.versions[0]
        .record
        .as_ref()
        .map(CommitRecord::commit_id);
    vec![
        of("RecordTree", "The record is of another tree.", |record| {
            record.tree_id[0] ^= 1;
        }),
        of(
            "RecordVersion",
            "The record is of the next version.",
            |record| {
                record.version += 1;
            },
        ),
        of(
            "RecordState",
            "The record has another state digest.",
            |record| {
                record.state_digest[0] ^= 1;
            },
        ),
        refused(
            "RecordState",
            "The record is the trusted one; the proof is of another state.",
            &other_state,
            &[Expected::CommitId(commit_id.unwrap())],
        ),
    ]
}

fn of_roots(states: &States) -> Vec<RefusedVector> {
    let of_a = || part(&states.three_keys, ["a"]).with_record();
    let proof = prove(&[of_a()]);
    let of = |rule, why, change: fn(&mut Root)| {
        let mut root = of_a().root();
        change(&mut root);
        refused(rule, why, &proof, &[Expected::Root(root)])
    };
    let kzg = || part(&states.three_keys, ["a"]).with_kzg_top();
    let other = Root {
        kzg_root: Some(states.later.kzg().commitment()),
        ..kzg().root()
    };
    let mut false_claim = prove(&[part(&states.three_keys, ["a"])]);
    false_claim.versions[0].entries[0].claim = Claim::Present(b"9".to_vec());
    vec![
        of("ExpectedTree", "The root is of another tree.", |root| {
            root.tree_id[0] ^= 1
        }),
        of(
            "ExpectedVersion",
            "The root is of the next version.",
            |root| root.version += 1,
        ),
        of(
            "ExpectedCommit",
            "The root has another commit id.",
            |root| root.commit_id[0] ^= 1,
        ),
        of(
            "ExpectedState",
            "The root has another state digest.",
            |root| root.state_digest[0] ^= 1,
        ),
        refused(
            "ExpectedState",
            "A false value leads to another state digest.",
            &false_claim,
            &[of_a().by_root()],
        ),
        refused(
            "ExpectedKzgRoot",
            "The root has another KZG root.",
            &prove(&[kzg()]),
            &[Expected::Root(other)],
        ),
        refused(
            "NeedsHashTop",
            "The root has no KZG root to hold a KZG top against.",
            &prove(&[kzg()]),
            &[of_a().by_root()],
        ),
    ]
}

fn of_other_trust(states: &States) -> Vec<RefusedVector> {
    let plain_a = || part(&states.three_keys, ["a"]);
    let with_record = || plain_a().with_record();
    let kzg = || plain_a().with_kzg_top();
    let later = part(&states.later, ["a"]);
    let one = |rule, why, part: Part<'_>, trusted| refused(rule, why, &prove(&[part]), &[trusted]);
    vec![
        one(
            "NeedsRecord",
            "Only a commit id is trusted, and no record leads to it.",
            plain_a(),
            plain_a().by_commit_id(),
        ),
        one(
            "ExpectedCommit",
            "The record is that of another commit.",
            with_record(),
            plain_a().at(6).by_commit_id(),
        ),
        one(
            "NeedsHashTop",
            "A commit id says nothing of a KZG root.",
            kzg().with_record(),
            plain_a().by_commit_id(),
        ),
        one(
            "NeedsHashTop",
            "A state digest says nothing of a KZG root.",
            kzg(),
            plain_a().by_state_digest(),
        ),
        one(
            "NeedsKzgTop",
            "A KZG root says nothing of a state digest.",
            plain_a(),
            kzg().by_kzg_root(),
        ),
        one(
            "ExpectedState",
            "The state digest is that of a later version.",
            plain_a(),
            later.by_state_digest(),
        ),
        one(
            "ExpectedKzgRoot",
            "The KZG root is that of a later version.",
            kzg(),
            later.by_kzg_root(),
        ),
        one(
            "ExpectedTree",
            "The KZG root is that of another tree.",
            kzg(),
            Expected::KzgRoot {
                tree_id: states.salted.tree_id(),
                kzg_root: states.three_keys.kzg().commitment(),
            },
        ),
        absent_under_another_salt(states),
        under_another_policy(states),
    ]
}

/// Under a salt of the prover's choice key `a` is "absent" from the very same leaves.
fn absent_under_another_salt(states: &States) -> RefusedVector {
    let state = &states.three_keys;
    let entries = states.empty.state.entries(&BTreeSet::from([b"a".to_vec()]));
    let salted = states::params(CollisionPolicy::Bucket, Some([8; 32]));
    let entries = entries
        .into_values()
        .map(|entry| (naive::hash_key(&salted, &entry.key), entry));
    let proof = naive::prove_leaves(&salted, &state.leaves(), 5, &entries.collect());
    refused(
        "ExpectedTree",
        "Under a salt of the prover's choice a key is absent from the same leaves.",
        &proof,
        &[part(state, ["a"]).by_state_digest()],
    )
}

fn under_another_policy(states: &States) -> RefusedVector {
    let of_a = part(&states.three_keys, ["a"]);
    let mut proof = prove(std::slice::from_ref(&of_a));
    proof.params.collision = CollisionPolicy::Reject;
    refused(
        "ExpectedTree",
        "The proof names another policy.",
        &proof,
        &[of_a.by_root()],
    )
}

/// Two versions with KZG tops and the roots to hold them against.
fn two_versions(states: &States) -> (Proof, [Expected; 2]) {
    let parts = [
        part(&states.three_keys, ["a", "b"]).at(3).with_kzg_top(),
        part(&states.later, ["a", "b"]).at(4).with_kzg_top(),
    ];
    (prove(&parts), parts.each_ref().map(Part::by_root))
}

fn of_versions(states: &States) -> Vec<RefusedVector> {
    let (proof, roots) = two_versions(states);
    let state = &states.three_keys;
    let hash_tops =
        |versions: [u64; 2]| prove(&versions.map(|version| part(state, ["a"]).at(version)));
    let nothing = [Expected::Carried; 2];
    let swapped = [roots[1], roots[0]];
    vec![
        refused(
            "VersionOrder",
            "The later version comes first.",
            &hash_tops([4, 3]),
            &nothing,
        ),
        refused(
            "VersionOrder",
            "One version stands there twice.",
            &hash_tops([3, 3]),
            &nothing,
        ),
        refused(
            "ExpectedCount",
            "Two versions, and one root.",
            &proof,
            &roots[..1],
        ),
        refused(
            "ExpectedCount",
            "One version, and two roots.",
            &prove(&[part(state, ["a"]).at(3)]),
            &nothing,
        ),
        refused(
            "ExpectedCount",
            "Nothing is given to hold it against.",
            &proof,
            &[],
        ),
        refused(
            "ExpectedVersion",
            "Each version is held against the root of the other.",
            &proof,
            &swapped,
        ),
    ]
}

fn single(point: Point) -> Option<TopOpening> {
    Some(TopOpening::Single(G1Bytes(point)))
}

fn aggregate([quotient, opening]: [Point; 2]) -> Option<TopOpening> {
    Some(TopOpening::Aggregate(AggregateProof {
        quotient: G1Bytes(quotient),
        opening: G1Bytes(opening),
    }))
}

fn of_kinds_of_openings(states: &States) -> Vec<RefusedVector> {
    let state = &states.three_keys;
    let one_slot = || part(state, ["a"]).with_kzg_top();
    let with = |part: Part<'_>, why, opening| {
        let trusted = [part.by_root()];
        let mut proof = prove(&[part]);
        proof.opening = opening;
        refused("OpeningKind", why, &proof, &trusted)
    };
    let slot = naive::slot_of(&naive::plain(b"a"));
    let kzg = state.kzg();
    let setup_id = naive::setup_id(CEREMONY);
    let of_one_slot = naive_kzg::aggregate(&setup_id, &[(5, kzg, vec![slot])]);
    vec![
        with(
            part(state, ["a"]),
            "A hash top has no use for an opening.",
            single(IDENTITY),
        ),
        with(
            part(state, ["a"]),
            "A hash top has no use for an aggregate.",
            aggregate([IDENTITY; 2]),
        ),
        with(one_slot(), "No opening.", None),
        with(
            one_slot(),
            "An aggregate of one slot, which holds.",
            aggregate(of_one_slot),
        ),
        with(
            part(state, ["a", "b"]).with_kzg_top(),
            "No opening of two slots.",
            None,
        ),
        with(
            part(state, ["a", "b"]).with_kzg_top(),
            "A plain opening of one of two slots.",
            single(kzg.open(slot)),
        ),
    ]
}

/// A plain opening of the slot of `a`, changed.
fn plain_opening(state: &Named, why: &str, change: impl Fn(&mut Proof)) -> RefusedVector {
    let of_a = part(state, ["a"]).with_kzg_top();
    let trusted = [of_a.by_kzg_root()];
    let mut proof = prove(&[of_a]);
    change(&mut proof);
    refused("Opening", why, &proof, &trusted)
}

fn of_openings(states: &States) -> Vec<RefusedVector> {
    let state = &states.three_keys;
    let claim = |proof: &mut Proof, claim| proof.versions[0].entries[0].claim = claim;
    let of_later = states.later.kzg().open(naive::slot_of(&naive::plain(b"b")));
    let mut absent = prove(&[part(&states.empty, ["a"]).with_kzg_top()]);
    absent.versions[0].top = Top::Kzg {
        kzg_root: state.kzg().commitment(),
    };
    vec![
        plain_opening(state, "A false value.", |proof| {
            claim(proof, Claim::Present(b"9".to_vec()));
        }),
        plain_opening(state, "The hash of another value.", |proof| {
            claim(proof, Claim::PresentHash([9; 32]));
        }),
        refused(
            "Opening",
            "A present key is claimed absent.",
            &absent,
            &[part(state, ["a"]).by_kzg_root()],
        ),
        plain_opening(state, "The opening of another slot and state.", |proof| {
            proof.opening = single(of_later);
        }),
        plain_opening(state, "The identity.", |proof| {
            proof.opening = single(IDENTITY)
        }),
    ]
}

fn of_points(states: &States) -> Vec<RefusedVector> {
    let state = &states.three_keys;
    let opening = state.kzg().open(naive::slot_of(&naive::plain(b"a")));
    let with = |why, point| plain_opening(state, why, |proof| proof.opening = single(point));
    let identity = |why, first: u8, last: u8| {
        plain_opening(&states.empty, why, |proof| {
            let mut point = IDENTITY;
            (point[0], point[47]) = (first, last);
            proof.opening = single(point);
        })
    };
    let mut uncompressed = opening;
    uncompressed[0] &= 0x7f;
    let mut negative = opening;
    negative[0] ^= 0x20;
    vec![
        with(
            "A point plus one of an order other than r: no pairing tells them apart.",
            points::outside_of_the_group(&opening),
        ),
        with("An x that no point has.", points::off_the_curve(&opening)),
        with("Without the flag of a compressed point.", uncompressed),
        with("The negative of the opening.", negative),
        of_an_x_above_the_modulus(state),
        identity("The identity with the flag of a sign.", 0xe0, 0),
        identity("The identity with more than its flags.", 0xc0, 1),
        of_a_root_that_is_no_point(states),
    ]
}

/// The first opening whose x leaves room for the modulus within 381 bits.
fn of_an_x_above_the_modulus(state: &Named) -> RefusedVector {
    let kzg = state.kzg();
    let (key, point) = (0..)
        .map(number_key)
        .find_map(|key| {
            let opening = kzg.open(naive::slot_of(&naive::plain(&key)));
            Some((key, points::above_the_modulus(&opening)?))
        })
        .unwrap();
    let of_key = part(state, [key]).with_kzg_top();
    let trusted = [of_key.by_kzg_root()];
    let mut proof = prove(&[of_key]);
    proof.opening = single(point);
    refused(
        "Opening",
        "The opening with the modulus added to x.",
        &proof,
        &trusted,
    )
}

fn of_a_root_that_is_no_point(states: &States) -> RefusedVector {
    let mut proof = prove(&[part(&states.three_keys, ["a"]).with_kzg_top()]);
    let kzg_root = points::off_the_curve(&states.three_keys.kzg().commitment());
    proof.versions[0].top = Top::Kzg { kzg_root };
    let tree_id = states.three_keys.tree_id();
    refused(
        "Opening",
        "The KZG root is no point, and trusted all the same.",
        &proof,
        &[Expected::KzgRoot { tree_id, kzg_root }],
    )
}

fn of_aggregates(states: &States) -> Vec<RefusedVector> {
    let (proof, roots) = two_versions(states);
    let points = match &proof.opening {
        Some(TopOpening::Aggregate(aggregate)) => [aggregate.quotient.0, aggregate.opening.0],
        _ => panic!("an aggregate was made"),
    };
    let with = |why, change: &dyn Fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        refused("Opening", why, &changed, &roots)
    };
    let [quotient, opening] = points;
    let outside = points::outside_of_the_group;
    vec![
        with("A false value at the later version.", &|proof| {
            proof.versions[1].entries[0].claim = Claim::Present(b"9".to_vec());
        }),
        with("The values of one version at the other.", &|proof| {
            let [one, other] = &mut proof.versions[..] else {
                panic!("two versions were made");
            };
            std::mem::swap(&mut one.entries, &mut other.entries);
        }),
        with("W and W′ in each other's place.", &|proof| {
            proof.opening = aggregate([opening, quotient]);
        }),
        with("W is the identity.", &|proof| {
            proof.opening = aggregate([IDENTITY, opening]);
        }),
        with("W′ is the identity.", &|proof| {
            proof.opening = aggregate([quotient, IDENTITY]);
        }),
        with("W′ plus a point of another order.", &|proof| {
            proof.opening = aggregate([quotient, outside(&opening)]);
        }),
        with("W is no point.", &|proof| {
            proof.opening = aggregate([points::off_the_curve(&quotient), opening]);
        }),
        of_one_commitment_twice(states),
        of_another_version(states),
    ]
}

/// Two versions of one state: a false claim of one is not made up for by the other.
fn of_one_commitment_twice(states: &States) -> RefusedVector {
    let parts = [3, 4].map(|version| {
        part(&states.three_keys, ["a", "b"])
            .at(version)
            .with_kzg_top()
    });
    let mut proof = prove(&parts);
    proof.versions[1].entries[1].claim = Claim::PresentHash([9; 32]);
    refused(
        "Opening",
        "Of two versions with one KZG root the later one claims another value.",
        &proof,
        &parts.each_ref().map(Part::by_root),
    )
}

/// The number of the version is part of what the aggregate is about.
fn of_another_version(states: &States) -> RefusedVector {
    let of_both = |version| {
        part(&states.three_keys, ["a", "b"])
            .at(version)
            .with_kzg_top()
    };
    let mut proof = prove(&[of_both(3)]);
    proof.versions[0].version = 4;
    refused(
        "Opening",
        "The aggregate was made for another version of the same state.",
        &proof,
        &[of_both(4).by_root()],
    )
}
