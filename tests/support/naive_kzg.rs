//! KZG by definition: interpolate, divide, multiply by the powers of τ. For tests, and slow.
//!
//! Shares no code with `src`.

use ark_bls12_381::{Fr, G1Affine, G1Projective};
use ark_ec::VariableBaseMSM;
use ark_ff::{Field, PrimeField, Zero};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

const SLOTS: u64 = 128;

pub(crate) struct NaiveKzg {
    powers: Vec<G1Affine>,
    omega: Fr,
    coefficients: Vec<Fr>,
}

impl NaiveKzg {
    /// The polynomial with these values, 32 bytes big-endian each, on the roots of unity.
    pub(crate) fn new(ceremony: &str, values: &[[u8; 32]]) -> Self {
        let omega = omega();
        let values: Vec<Fr> = values
            .iter()
            .map(|value| Fr::from_be_bytes_mod_order(value))
            .collect();
        Self {
            powers: read_powers(ceremony),
            omega,
            coefficients: interpolate(&values, omega),
        }
    }

    pub(crate) fn commitment(&self) -> [u8; 48] {
        self.commit(&self.coefficients)
    }

    /// The opening at z = ω^slot.
    pub(crate) fn open(&self, slot: usize) -> [u8; 48] {
        self.open_at(self.omega.pow([slot as u64]))
    }

    /// The commitment to (p(X) - p(z)) / (X - z).
    pub(crate) fn open_at(&self, z: Fr) -> [u8; 48] {
        let mut quotient = vec![Fr::zero(); self.coefficients.len()];
        let mut carry = Fr::zero();
        for (place, coefficient) in self.coefficients.iter().enumerate().rev() {
            quotient[place] = carry;
            carry = carry * z + coefficient;
        }
        self.commit(&quotient)
    }

    fn commit(&self, coefficients: &[Fr]) -> [u8; 48] {
        let point = G1Projective::msm(&self.powers, coefficients).unwrap();
        let mut bytes = [0; 48];
        point.serialize_compressed(&mut bytes[..]).unwrap();
        bytes
    }
}

/// 7 to the power (r - 1) / 128.
fn omega() -> Fr {
    let mut exponent = -Fr::from(1);
    exponent /= Fr::from(SLOTS);
    // (r - 1) / 128 is exact as an integer, so the field's quotient is that integer.
    Fr::from(7).pow(exponent.into_bigint())
}

/// The inverse transform by its sum: c_j = 1/128 Σ v_i ω^(-ij).
fn interpolate(values: &[Fr], omega: Fr) -> Vec<Fr> {
    let scale = Fr::from(SLOTS).inverse().unwrap();
    let inverse = omega.inverse().unwrap();
    let coefficient = |j: u64| {
        let step = inverse.pow([j]);
        let sum = values
            .iter()
            .rev()
            .fold(Fr::zero(), |sum, value| sum * step + value);
        sum * scale
    };
    (0..SLOTS).map(coefficient).collect()
}

fn read_powers(ceremony: &str) -> Vec<G1Affine> {
    let lines = ceremony.lines().skip(2).take(SLOTS as usize);
    let point = |line| {
        let bytes = hex::decode(line).unwrap();
        G1Affine::deserialize_compressed_unchecked(&bytes[..]).unwrap()
    };
    lines.map(point).collect()
}
