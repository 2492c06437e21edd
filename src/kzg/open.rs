//! Opening proofs: the commitment to (p(X) - y)/(X - z), from values alone, without a transform.
//!
//! Deliberately not here: aggregates of several openings.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, Field, batch_inversion};

use super::commit::Committer;
use super::point::G1Bytes;
use super::scalar::Slot;
use crate::params::WIDTH;

impl Committer {
    /// Proves the value of one slot. The value itself is `values[slot.index()]`.
    ///
    /// The quotient's values come from the barycentric formula for a point of the domain (Feist,
    /// "PCS multiproofs using random evaluation", 2021, "Dividing when one of the points is zero").
    pub fn open(&self, values: &[Fr; WIDTH], slot: Slot) -> G1Bytes {
        self.commit(&self.quotient_at_slot(values, slot)).to_bytes()
    }

    /// Proves the value at any point; gives the value and the proof.
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
