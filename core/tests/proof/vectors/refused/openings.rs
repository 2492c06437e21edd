//! Rules about openings, points and aggregates.

use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::proof::{Claim, Expected, Proof, Top, TopOpening};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive;
use trunkline_testkit::naive_kzg::{self, CEREMONY};
use trunkline_testkit::points::{self, IDENTITY, Point};

use super::super::form::RefusedVector;
use super::super::proofs::{Part, part, prove};
use super::super::states::{Named, States};
use super::refused;
use super::trust::two_versions;

pub(super) fn vectors(states: &States) -> Vec<RefusedVector> {
    let mut vectors = of_kinds_of_openings(states);
    vectors.extend(of_openings(states));
    vectors.extend(of_points(states));
    vectors.extend(of_aggregates(states));
    vectors
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
