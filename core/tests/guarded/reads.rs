use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_core::hash::{self, Digest, INNER, Pair};
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::{Proof, verify_versions};
use trunkline_testkit::proven::{committer, proofs_of, states};
use trunkline_testkit::tree::{Twin, many_near, random_ops};

/// A slot of many cells, so that levels of one to hundreds of nodes are hashed, the last of them often the
/// first of a level, and a deep block, whose leaves are.
#[test]
fn hashing_versions_reads_nothing_past_its_memory() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let mut pool = many_near(&mut rng, &[0x61; 32], 7, 600);
    pool.extend(many_near(&mut rng, &[0xff; 32], 40, 24));
    twin.put_all(&pool);
    twin.seal();
    for _ in 0..192 {
        let count = rng.random_range(1..24);
        // A refusal is just as good: the undone part is hashed again.
        let _ = twin.submit(&random_ops(&mut rng, &pool, count, 0.7));
        twin.seal();
        let oldest = twin.version.saturating_sub(3);
        twin.retire(oldest);
    }
}

#[test]
fn hashing_pairs_reads_nothing_past_its_memory() {
    let mut digests: Vec<Digest> = Vec::new();
    for count in 0..70 {
        let pairs: Vec<Pair> = vec![[count as u8; 64]; count];
        INNER.hash_pairs(&pairs, &mut digests);
        let one = count.checked_sub(1).map(|last| INNER.hash(&pairs[last]));
        assert_eq!(digests.last().copied(), one);
    }
}

#[test]
fn hashing_inputs_of_any_length_reads_nothing_past_its_memory() {
    for bytes in (64..200).chain((1_024..20_000).step_by(64)) {
        let input = vec![7_u8; bytes];
        assert_ne!(hash::hash(&input), INNER.hash(&input));
    }
}

#[test]
fn making_and_verifying_proofs_reads_nothing_past_its_memory() {
    let committer = committer();
    for state in states(&committer) {
        for bytes in proofs_of(&state, &committer) {
            let proof = Proof::decode(&bytes).unwrap();
            let expected = vec![state.expected()[0]; proof.versions.len()];
            // Those of several versions name other versions than the expected one.
            if proof.versions.len() == 1 {
                assert!(verify_versions(&proof, &expected).is_ok());
            }
        }
    }
}
