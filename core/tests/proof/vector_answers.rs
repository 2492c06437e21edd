//! The files as any reader parses them, and this crate's answers to them.

use trunkline_core::batch::{Batch, BatchLimits, Requirement, provisional_root, provisional_start};
use trunkline_core::history::{HISTORY, MountainRange, OUTCOMES, RangeDomains};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::proof::{BoundTo, Expected, Proof, verify_versions};
use trunkline_core::record::CommitRecord;
use trunkline_testkit::naive;
use trunkline_testkit::vectors::{self, Hex, Trusted};

use crate::vector_coverage::{malformed_of, rule_of};
use crate::vectors::{
    Claimed, ClaimedEntry, History, ProofVector, RecordVector, Records, RefusedVector, StateVector,
    SubmissionVector,
};

fn expected(trusted: &[Trusted]) -> Vec<Expected> {
    trusted.iter().map(Expected::from).collect()
}

fn bound_to(trusted: &Trusted) -> BoundTo {
    match trusted {
        Trusted::Root { .. } => BoundTo::Root,
        Trusted::CommitId { .. } => BoundTo::CommitId,
        Trusted::StateDigest { .. } => BoundTo::StateDigest,
        Trusted::KzgRoot { .. } => BoundTo::KzgRoot,
        Trusted::Nothing => BoundTo::Nothing,
    }
}

#[test]
fn every_proof_is_accepted_with_its_claims() {
    let proofs: Vec<ProofVector> = vectors::read("proofs.json");
    for vector in &proofs {
        let proof = Proof::decode(&vector.proof.0).unwrap();
        let verified = verify_versions(&proof, &expected(&vector.trusted));
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(verified.len(), vector.claims.len(), "{}", vector.name);
        for ((verified, claims), trusted) in
            verified.iter().zip(&vector.claims).zip(&vector.trusted)
        {
            let entries: Vec<_> = verified.entries.iter().map(ClaimedEntry::from).collect();
            assert_eq!(entries, claims.entries, "{}", vector.name);
            assert_eq!(verified.bound_to, bound_to(trusted), "{}", vector.name);
            if let Some(version) = verified.trusted_version {
                assert_eq!(version, claims.version.0, "{}", vector.name);
            }
        }
    }
}

#[test]
fn every_claim_is_true_of_its_state() {
    let states: Vec<StateVector> = vectors::read("states.json");
    let proofs: Vec<ProofVector> = vectors::read("proofs.json");
    for claims in proofs.iter().flat_map(|proof| &proof.claims) {
        let state = states
            .iter()
            .find(|state| state.name == claims.state)
            .unwrap();
        for entry in &claims.entries {
            let mut leaves = state.leaves.iter();
            let leaf = leaves.find(|leaf| leaf.key.as_ref() == Some(&entry.key));
            let is_true = match &entry.claim {
                Claimed::Value(value) => {
                    leaf.is_some_and(|leaf| leaf.value.as_ref() == Some(value))
                }
                Claimed::ValueHash(hash) => leaf.is_some_and(|leaf| leaf.value_hash == *hash),
                Claimed::Absent => leaf.is_none(),
            };
            assert!(is_true, "{entry:?} of {}", state.name);
        }
    }
}

#[test]
fn every_forgery_is_refused_by_its_rule() {
    let refused: Vec<RefusedVector> = vectors::read("refused.json");
    for vector in &refused {
        let (rule, malformed) = match Proof::decode(&vector.proof.0) {
            Err(error) => ("malformed", Some(malformed_of(&error))),
            Ok(proof) => match verify_versions(&proof, &expected(&vector.trusted)) {
                Err(error) => (rule_of(&error), None),
                Ok(_) => panic!("{} is accepted: {}", vector.name, vector.why),
            },
        };
        assert_eq!(rule, vector.rule, "{}", vector.why);
        assert_eq!(malformed, vector.malformed.as_deref(), "{}", vector.why);
    }
}

#[test]
fn every_tree_has_its_id_and_every_leaf_its_hashes() {
    let states: Vec<StateVector> = vectors::read("states.json");
    for state in &states {
        let params = TreeParams {
            nonce: state.nonce.array(),
            salt: state.salt.as_ref().map(Hex::array).map(Salt::new),
            collision: CollisionPolicy::from_byte(state.policy).unwrap(),
        };
        assert_eq!(Hex::from(params.tree_id()), state.tree_id, "{}", state.name);
        for leaf in &state.leaves {
            if let (Some(key), Some(value)) = (&leaf.key, &leaf.value) {
                assert_eq!(Hex::from(params.key_hash(&key.0)), leaf.key_hash);
                assert_eq!(Hex::from(naive::plain(&value.0)), leaf.value_hash);
            }
        }
    }
}

#[test]
fn every_record_has_its_bytes_and_its_commit_id() {
    let records: Records = vectors::read("records.json");
    for vector in &records.records {
        let record = record(vector);
        assert_eq!(Hex::from(record.encode()), vector.bytes, "{}", vector.name);
        assert_eq!(CommitRecord::decode(&vector.bytes.0), Ok(record.clone()));
        assert_eq!(
            Hex::from(record.commit_id()),
            vector.commit_id,
            "{}",
            vector.name
        );
    }
}

fn record(vector: &RecordVector) -> CommitRecord {
    CommitRecord {
        tree_id: vector.tree_id.array(),
        version: vector.version.0,
        parent: vector.parent.array(),
        open_epoch: vector.open_epoch.0,
        first_sequence: vector.first_sequence.0,
        last_sequence: vector.last_sequence.0,
        provisional_root: vector.provisional_root.array(),
        outcomes_digest: vector.outcomes_digest.array(),
        state_digest: vector.state_digest.array(),
        key_count: vector.key_count.0,
        history_digest: vector.history_digest.array(),
        metadata: vector.metadata.0.clone(),
    }
}

#[test]
fn every_range_has_its_digest() {
    let records: Records = vectors::read("records.json");
    let check = |range: &History, domains: &RangeDomains| {
        let mut peaks = MountainRange::default();
        range
            .items
            .iter()
            .for_each(|item| peaks.append(domains, &item.0));
        assert_eq!(Hex::from(peaks.digest(domains)), range.digest);
    };
    records
        .histories
        .iter()
        .for_each(|range| check(range, &HISTORY));
    records
        .outcomes
        .iter()
        .for_each(|range| check(range, &OUTCOMES));
}

#[test]
fn every_submission_has_its_provisional_root() {
    let chain = vectors::read::<Records>("records.json").provisional;
    let commit_id = chain.last_durable_commit_id.array();
    let mut last = provisional_start(&commit_id, chain.open_epoch.0);
    assert_eq!(Hex::from(last), chain.start);
    for vector in &chain.submissions {
        let digest = submission(vector);
        assert_eq!(Hex::from(digest), vector.submission_digest);
        last = provisional_root(&last, &digest);
        assert_eq!(Hex::from(last), vector.provisional_root);
    }
}

fn submission(vector: &SubmissionVector) -> naive::Hash {
    let mut batch = Batch::new();
    for write in &vector.writes {
        match &write.value {
            Some(value) => batch.put(&write.key.0, &value.0),
            None => batch.delete(&write.key.0),
        };
    }
    for require in &vector.requirements {
        let requirement = match &require.value_hash {
            Some(value_hash) => Requirement::ValueHash(value_hash.array()),
            None => Requirement::Absent,
        };
        batch.require(&require.key.0, requirement);
    }
    batch.metadata(vector.metadata.0.clone());
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    prepared.unwrap().digest
}
