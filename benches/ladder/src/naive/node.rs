//! A node of the baseline: its position, its JSON and its commitment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline::core::batch::leaf_digest;
use trunkline::core::hash;
use trunkline::core::kzg::{Committer, Fr, G1Bytes, Slot, decode_scalar, slot_value_bytes};
use trunkline::core::params::{TreeParams, WIDTH};

use crate::error::LadderError;
use crate::workload::{Key, Value};

/// The number of levels of nodes.
pub(super) const DEPTH: usize = 8;
const DIGIT_BITS: usize = 7;

/// The digits of a path down to a node, or to a leaf.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Position {
    level: usize,
    digits: [u8; DEPTH],
}

impl Position {
    pub(super) const ROOT: Self = Self {
        level: 0,
        digits: [0; DEPTH],
    };

    /// Returns the position of a key's leaf, which is below the last level.
    pub(super) fn leaf_of(key: &Key) -> Self {
        let key_hash = TreeParams::default().key_hash(key);
        let path = trunkline::core::params::path_of(&key_hash);
        let digit = |level: usize| path >> (DIGIT_BITS * (DEPTH - 1 - level)) & 0x7f;
        Self {
            level: DEPTH,
            digits: std::array::from_fn(|level| digit(level) as u8),
        }
    }

    pub(super) fn digit(&self, level: usize) -> u8 {
        self.digits[level]
    }

    /// Returns the node at a level on the way to this position.
    pub(super) fn ancestor(&self, level: usize) -> Self {
        let mut digits = self.digits;
        digits[level..].fill(0);
        Self { level, digits }
    }

    pub(super) fn child(&self, digit: u8) -> Self {
        let mut child = *self;
        child.digits[self.level] = digit;
        child.level += 1;
        child
    }

    pub(super) fn level(&self) -> usize {
        self.level
    }

    /// Returns the key in a store: the level, then the digits.
    pub(super) fn store_key(&self) -> [u8; DEPTH + 1] {
        let mut key = [self.level as u8; DEPTH + 1];
        key[1..].copy_from_slice(&self.digits);
        key
    }
}

/// The 128 slots without the empty ones, and the commitment to them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Node {
    commitment: String,
    /// The field elements, in hexadecimal.
    children: BTreeMap<u8, String>,
}

impl Node {
    pub(super) fn set(&mut self, digit: u8, value: &[u8; 32]) {
        self.children.insert(digit, hex::encode(value));
    }

    /// Commits to all slots, and keeps the commitment.
    pub(super) fn commit(&mut self, committer: &Committer) -> Result<G1Bytes, LadderError> {
        let mut values = [Fr::default(); WIDTH];
        for (digit, text) in &self.children {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).map_err(LadderError::at("read a node"))?;
            let slot = Slot::new((*digit).into()).map_err(LadderError::at("read a node"))?;
            values[slot.index()] = decode_scalar(&bytes)
                .ok_or_else(|| LadderError::at("read a node")("no field element"))?;
        }
        let commitment = committer.commit(&values).to_bytes();
        self.commitment = hex::encode(commitment.0);
        Ok(commitment)
    }
}

/// Returns the value that a node's parent holds for it.
pub(super) fn value_of_child(commitment: &G1Bytes) -> [u8; 32] {
    slot_value_bytes(&hash::hash(&commitment.0))
}

/// Returns the value that the lowest node holds for a key.
pub(super) fn value_of_leaf(key: &Key, value: &Value) -> [u8; 32] {
    let key_hash = TreeParams::default().key_hash(key);
    slot_value_bytes(&leaf_digest(&key_hash, &hash::hash(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_below_its_parent_and_an_ancestor_above() {
        let leaf = Position::leaf_of(&[7; 32]);
        for level in 0..DEPTH {
            let below = leaf.ancestor(level).child(leaf.digit(level));
            let expected = if level + 1 == DEPTH {
                leaf
            } else {
                leaf.ancestor(level + 1)
            };
            assert_eq!(below, expected);
        }
        assert_eq!(leaf.ancestor(0), Position::ROOT);
    }

    #[test]
    fn every_child_is_a_field_element() {
        let leaf = value_of_leaf(&[1; 32], &[2; 32]);
        let node = value_of_child(&G1Bytes([0xff; 48]));
        assert!(decode_scalar(&leaf).is_some() && decode_scalar(&node).is_some());
    }
}
