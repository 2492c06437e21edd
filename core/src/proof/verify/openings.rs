//! Checks the openings of KZG tops: the kind for each number of slots, and all with one pairing check.
//!
//! The values of the slots are computed from the claims.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::VerifyProofError;
use crate::kzg::{Checks, G1Bytes, OpenedVersion, Opening, Slot, slot_point};
use crate::proof::TopOpening;

/// Checks the kind of opening: none for no slot, a plain one for one slot, an aggregate for more.
pub(super) fn check_kind(
    opened: &[OpenedVersion],
    opening: Option<&TopOpening>,
) -> Result<(), VerifyProofError> {
    let slots = opened.iter().map(|opened| opened.slots.len()).sum();
    match (slots, opening) {
        (0, None) | (1, Some(TopOpening::Single(_))) | (2.., Some(TopOpening::Aggregate(_))) => {
            Ok(())
        }
        _ => Err(VerifyProofError::OpeningKind { slots }),
    }
}

/// Openings of several proofs that wait for a common check.
#[derive(Default)]
pub(super) struct PendingOpenings {
    pending: Vec<Pending>,
    /// Plain openings among them, so that equal ones are checked once.
    plain: BTreeSet<(G1Bytes, Slot, [u8; 32], G1Bytes)>,
}

/// The slots that one proof must open, with their opening.
struct Pending {
    proof: usize,
    opened: Vec<OpenedVersion>,
    opening: TopOpening,
}

impl PendingOpenings {
    /// Adds the slots of the proof at an index, if it must open any.
    pub(super) fn add(
        &mut self,
        proof: usize,
        opened: Vec<OpenedVersion>,
        opening: Option<TopOpening>,
    ) {
        let Some(opening) = opening else {
            return;
        };
        if let TopOpening::Single(opening) = opening
            && !self.is_new(&opened, opening)
        {
            return;
        }
        self.pending.push(Pending {
            proof,
            opened,
            opening,
        });
    }

    fn is_new(&mut self, opened: &[OpenedVersion], opening: G1Bytes) -> bool {
        let mut slots = opened.iter().flat_map(|opened| {
            let slots = opened.slots.iter();
            slots.map(|(slot, value)| (opened.commitment, *slot, *value, opening))
        });
        slots.next().is_some_and(|claim| self.plain.insert(claim))
    }

    /// Checks all of them at once; if that fails, returns the index of the first proof whose opening does not hold.
    pub(super) fn check(&self) -> Result<(), usize> {
        let mut checks = Checks::default();
        self.pending
            .iter()
            .for_each(|pending| pending.add_to(&mut checks));
        if checks.hold() == Ok(true) {
            return Ok(());
        }
        let is_false = |pending: &&Pending| {
            let mut checks = Checks::default();
            pending.add_to(&mut checks);
            checks.hold() != Ok(true)
        };
        match self.pending.iter().find(is_false) {
            Some(pending) => Err(pending.proof),
            // If each of them holds but all together do not, the check itself is wrong.
            None => Err(self.pending.first().map_or(0, |pending| pending.proof)),
        }
    }
}

impl Pending {
    fn add_to(&self, checks: &mut Checks) {
        match &self.opening {
            TopOpening::Aggregate(proof) => checks.aggregate(self.opened.clone(), *proof),
            TopOpening::Single(proof) => {
                for opened in &self.opened {
                    for (slot, value) in &opened.slots {
                        checks.opening(Opening {
                            commitment: opened.commitment,
                            z: slot_point(*slot),
                            y: *value,
                            proof: *proof,
                        });
                    }
                }
            }
        }
    }
}
