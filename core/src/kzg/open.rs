//! Makes opening proofs: the commitment to (p(X) - y)/(X - z), from values only, without a transform; or from the
//! opening of the same slot before some values changed.
//!
//! `aggregate` has the parts of an aggregate that its verifier also derives.

use ark_bls12_381::{Fr, G1Affine};
use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field, Zero, batch_inversion};

use super::aggregate::{AggregateProof, Combination, OpenedVersion};
use super::commit::{CommitmentPoint, Committer, SlotChange};
use super::point::G1Bytes;
use super::scalar::Slot;
use crate::params::WIDTH;

impl Committer {
    /// Proves the value of one slot. The value is `values[slot.index()]`.
    ///
    /// The quotient's values come from the barycentric formula for a point of the domain (Feist,
    /// "PCS multiproofs using random evaluation", 2021, "Dividing when one of the points is zero").
    pub fn open(&self, values: &[Fr; WIDTH], slot: Slot) -> G1Bytes {
        self.open_point(values, slot).to_bytes()
    }

    /// Works like [`Self::open`], and returns a point for [`Self::update_opening`] to continue from.
    pub fn open_point(&self, values: &[Fr; WIDTH], slot: Slot) -> CommitmentPoint {
        self.commit(&self.quotient_at_slot(values, slot))
    }

