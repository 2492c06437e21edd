use trunkline_core::evidence::{Evidence, VerifyEvidenceError};
use trunkline_core::history::{
    AncestorProof, ConsistencyProof, InclusionError, VerifyAncestorError, VerifyConsistencyError,
};

use crate::model::{Chain, FIRST, Version};

#[track_caller]
fn ancestor(forge: impl FnOnce(&mut AncestorProof), broken: VerifyAncestorError) {
    let chain = Chain::new(11);
    let mut proof = chain.ancestor(11, 9);
    assert!(proof.verify(&chain.ids[11]).is_ok());
    forge(&mut proof);
    assert_eq!(proof.verify(&chain.ids[11]), Err(broken));
}

#[test]
fn each_rule_of_an_ancestor_proof_refuses_its_forgery() {
    use VerifyAncestorError as Broken;
    ancestor(|proof| proof.head.key_count += 1, Broken::HeadCommit);
    for version in [11, 12, u64::MAX] {
        ancestor(
            |proof| proof.version = version,
            Broken::NotOlder { version, head: 11 },
        );
    }
    let siblings = InclusionError::SiblingCount {
        expected: 1,
        found: 2,
    };
    ancestor(
        |proof| proof.inclusion.siblings.push([1; 32]),
        siblings.into(),
    );
    let peaks = InclusionError::PeakCount {
        expected: 2,
        found: 1,
    };
    ancestor(|proof| proof.inclusion.peaks.truncate(1), peaks.into());
    ancestor(|proof| proof.version = 8, InclusionError::Digest.into());
    ancestor(
        |proof| proof.commit_id[0] ^= 1,
        InclusionError::Digest.into(),
    );
    ancestor(
        |proof| proof.inclusion.siblings[0][0] ^= 1,
        InclusionError::Digest.into(),
    );
    ancestor(
        |proof| proof.inclusion.peaks.reverse(),
        InclusionError::Digest.into(),
    );
}

#[track_caller]
fn consistency(forge: impl FnOnce(&mut ConsistencyProof), broken: VerifyConsistencyError) {
    let chain = Chain::new(11);
    let mut proof = chain.consistency(3, 11);
    let verify = |proof: &ConsistencyProof| proof.verify(&chain.ids[3], &chain.ids[11]);
    assert!(verify(&proof).is_ok());
    forge(&mut proof);
    assert_eq!(verify(&proof), Err(broken));
}

#[test]
fn each_rule_of_a_consistency_proof_refuses_its_forgery() {
    use VerifyConsistencyError as Broken;
    consistency(|proof| proof.older = None, Broken::NeedsOlder);
    let other_older = |proof: &mut ConsistencyProof| proof.older = Some(proof.head.clone());
    consistency(other_older, Broken::OlderCommit);
    consistency(|proof| proof.head.version = 12, Broken::HeadCommit);
    let peaks = Broken::PeakCount {
        expected: 2,
        found: 1,
    };
    consistency(|proof| proof.peaks.truncate(1), peaks);
    consistency(|proof| proof.peaks.swap(0, 1), Broken::OlderHistory);
    consistency(|proof| proof.peaks[1][7] ^= 1, Broken::OlderHistory);
    let nodes = Broken::NodeCount {
        expected: 3,
        found: 4,
    };
    consistency(|proof| proof.nodes.push([1; 32]), nodes);
    consistency(|proof| proof.nodes.swap(0, 2), Broken::HeadHistory);
    consistency(|proof| proof.nodes[2][31] ^= 1, Broken::HeadHistory);
}

#[test]
fn heads_that_do_not_follow_are_refused() {
    let chain = Chain::new(11);
    for (older, head) in [(5, 5), (7, 5)] {
        let proof = ConsistencyProof {
            older: Some(chain.records[older].clone()),
            head: chain.records[head].clone(),
            ..chain.consistency(3, 5)
        };
        let broken = VerifyConsistencyError::NotOlder {
            older: older as u64,
            head: head as u64,
        };
        let verified = proof.verify(&chain.ids[older], &chain.ids[head]);
        assert_eq!(verified, Err(broken));
        let checked = proof.check_head(older as u64, &chain.ids[older]);
        assert_eq!(checked, Err(broken));
    }
    let mut proof = chain.consistency(3, 5);
    proof.head.tree_id = [0x99; 32];
    let verified = proof.verify(&chain.ids[3], &proof.head.commit_id());
    assert_eq!(verified, Err(VerifyConsistencyError::Tree));
}

