//! `refused.json`: for each rule proofs that break it and, as far as that can be, nothing else.
//!
//! Most of those that break a rule of one version fold to *some* root and are held against nothing, so
//! that the rule named is all that stands in their way.

mod openings;
mod paths;
mod trust;

use std::collections::BTreeMap;

use trunkline_core::proof::{Expected, Proof};
use trunkline_testkit::vectors::Trusted;

use super::form::RefusedVector;
use super::malformed;
use super::states::States;

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
    let mut vectors = paths::vectors();
    vectors.extend(trust::vectors(states));
    vectors.extend(openings::vectors(states));
    vectors.extend(malformed::vectors(states));
    number(vectors)
}

/// Names each after its rule: `EntryOrder 1`, `EntryOrder 2`.
fn number(mut vectors: Vec<RefusedVector>) -> Vec<RefusedVector> {
    let mut counts = BTreeMap::new();
    for vector in &mut vectors {
        let count: &mut u32 = counts.entry(vector.rule.clone()).or_default();
        *count += 1;
        vector.name = format!("{} {count}", vector.rule);
    }
    vectors
}