    /// Returns the opening of a slot after some slots changed, from the previous opening: openings are linear in the
    /// values, so that the opening of the differences is added. The slot itself may be among the changes.
    ///
    /// A slot that changed has one value in the quotient of the differences, and the opened slot has another; so the
    /// cost grows with the number of changes. If the opened slot itself changed, all values of its part are different
    /// from zero, but the same each time up to a factor: its opening is computed once per slot and then multiplied (the
    /// update keys of Tomescu, Abraham, Buterin, Drake, Feist, Khovratovich, "Aggregatable Subvector Commitments",
    /// ePrint 2020/527).
    ///
    /// ```
    /// use trunkline_core::kzg::{Committer, Setup, Slot, SlotChange, slot_value};
    /// let committer = Committer::new(&Setup::ceremony()?);
    /// let mut values = core::array::from_fn(|slot| slot_value(&[slot as u8; 32]));
    /// let (slot, changed) = (Slot::new(5)?, Slot::new(9)?);
    /// let before = committer.open_point(&values, slot);
    ///
    /// let (old, new) = (values[9], slot_value(&[77; 32]));
    /// values[9] = new;
    /// let moved = committer.update_opening(&before, &[SlotChange { slot: changed, old, new }], slot);
    /// assert_eq!(moved.to_bytes(), committer.open(&values, slot));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update_opening(
        &self,
        opening: &CommitmentPoint,
        changes: &[SlotChange],
        slot: Slot,
    ) -> CommitmentPoint {
        let m = slot.index();
        let inverse_root = self.domain.roots[(WIDTH - m) % WIDTH];
        let (mut own, mut at_slot) = (Fr::ZERO, Fr::ZERO);
        let mut terms = Vec::with_capacity(changes.len() + 1);
        for change in changes {
            let difference = change.new - change.old;
            if change.slot == slot {
                own += difference;
                continue;
            }
            let distance = (WIDTH + change.slot.index() - m) % WIDTH;
            let inverse = inverse_root * self.domain.inverse_root_minus_one[distance];
            let quotient = difference * inverse;
            at_slot -= quotient * self.domain.roots[distance];
            terms.push((change.slot, quotient));
        }
        terms.push((slot, at_slot));
        let mut sum = opening.0 + self.combine(terms.into_iter());
        if !own.is_zero() {
            sum += *self.unit_opening(slot) * own;
        }
        CommitmentPoint(sum)
    }

    /// Returns the opening of a slot whose value is 1 while all others are 0.
    fn unit_opening(&self, slot: Slot) -> &G1Affine {
        self.unit_openings[slot.index()].get_or_init(|| {
            let mut unit = [Fr::ZERO; WIDTH];
            unit[slot.index()] = Fr::ONE;
            self.open_point(&unit, slot).0.into_affine()
        })
    }

    /// Proves the value at any point. Returns the value and the proof.
    ///
    /// ```
    /// use trunkline_core::kzg::{
    ///     Committer, Fr, Setup, encode_scalar, slot_value, verify_opening,
    /// };
    /// let committer = Committer::new(&Setup::ceremony()?);
    /// let values = core::array::from_fn(|slot| slot_value(&[slot as u8; 32]));
    /// let root = committer.commit(&values).to_bytes();
    /// let z = Fr::from(1_000_003);
    /// let (y, proof) = committer.open_at(&values, z);
    /// let (z, y) = (encode_scalar(&z), encode_scalar(&y));
    /// assert_eq!(verify_opening(&root.0, &z, &y, &proof.0), Ok(true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_at(&self, values: &[Fr; WIDTH], z: Fr) -> (Fr, G1Bytes) {
        let on_domain = Slot::all().find(|slot| self.domain.roots[slot.index()] == z);
        if let Some(slot) = on_domain {
            return (values[slot.index()], self.open(values, slot));
        }
        let (y, quotient) = self.quotient_off_domain(values, z);
        (y, self.commit(&quotient).to_bytes())
    }

    /// Opens all slots that `versions` names with two commitments in total; `values` has the values of each version, in
    /// the same order. Slots and versions ascend.
    ///
    /// Source: Boneh, Drake, Fisch, Gabizon, ePrint 2020/081, section 4.1.
    pub fn aggregate(&self, versions: &[OpenedVersion], values: &[&[Fr; WIDTH]]) -> AggregateProof {
        let combination = Combination::of(versions);
        let quotient = self.combined_quotient(versions, values, &combination);
        let quotient_point = self.commit(&quotient).to_bytes();
        let Some(at_point) = combination.at_point(versions, &quotient_point) else {
            // No prover can cause this. The returned proof does not verify.
            return AggregateProof {
                quotient: quotient_point,
                opening: G1Bytes::IDENTITY,
            };
        };
        // (Σ factor_v·p_v(X) - value - h(X))/(X - z)
        let opening = core::array::from_fn(|i| {
            let terms = values.iter().zip(&at_point.factors);
            let sum: Fr = terms.map(|(values, factor)| values[i] * factor).sum();
            (quotient[i] + at_point.value - sum) * at_point.inverses[i]
        });
        AggregateProof {
            quotient: quotient_point,
            opening: self.commit(&opening).to_bytes(),
        }
    }

    /// Returns h: the quotients of all slots, each multiplied by its weight.
    fn combined_quotient(
        &self,
        versions: &[OpenedVersion],
        values: &[&[Fr; WIDTH]],
        combination: &Combination,
    ) -> [Fr; WIDTH] {
        let mut sum = [Fr::ZERO; WIDTH];
        for ((opened, weights), values) in versions.iter().zip(&combination.weights).zip(values) {
            if opened.slots.len() == WIDTH {
                continue; // the values on all points are the polynomial: nothing is left over
            }
            for ((slot, _), weight) in opened.slots.iter().zip(weights) {
                let quotient = self.quotient_at_slot(values, *slot);
                for (sum, quotient) in sum.iter_mut().zip(&quotient) {
                    *sum += *weight * quotient;
                }
            }
        }
        sum
    }

    /// q_i = (p_i - y)/(ω^i - ω^m), and in the slot m itself q_m = -Σ q_i·ω^(i-m).
    fn quotient_at_slot(&self, values: &[Fr; WIDTH], slot: Slot) -> [Fr; WIDTH] {
        let m = slot.index();
        let y = values[m];
        let inverse_root = self.domain.roots[(WIDTH - m) % WIDTH];
        let mut quotient = [Fr::ZERO; WIDTH];
        let mut at_slot = Fr::ZERO;
        for distance in 1..WIDTH {
            let i = (m + distance) % WIDTH;
            // ω^i - ω^m = ω^m·(ω^(i-m) - 1)
            let inverse = inverse_root * self.domain.inverse_root_minus_one[distance];
            quotient[i] = (values[i] - y) * inverse;
            at_slot -= quotient[i] * self.domain.roots[distance];
        }
        quotient[m] = at_slot;
        quotient
    }

    /// y = (z^128 - 1)/128 · Σ p_i·ω^i/(z - ω^i), then q_i = (y - p_i)/(z - ω^i).
    fn quotient_off_domain(&self, values: &[Fr; WIDTH], z: Fr) -> (Fr, [Fr; WIDTH]) {
        let roots = &self.domain.roots;
        let mut inverses = roots.map(|root| z - root);
        batch_inversion(&mut inverses);
        let mut sum = Fr::ZERO;
        for ((value, root), inverse) in values.iter().zip(roots).zip(&inverses) {
            sum += *value * root * inverse;
        }
        let width = Fr::from(WIDTH as u64);
        let y = sum * (z.pow([WIDTH as u64]) - Fr::ONE) / width;
        let mut quotient = inverses;
        for (quotient, value) in quotient.iter_mut().zip(values) {
            *quotient *= y - value;
        }
        (y, quotient)
    }
}