/// Only the engine could forge this: a head that names another parent than the previous version.
#[test]
fn a_head_with_another_parent_than_its_history_has_is_refused() {
    for head in 1..=11 {
        let mut chain = Chain::new(11);
        chain.records[head].parent[0] ^= 1;
        chain.ids[head] = chain.records[head].commit_id();
        for older in 0..head {
            let ancestor = chain.ancestor(head, older).verify(&chain.ids[head]);
            let consistency = chain.consistency(older, head);
            let consistent = consistency.verify(&chain.ids[older], &chain.ids[head]);
            let checked = consistency.check_head(older as u64, &chain.ids[older]);
            match older + 1 == head {
                // Without the version before the head, this cannot be detected.
                false => assert!(ancestor.is_ok() && consistent.is_ok() && checked.is_ok()),
                true => {
                    assert_eq!(ancestor, Err(VerifyAncestorError::Parent));
                    assert_eq!(consistent, Err(VerifyConsistencyError::Parent));
                    assert_eq!(checked, Err(VerifyConsistencyError::Parent));
                }
            }
        }
    }
}

#[track_caller]
fn evidence(forge: impl FnOnce(&mut Evidence), broken: VerifyEvidenceError) {
    let version = Version::new(6);
    let mut evidence = version.evidence(4);
    let (promised, id) = (version.promised(4), version.id);
    assert!(evidence.verify(&promised, &id).is_ok());
    forge(&mut evidence);
    assert_eq!(evidence.verify(&promised, &id), Err(broken));
}

#[test]
fn each_rule_of_evidence_refuses_its_forgery() {
    use VerifyEvidenceError as Broken;
    evidence(|evidence| evidence.record.version = 8, Broken::Commit);
    for sequence in [0, FIRST - 1, FIRST + 6, u64::MAX] {
        let broken = Broken::Sequence {
            sequence,
            first: FIRST,
            last: FIRST + 5,
        };
        evidence(|evidence| evidence.outcome.sequence = sequence, broken);
    }
    let siblings = InclusionError::SiblingCount {
        expected: 1,
        found: 0,
    };
    evidence(
        |evidence| evidence.inclusion.siblings.clear(),
        siblings.into(),
    );
    let peaks = InclusionError::PeakCount {
        expected: 1,
        found: 2,
    };
    evidence(
        |evidence| evidence.inclusion.peaks.push([1; 32]),
        peaks.into(),
    );
    let digest = Broken::from(InclusionError::Digest);
    evidence(|evidence| evidence.outcome.sequence += 1, digest);
    evidence(|evidence| evidence.outcome.submission[0] ^= 1, digest);
    evidence(
        |evidence| evidence.provisional_before[0] ^= 1,
        Broken::ProvisionalRoot,
    );
    let later = |found| Broken::LaterCount { expected: 1, found };
    evidence(|evidence| evidence.later.clear(), later(0));
    evidence(|evidence| evidence.later.push([1; 32]), later(2));
    evidence(|evidence| evidence.later[0][0] ^= 1, Broken::Chain);
}

/// Only the engine could forge this: a record that contradicts itself.
#[test]
fn evidence_from_a_record_with_impossible_numbers_is_refused() {
    let version = Version::new(6);
    for (first, last) in [(0, u64::MAX), (FIRST + 5, FIRST), (u64::MAX, u64::MAX)] {
        let mut evidence = version.evidence(4);
        evidence.record.first_sequence = first;
        evidence.record.last_sequence = last;
        let sequence = evidence.outcome.sequence;
        let broken = VerifyEvidenceError::Sequence {
            sequence,
            first,
            last,
        };
        let verified = evidence.verify(&version.promised(4), &evidence.record.commit_id());
        assert_eq!(verified, Err(broken));
    }
}
