use trunkline_core::history::{Ancestor, AncestorProof};

use crate::model::{Chain, TREE};

const LENGTH: usize = 40;

#[test]
fn a_commit_of_any_version_is_shown_below_any_head() {
    let chain = Chain::new(LENGTH);
    for head in 1..=LENGTH {
        for version in 0..head {
            let bytes = chain.ancestor(head, version).encode().unwrap();
            let proof = AncestorProof::decode(&bytes).unwrap();
            let ancestor = Ancestor {
                tree_id: TREE,
                version: version as u64,
                commit_id: chain.ids[version],
                head_version: head as u64,
            };
            assert_eq!(proof.verify(&chain.ids[head]), Ok(ancestor));
        }
    }
}

#[test]
fn no_other_commit_id_of_that_version_is_shown() {
    let (chain, other) = (Chain::new(LENGTH), Chain::changed_from(LENGTH, 5));
    for head in 6..=LENGTH {
        for version in 0..head {
            let mut proof = chain.ancestor(head, version);
            proof.commit_id = other.ids[version];
            let verified = proof.verify(&chain.ids[head]);
            assert_eq!(verified.is_ok(), version < 5);
        }
    }
}
