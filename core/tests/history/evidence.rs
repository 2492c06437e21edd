use trunkline_core::evidence::{Evidence, VerifiedEvidence};

use crate::model::{FIRST, TREE, Version};

#[test]
fn a_submission_is_shown_at_its_place_in_versions_of_any_size() {
    for submissions in 1..=24 {
        let version = Version::new(submissions);
        for index in 0..submissions {
            let bytes = version.evidence(index).encode().unwrap();
            let evidence = Evidence::decode(&bytes).unwrap();
            let verified = VerifiedEvidence {
                tree_id: TREE,
                version: 7,
                sequence: FIRST + index as u64,
                index: index as u64,
                submission: version.outcomes[index].submission,
                outcome: version.outcomes[index].outcome,
                idempotency_key: version.outcomes[index].idempotency_key.clone(),
            };
            let found = evidence.verify(&version.promised(index), &version.id);
            assert_eq!(found, Ok(verified));
        }
    }
}

#[test]
fn evidence_shows_no_other_promise() {
    let version = Version::new(12);
    for index in 0..12 {
        let evidence = version.evidence(index);
        for other in (0..12).filter(|other| *other != index) {
            let found = evidence.verify(&version.promised(other), &version.id);
            assert!(found.is_err());
        }
        let before_any = version.provisional_roots[0];
        assert!(evidence.verify(&before_any, &version.id).is_err());
    }
}

#[test]
fn evidence_with_the_outcome_of_another_submission_is_refused() {
    let version = Version::new(12);
    for index in 0..12 {
        for other in (0..12).filter(|other| *other != index) {
            let mut evidence = version.evidence(index);
            evidence.outcome.outcome = version.outcomes[other].outcome;
            let same = version.outcomes[other].outcome == version.outcomes[index].outcome;
            let found = evidence.verify(&version.promised(index), &version.id);
            assert_eq!(found.is_ok(), same);
        }
    }
}
