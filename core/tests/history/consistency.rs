use trunkline_core::history::{ConsistencyProof, Consistent, VerifyConsistencyError};

use crate::model::{Chain, TREE};

const LENGTH: usize = 36;

#[test]
fn a_history_is_consistent_between_any_two_heads() {
    let chain = Chain::new(LENGTH);
    for head in 1..=LENGTH {
        for older in 0..head {
            let bytes = chain.consistency(older, head).encode().unwrap();
            let proof = ConsistencyProof::decode(&bytes).unwrap();
            let consistent = Consistent {
                tree_id: TREE,
                older_version: older as u64,
                head_version: head as u64,
            };
            let verified = proof.verify(&chain.ids[older], &chain.ids[head]);
            assert_eq!(verified, Ok(consistent));
            assert_eq!(proof.check_head(older as u64, &chain.ids[older]), Ok(()));
        }
    }
}

#[test]
fn a_client_may_add_the_older_record_itself() {
    let chain = Chain::new(9);
    let mut proof = chain.consistency(4, 9);
    proof.older = None;
    let verify = |proof: &ConsistencyProof| proof.verify(&chain.ids[4], &chain.ids[9]);
    assert_eq!(verify(&proof), Err(VerifyConsistencyError::NeedsOlder));
    let added = proof.with_older(chain.records[4].clone()).unwrap();
    assert!(verify(&added).is_ok());
    // Repeating this changes nothing.
    let added = added.with_older(chain.records[4].clone()).unwrap();
    let other = added.with_older(chain.records[3].clone());
    assert_eq!(other, Err(VerifyConsistencyError::OtherOlder));
}

/// The parts of a proof that a forger has: from either history, for any versions.
#[test]
fn a_rewritten_history_is_refused_whatever_is_put_together() {
    const LENGTH: usize = 12;
    let chain = Chain::new(LENGTH);
    for changed in 0..LENGTH {
        let other = Chain::changed_from(LENGTH, changed);
        for head in 1..=LENGTH {
            for older in changed..head {
                let peaks = [&chain, &other].map(|from| from.consistency(older, head).peaks);
                let nodes = [&chain, &other].map(|from| from.consistency(older, head).nodes);
                for (peaks, nodes) in peaks.iter().flat_map(|p| nodes.iter().map(move |n| (p, n))) {
                    let forged = ConsistencyProof {
                        older: Some(chain.records[older].clone()),
                        head: other.records[head].clone(),
                        peaks: peaks.clone(),
                        nodes: nodes.clone(),
                    };
                    let verified = forged.verify(&chain.ids[older], &other.ids[head]);
                    assert!(verified.is_err());
                }
            }
        }
    }
}

/// The older commit id is in the head's history, but after other versions than those of its own history.
#[test]
fn an_older_head_after_another_history_is_refused() {
    let chain = Chain::new(8);
    let mut liar = Chain::new(8);
    liar.ids[2] = [0x66; 32];
    for version in 3..=8 {
        liar.records[version].history_digest =
            crate::model::digest(crate::model::HISTORY, &liar.ids[..version]);
        if version > 5 {
            liar.ids[version] = liar.records[version].commit_id();
        }
    }
    assert_eq!(liar.ids[5], chain.ids[5], "the older head is the same");
    let ancestor = liar.ancestor(8, 5).verify(&liar.ids[8]).unwrap();
    assert_eq!(ancestor.commit_id, chain.ids[5]);
    let mut proof = liar.consistency(5, 8);
    proof.older = Some(chain.records[5].clone());
    let verify = |proof: &ConsistencyProof| proof.verify(&chain.ids[5], &liar.ids[8]);
    assert_eq!(verify(&proof), Err(VerifyConsistencyError::OlderHistory));
    proof.peaks = chain.consistency(5, 8).peaks;
    assert_eq!(verify(&proof), Err(VerifyConsistencyError::HeadHistory));
}
