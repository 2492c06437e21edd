//! Rules about records, roots, other trust, and several versions.

use std::collections::BTreeSet;

use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Claim, Expected, Proof};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::naive;
use trunkline_testkit::states;

use super::super::form::RefusedVector;
use super::super::proofs::{Part, part, prove};
use super::super::states::States;
use super::{forged, refused};

pub(super) fn vectors(states: &States) -> Vec<RefusedVector> {
    let mut vectors = of_records(states);
    vectors.extend(of_roots(states));
    vectors.extend(of_other_trust(states));
    vectors.extend(of_versions(states));
    vectors
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
pub(super) fn two_versions(states: &States) -> (Proof, [Expected; 2]) {
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
