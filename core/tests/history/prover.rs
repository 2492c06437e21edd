use std::convert::Infallible;

use trunkline_core::evidence::{Evidence, LATER_MAX, ProveEvidenceError, VerifyEvidenceError};
use trunkline_core::history::{
    AncestorProof, ConsistencyProof, Inclusion, MountainRange, Subtree, extension, node_count,
    peaks,
};
use trunkline_core::history::{HISTORY, OUTCOMES, RangeDomains};
use trunkline_core::outcome::OUTCOME_BYTES_MIN;
use trunkline_core::record::CommitRecord;

use crate::model::{self, Chain, FIRST, Hash, Version};

/// Returns the nodes of a range in the order in which they are created.
fn nodes(domains: &RangeDomains, items: &[Hash]) -> Vec<Hash> {
    let (mut range, mut nodes) = (MountainRange::default(), Vec::new());
    for item in items {
        nodes.push(domains.leaf_digest(item));
        range.append_noting(domains, item, |node| nodes.push(*node));
    }
    nodes
}

#[test]
fn every_node_has_its_position() {
    let items: Vec<Hash> = (0..70).map(|index| [index; 32]).collect();
    let all = nodes(&HISTORY, &items);
    let mut seen = vec![false; all.len()];
    for height in 0..=6 {
        for first in (0..items.len()).step_by(1 << height) {
            let Some(below) = items.get(first..first + (1 << height)) else {
                continue;
            };
            let first = first as u64;
            let position = Subtree { first, height }.position() as usize;
            assert_eq!(all[position], model::perfect(model::HISTORY, below));
            assert!(!std::mem::replace(&mut seen[position], true));
        }
    }
    assert!(seen.iter().all(|seen| *seen));
    for count in 0..=items.len() {
        let expected = nodes(&HISTORY, &items[..count]).len() as u64;
        assert_eq!(node_count(count as u64), expected);
    }
}

#[test]
fn inclusions_are_those_of_the_model() {
    for (domains, names) in [(HISTORY, model::HISTORY), (OUTCOMES, model::OUTCOMES)] {
        for count in 1..40_u8 {
            let items: Vec<Hash> = (0..count).map(|index| [index; 32]).collect();
            let nodes = nodes(&domains, &items);
            for index in 0..usize::from(count) {
                let proven = Inclusion::prove(u64::from(count), index as u64, |subtree| {
                    Ok::<_, Infallible>(nodes[subtree.position() as usize])
                });
                assert_eq!(proven, Ok(model::inclusion(names, &items, index)));
            }
        }
    }
}

#[test]
fn proofs_over_histories_are_those_of_the_model() {
    const LENGTH: usize = 30;
    let chain = Chain::new(LENGTH);
    let nodes = nodes(&HISTORY, &chain.ids);
    let digest = |subtree: Subtree| Ok::<_, Infallible>(nodes[subtree.position() as usize]);
    for head in 1..=LENGTH {
        for older in 0..head {
            let proof = AncestorProof {
                head: chain.records[head].clone(),
                version: older as u64,
                commit_id: chain.ids[older],
                inclusion: Inclusion::prove(head as u64, older as u64, digest).unwrap(),
            };
            assert_eq!(proof, chain.ancestor(head, older));
            let records = (chain.records[older].clone(), chain.records[head].clone());
            let proof = ConsistencyProof::prove(older as u64, Some(records.0), records.1, digest);
            assert_eq!(proof, Ok(chain.consistency(older, head)));
        }
    }
}

#[test]
fn evidence_is_that_of_the_model() {
    for submissions in 1..20 {
        let version = Version::new(submissions);
        let outcomes = version.encoded().concat();
        let before = &version.provisional_roots[0];
        for index in 0..submissions {
            let sequence = FIRST + index as u64;
            let proven = Evidence::prove(&version.record, &outcomes, before, sequence);
            assert_eq!(proven, Ok(version.evidence(index)));
        }
    }
}

#[test]
fn what_does_not_belong_together_has_no_evidence() {
    let version = Version::new(3);
    let outcomes = version.encoded().concat();
    let prove = |outcomes: &[u8], sequence| {
        Evidence::prove(&version.record, outcomes, &[0; 32], sequence).unwrap_err()
    };
    assert!(matches!(
        prove(&outcomes, FIRST + 3),
        ProveEvidenceError::NotInVersion(VerifyEvidenceError::Sequence { .. })
    ));
    let other = ProveEvidenceError::Outcomes { version: 7 };
    assert_eq!(prove(&outcomes[OUTCOME_BYTES_MIN..], FIRST), other);
    assert_eq!(prove(&outcomes[..outcomes.len() - 1], FIRST), other);
    assert_eq!(prove(&[9; 3 * OUTCOME_BYTES_MIN], FIRST), other);
}

#[test]
fn a_submission_with_too_many_behind_it_has_no_evidence() {
    let count = LATER_MAX + 2;
    let record = CommitRecord {
        first_sequence: 1,
        last_sequence: count as u64,
        ..CommitRecord::genesis([1; 32])
    };
    let error = Evidence::prove(&record, &vec![0; OUTCOME_BYTES_MIN * count], &[0; 32], 1);
    let later = LATER_MAX as u64 + 1;
    let sequence = 1;
    let too_many = ProveEvidenceError::TooManyLater { sequence, later };
    assert_eq!(error, Err(too_many));
    assert!(too_many.to_string().contains("1048576"));
}

/// Checks only shapes, up to the largest numbers.
#[test]
fn extensions_end_where_they_should() {
    let numbers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    let numbers: Vec<u64> = numbers.chain([u64::MAX - 1, u64::MAX]).collect();
    for from in numbers.iter().filter(|from| **from > 0) {
        for to in numbers.iter().filter(|to| *to >= from) {
            let mut next = *from;
            for subtree in extension(*from, *to) {
                assert_eq!(subtree.first, next);
                assert_eq!(next % (1 << subtree.height), 0);
                next += 1 << subtree.height;
            }
            assert_eq!(next, *to);
            assert!(extension(*from, *to).count() <= 126);
        }
        assert_eq!(extension(*from, *from).count(), 0);
        let items: u64 = peaks(*from).map(|peak| 1 << peak.height).sum();
        assert_eq!(items, *from);
    }
}
