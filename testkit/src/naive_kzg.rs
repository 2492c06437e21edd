//! KZG by definition: interpolate, divide, multiply by the powers of τ. Slow on purpose.
//!
//! It shares no code with `trunkline-core`.

use ark_bls12_381::{Fr, G1Affine, G1Projective};
use ark_ec::VariableBaseMSM;
use ark_ff::{BigInteger, Field, One, PrimeField, Zero};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

/// The text of the ceremony that `trunkline-core` embeds.
pub const CEREMONY: &str = include_str!("../../core/data/ceremony-128.txt");

const SLOTS: u64 = 128;

/// A polynomial, with what its commitment needs.
pub struct NaiveKzg {
    powers: Vec<G1Affine>,
    omega: Fr,
    coefficients: Vec<Fr>,
}

impl NaiveKzg {
    /// Makes the polynomial with these values, 32 bytes big-endian each, on the roots of unity.
    pub fn new(ceremony: &str, values: &[[u8; 32]]) -> Self {
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

    /// Returns the commitment to the polynomial.
    pub fn commitment(&self) -> [u8; 48] {
        self.commit(&self.coefficients)
    }

    /// Returns the opening at z = ω^slot.
    pub fn open(&self, slot: usize) -> [u8; 48] {
        self.open_at(self.point(slot))
    }

    /// Returns the commitment to (p(X) - p(z)) / (X - z).
    pub fn open_at(&self, z: Fr) -> [u8; 48] {
        self.commit(&divide(&self.coefficients, &z))
    }

    fn point(&self, slot: usize) -> Fr {
        self.omega.pow([slot as u64])
    }

    fn commit(&self, coefficients: &[Fr]) -> [u8; 48] {
        let point = G1Projective::msm(&self.powers, coefficients).unwrap();
        let mut bytes = [0; 48];
        point.serialize_compressed(&mut bytes[..]).unwrap();
        bytes
    }
}

/// A version, its polynomial, and the slots to open, ascending.
pub type Opened<'a> = (u64, &'a NaiveKzg, Vec<usize>);

/// Returns W and W′ of an aggregate, by polynomials in coefficients.
pub fn aggregate(setup_id: &[u8; 32], versions: &[Opened<'_>]) -> [[u8; 48]; 2] {
    let seed = keyed("aggregate weight", &transcript(setup_id, versions));
    let gamma = challenge(&seed);
    let mut power = Fr::one();
    let mut quotient = vec![Fr::zero(); SLOTS as usize];
    let mut parts = Vec::new();
    for (_, kzg, slots) in versions {
        let points: Vec<Fr> = slots.iter().map(|slot| kzg.point(*slot)).collect();
        let values: Vec<Fr> = points
            .iter()
            .map(|point| evaluate(&kzg.coefficients, point))
            .collect();
        let rest = lagrange(&points, &values);
        let mut part: Vec<Fr> = kzg.coefficients.clone();
        part.iter_mut()
            .zip(&rest)
            .for_each(|(part, rest)| *part -= rest);
        for point in &points {
            part = divide(&part, point);
        }
        quotient
            .iter_mut()
            .zip(&part)
            .for_each(|(sum, part)| *sum += power * part);
        parts.push((power, points, rest));
        power *= gamma;
    }
    let first = versions[0].1.commit(&quotient);
    let z = challenge(&keyed("aggregate point", &[&seed[..], &first].concat()));
    let mut combined: Vec<Fr> = quotient.iter().map(|coefficient| -*coefficient).collect();
    for ((power, points, rest), (_, kzg, _)) in parts.iter().zip(versions) {
        let vanishing: Fr = points.iter().map(|point| z - point).product();
        let factor = *power / vanishing;
        combined[0] -= factor * evaluate(rest, &z);
        for (sum, coefficient) in combined.iter_mut().zip(&kzg.coefficients) {
            *sum += factor * coefficient;
        }
    }
    [first, versions[0].1.commit(&divide(&combined, &z))]
}

/// Returns the seed of an aggregate, and its z as 32 bytes.
pub fn challenges(setup_id: &[u8; 32], versions: &[Opened<'_>]) -> [[u8; 32]; 2] {
    let seed = keyed("aggregate weight", &transcript(setup_id, versions));
    let [quotient, _] = aggregate(setup_id, versions);
    let mut z = keyed("aggregate point", &[&seed[..], &quotient].concat());
    z[0] &= 0b0011_1111;
    [seed, z]
}

fn transcript(setup_id: &[u8; 32], versions: &[Opened<'_>]) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(setup_id);
    bytes.extend((versions.len() as u64).to_le_bytes());
    for (version, kzg, slots) in versions {
        bytes.extend(version.to_le_bytes());
        bytes.extend(kzg.commitment());
        bytes.extend((slots.len() as u64).to_le_bytes());
        for slot in slots {
            bytes.push(*slot as u8);
            let value = evaluate(&kzg.coefficients, &kzg.point(*slot));
            bytes.extend(value.into_bigint().to_bytes_be());
        }
    }
    bytes
}

fn keyed(name: &str, body: &[u8]) -> [u8; 32] {
    let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    *blake3::keyed_hash(&key, body).as_bytes()
}

/// Returns a digest as a number, big-endian, without its two highest bits.
fn challenge(digest: &[u8; 32]) -> Fr {
    let mut bytes = *digest;
    bytes[0] &= 0b0011_1111;
    Fr::from_be_bytes_mod_order(&bytes)
}

fn evaluate(coefficients: &[Fr], point: &Fr) -> Fr {
    let powers = coefficients.iter().rev();
    powers.fold(Fr::zero(), |sum, coefficient| sum * point + coefficient)
}

/// Returns the quotient of a division by X - point, without the remainder.
fn divide(coefficients: &[Fr], point: &Fr) -> Vec<Fr> {
    let mut quotient = vec![Fr::zero(); coefficients.len()];
    let mut carry = Fr::zero();
    for (place, coefficient) in coefficients.iter().enumerate().rev() {
        quotient[place] = carry;
        carry = carry * point + coefficient;
    }
    quotient
}

/// Returns the polynomial of least degree with these values at these points.
fn lagrange(points: &[Fr], values: &[Fr]) -> Vec<Fr> {
    let mut sum = vec![Fr::zero(); SLOTS as usize];
    for (i, value) in values.iter().enumerate() {
        let mut basis = vec![Fr::zero(); SLOTS as usize + 1];
        basis[0] = Fr::one();
        let mut scale = Fr::one();
        for (j, point) in points.iter().enumerate().filter(|(j, _)| *j != i) {
            scale *= points[i] - point;
            debug_assert!(j < SLOTS as usize);
            for place in (0..basis.len()).rev() {
                let below = if place == 0 {
                    Fr::zero()
                } else {
                    basis[place - 1]
                };
                basis[place] = below - *point * basis[place];
            }
        }
        let factor = *value / scale;
        sum.iter_mut()
            .zip(&basis)
            .for_each(|(sum, basis)| *sum += factor * basis);
    }
    sum
}

/// Returns 7 to the power (r - 1) / 128.
fn omega() -> Fr {
    let mut exponent = -Fr::from(1);
    exponent /= Fr::from(SLOTS);
    // (r - 1) / 128 is exact as an integer, so the field's quotient is that integer.
    Fr::from(7).pow(exponent.into_bigint())
}

/// Returns the inverse transform by its sum: c_j = 1/128 Σ v_i ω^(-ij).
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
