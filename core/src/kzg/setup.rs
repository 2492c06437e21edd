//! The points of the ceremony: reads and checks them, and turns them into Lagrange form.
//!
//! With τ, a commitment can be opened to anything, so a setup with a known τ exists only in the unit tests of this
//! crate.

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::Zero;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

use super::check::Weights;
use super::point::decode_g1;
use crate::hash;
use crate::params::{SETUP_ID, WIDTH};

/// Number of G1 powers that are used: one for each coefficient of a polynomial over the slots.
const G1_POWERS: usize = WIDTH;
/// Number of G2 powers that the ceremony published.
const G2_POWERS: usize = 65;
/// Number of G1 powers that the ceremony published.
const G1_POWERS_PUBLISHED: usize = 4096;
const G1_BYTES: usize = 48;
const G2_BYTES: usize = 96;

const CEREMONY: &str = include_str!("../../data/ceremony-128.txt");

/// The reason why a setup was refused.
///
/// ```
/// use trunkline_core::kzg::{Setup, SetupError};
/// let one_line_alone = Setup::from_trusted_setup_text("4096\n").unwrap_err();
/// assert!(matches!(one_line_alone, SetupError::Shape { line: 2, .. }));
/// assert!(one_line_alone.to_string().ends_with("use the whole file"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A count in the first two lines, or the number of lines, is wrong.
    #[error("line {line} does not fit a file of {g1} G1 and {g2} G2 points; use the whole file")]
    Shape {
        /// Number of the line, from 1.
        line: usize,
        /// Expected number of G1 points of each kind.
        g1: usize,
        /// Expected number of G2 points.
        g2: usize,
    },
    /// A line is not a compressed point in hexadecimal digits.
    #[error("line {line} is not {bytes} bytes in hexadecimal digits; download the file again")]
    Hex {
        /// Number of the line, from 1.
        line: usize,
        /// Size of a point of that kind in bytes.
        bytes: usize,
    },
    /// The points are not those of the public ceremony.
    #[error("the points hash to another setup id; only the public ceremony's points are accepted")]
    OtherPoints,
    /// A G1 power is not the canonical encoding of a point of the subgroup.
    #[error("G1 power {index} is not a canonical point of the subgroup")]
    G1Point {
        /// The exponent of the power.
        index: usize,
    },
    /// A G2 power is not the canonical encoding of a point of the subgroup.
    #[error("G2 power {index} is not a canonical point of the subgroup")]
    G2Point {
        /// The exponent of the power.
        index: usize,
    },
    /// The zeroth powers are not the generators.
    #[error("the zeroth powers are not the generators of G1 and G2")]
    Generators,
    /// The points are not the powers of one secret.
    #[error("the points are not consecutive powers of one secret")]
    Powers,
}

/// A checked setup: the commitments to the 128 Lagrange polynomials.
///
/// ```
/// use trunkline_core::kzg::Setup;
/// let setup = Setup::ceremony()?;
/// assert_eq!(setup.lagrange().len(), 128);
/// # Ok::<(), trunkline_core::kzg::SetupError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    lagrange: Vec<G1Affine>,
}

impl Setup {
    /// Returns the setup of the embedded points of the public Ethereum ceremony.
    ///
    /// Each call checks the hash of the points ([`SETUP_ID`]), their encodings and subgroups, the generators, and that
    /// the points are powers of one secret.
    pub fn ceremony() -> Result<Self, SetupError> {
        Self::pinned(&read_points(CEREMONY, &EMBEDDED_FORM)?)
    }

    /// Parses the same points from the full public file, c-kzg's `trusted_setup.txt`.
    ///
    /// Its lines: `4096`, `65`, 4096 G1 Lagrange points, 65 G2 powers, 4096 G1 powers. The first 128 G1 powers and the
    /// G2 powers must be the pinned ones; only the number and length of the other points, which are not used, are
    /// checked.
    pub fn from_trusted_setup_text(text: &str) -> Result<Self, SetupError> {
        Self::pinned(&read_points(text, &PUBLISHED_FORM)?)
    }

    /// Returns the commitment to each Lagrange polynomial of the 128th roots of unity, by slot.
    pub fn lagrange(&self) -> &[G1Affine] {
        &self.lagrange
    }

    fn pinned(points: &[u8]) -> Result<Self, SetupError> {
        if hash::hash(points) != SETUP_ID {
            return Err(SetupError::OtherPoints);
        }
        Self::checked(points)
    }

    /// Makes all checks that do not need the right points.
    fn checked(points: &[u8]) -> Result<Self, SetupError> {
        let powers = Powers::decode(points)?;
        if powers.g1[0] != G1Affine::generator() || powers.g2[0] != G2Affine::generator() {
            return Err(SetupError::Generators);
        }
        if !powers.are_consecutive(&Weights::of_bytes(points)) {
            return Err(SetupError::Powers);
        }
        Ok(Self {
            lagrange: lagrange_points(&powers.g1),
        })
    }
}

/// The form of a text with points.
struct TextForm {
    g1_powers: usize,
    /// Number of G1 points in Lagrange form before the powers, which are skipped.
    g1_lagrange: usize,
    g2_powers_first: bool,
}

const EMBEDDED_FORM: TextForm = TextForm {
    g1_powers: G1_POWERS,
    g1_lagrange: 0,
    g2_powers_first: false,
};

const PUBLISHED_FORM: TextForm = TextForm {
    g1_powers: G1_POWERS_PUBLISHED,
    g1_lagrange: G1_POWERS_PUBLISHED,
    g2_powers_first: true,
};

/// Returns the bytes of the 128 G1 powers and the 65 G2 powers, in that order.
fn read_points(text: &str, form: &TextForm) -> Result<Vec<u8>, SetupError> {
    let mut lines = PointLines::new(text, form.g1_powers);
    lines.count(form.g1_powers)?;
    lines.count(G2_POWERS)?;
    lines.points(form.g1_lagrange, G1_BYTES)?;
    let (mut g1, g2) = if form.g2_powers_first {
        let g2 = lines.points(G2_POWERS, G2_BYTES)?;
        (lines.points(form.g1_powers, G1_BYTES)?, g2)
    } else {
        let g1 = lines.points(form.g1_powers, G1_BYTES)?;
        (g1, lines.points(G2_POWERS, G2_BYTES)?)
    };
    lines.end()?;
    g1.truncate(G1_POWERS * G1_BYTES);
    g1.extend_from_slice(&g2);
    Ok(g1)
}

/// A cursor over the lines of a setup text.
struct PointLines<'a> {
    lines: core::str::Lines<'a>,
    /// Number of lines taken so far.
    line: usize,
    /// Number of G1 points of each kind that the text should have, for errors.
    g1: usize,
}

impl<'a> PointLines<'a> {
    fn new(text: &'a str, g1: usize) -> Self {
        Self {
            lines: text.lines(),
            line: 0,
            g1,
        }
    }

    fn next(&mut self) -> Result<&'a str, SetupError> {
        self.line += 1;
        self.lines
            .next()
            .map(str::trim_ascii_end)
            .ok_or(self.shape())
    }

    fn count(&mut self, expected: usize) -> Result<(), SetupError> {
        if self.next()?.parse() != Ok(expected) {
            return Err(self.shape());
        }
        Ok(())
    }

    /// Returns the bytes of `count` points, each on its own line.
    fn points(&mut self, count: usize, point_bytes: usize) -> Result<Vec<u8>, SetupError> {
        let mut bytes = vec![0; count * point_bytes];
        for point in bytes.chunks_exact_mut(point_bytes) {
            let digits = self.next()?;
            hex::decode_to_slice(digits, point).map_err(|_| SetupError::Hex {
                line: self.line,
                bytes: point_bytes,
            })?;
        }
        Ok(bytes)
    }

    fn end(mut self) -> Result<(), SetupError> {
        match self.next() {
            Ok(_) => Err(self.shape()),
            Err(_) => Ok(()),
        }
    }

    fn shape(&self) -> SetupError {
        SetupError::Shape {
            line: self.line,
            g1: self.g1,
            g2: G2_POWERS,
        }
    }
}

/// Powers of the secret on both generators, each known to be in its subgroup.
struct Powers {
    g1: Vec<G1Affine>,
    g2: Vec<G2Affine>,
}

impl Powers {
    fn decode(points: &[u8]) -> Result<Self, SetupError> {
        let (g1, g2) = points.split_at(G1_POWERS * G1_BYTES);
        let g1 = g1.as_chunks().0.iter().enumerate();
        let g2 = g2.as_chunks().0.iter().enumerate();
        Ok(Self {
            g1: g1
                .map(|(index, bytes)| decode_g1(bytes).map_err(|_| SetupError::G1Point { index }))
                .collect::<Result<_, _>>()?,
            g2: g2
                .map(|(index, bytes)| decode_g2(bytes).ok_or(SetupError::G2Point { index }))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Returns whether P_i+1 = τ·P_i for all G1 powers and Q_j+1 = τ·Q_j for all G2 powers, with one check:
    ///
    /// `e(Σ r_i·P_i+1, Q_0) · e(-Σ r_i·P_i, Q_1) · e(P_0, Σ s_j·Q_j+1) · e(-P_1, Σ s_j·Q_j) = 1`
    ///
    /// with weights r, s drawn from a hash of the points.
    fn are_consecutive(&self, weights: &Weights) -> bool {
        let weights: Vec<Fr> = (0..G1_POWERS + G2_POWERS - 2)
            .map(|index| weights.weight(index as u64))
            .collect();
        let (g1_weights, g2_weights) = weights.split_at(G1_POWERS - 1);
        let g1_sum = |powers: &[G1Affine]| G1Projective::msm_unchecked(powers, g1_weights);
        let g2_sum = |powers: &[G2Affine]| G2Projective::msm_unchecked(powers, g2_weights);
        let g1 = [
            g1_sum(&self.g1[1..]).into_affine(),
            (-g1_sum(&self.g1[..G1_POWERS - 1])).into_affine(),
            self.g1[0],
            -self.g1[1],
        ];
        let g2 = [
            self.g2[0],
            self.g2[1],
            g2_sum(&self.g2[1..]).into_affine(),
            g2_sum(&self.g2[..G2_POWERS - 1]).into_affine(),
        ];
        let product = Bls12_381::multi_miller_loop(g1, g2);
        Bls12_381::final_exponentiation(product).is_some_and(|output| output.is_zero())
    }
}

fn decode_g2(bytes: &[u8; G2_BYTES]) -> Option<G2Affine> {
    let point = G2Affine::deserialize_compressed(&bytes[..]).ok()?;
    let mut again = [0; G2_BYTES];
    point.serialize_compressed(&mut again[..]).ok()?;
    (again == *bytes).then_some(point)
}

/// Returns L_i = 1/128 · Σ_j ω^-ij · τ^j·G: an inverse Fourier transform over the group.
fn lagrange_points(powers: &[G1Affine]) -> Vec<G1Affine> {
    let domain = Radix2EvaluationDomain::<Fr>::new(WIDTH).expect("128 divides the order minus one");
    let powers: Vec<G1Projective> = powers.iter().map(|power| power.into_group()).collect();
    G1Projective::normalize_batch(&domain.ifft(&powers))
}

#[cfg(test)]
pub(crate) mod tests {
    use ark_ff::{Field, One};

    use super::super::point::encode_g1;
    use super::super::scalar::{Slot, root_of_unity};
    use super::*;

    const POWERS_BYTES: usize = G1_POWERS * G1_BYTES + G2_POWERS * G2_BYTES;

    /// Returns a setup whose secret is known: worthless except for comparison with plain arithmetic.
    pub(crate) fn insecure_from_known_tau_for_tests(tau: Fr) -> Setup {
        Setup::checked(&points_of(tau)).expect("powers of one secret")
    }

    fn points_of(tau: Fr) -> Vec<u8> {
        let mut points = Vec::new();
        for exponent in 0..G1_POWERS as u64 {
            let power = G1Affine::generator() * tau.pow([exponent]);
            points.extend_from_slice(&encode_g1(&power.into_affine()));
        }
        for exponent in 0..G2_POWERS as u64 {
            let power = G2Affine::generator() * tau.pow([exponent]);
            power
                .serialize_compressed(&mut points)
                .expect("a vector takes every byte");
        }
        assert_eq!(points.len(), POWERS_BYTES);
        points
    }

    fn ceremony_points() -> Vec<u8> {
        read_points(CEREMONY, &EMBEDDED_FORM).expect("the embedded text")
    }

    fn swap_g1(points: &mut [u8], a: usize, b: usize) {
        for byte in 0..G1_BYTES {
            points.swap(a * G1_BYTES + byte, b * G1_BYTES + byte);
        }
    }

    #[test]
    fn the_lagrange_points_sum_to_the_generator_and_their_weighted_sum_to_tau() {
        let setup = Setup::ceremony().expect("the embedded setup");
        let sum: G1Projective = setup.lagrange.iter().map(|point| point.into_group()).sum();
        assert_eq!(sum, G1Affine::generator());
        // The polynomial X has the value ω^i in slot i.
        let roots: Vec<Fr> = Slot::all().map(root_of_unity).collect();
        let identity_polynomial = G1Projective::msm_unchecked(&setup.lagrange, &roots);
        let powers = Powers::decode(&ceremony_points()).expect("the embedded points");
        assert_eq!(identity_polynomial, powers.g1[1]);
    }

    #[test]
    fn a_secret_on_the_domain_makes_one_lagrange_point_the_generator() {
        let setup = insecure_from_known_tau_for_tests(Fr::one());
        assert_eq!(setup.lagrange[0], G1Affine::generator());
        assert!(setup.lagrange[1..].iter().all(AffineRepr::is_zero));
    }

    #[test]
    fn any_changed_point_is_another_setup() {
        for byte in [0, 60, G1_POWERS * G1_BYTES, POWERS_BYTES - 1] {
            let mut points = ceremony_points();
            points[byte] ^= 1;
            assert_eq!(Setup::pinned(&points), Err(SetupError::OtherPoints));
        }
        let foreign = points_of(Fr::from(2));
        assert_eq!(Setup::pinned(&foreign), Err(SetupError::OtherPoints));
    }

    #[test]
    fn swapped_powers_are_not_consecutive() {
        let mut points = ceremony_points();
        swap_g1(&mut points, 126, 127);
        assert_eq!(Setup::checked(&points), Err(SetupError::Powers));
    }

    #[test]
    fn one_foreign_power_in_either_group_is_not_consecutive() {
        let foreign = points_of(Fr::from(5));
        for at in [
            G1_BYTES..2 * G1_BYTES,
            POWERS_BYTES - 65 * G2_BYTES - G1_BYTES..POWERS_BYTES - 65 * G2_BYTES,
            POWERS_BYTES - 64 * G2_BYTES..POWERS_BYTES - 63 * G2_BYTES,
            POWERS_BYTES - G2_BYTES..POWERS_BYTES,
        ] {
            let mut points = ceremony_points();
            points[at.clone()].copy_from_slice(&foreign[at]);
            assert_eq!(Setup::checked(&points), Err(SetupError::Powers));
        }
    }

    #[test]
    fn two_secrets_for_the_two_groups_are_not_consecutive() {
        let mut points = points_of(Fr::from(5));
        let g2 = G1_POWERS * G1_BYTES..;
        points[g2.clone()].copy_from_slice(&points_of(Fr::from(6))[g2]);
        assert_eq!(Setup::checked(&points), Err(SetupError::Powers));
    }

    #[test]
    fn powers_that_do_not_start_at_the_generator_are_refused() {
        let mut points = ceremony_points();
        swap_g1(&mut points, 0, 1);
        assert_eq!(Setup::checked(&points), Err(SetupError::Generators));
    }

    #[test]
    fn points_outside_of_the_subgroup_are_refused() {
        let mut points = ceremony_points();
        // (0, 2) has order 3.
        points[5 * G1_BYTES..6 * G1_BYTES].fill(0);
        points[5 * G1_BYTES] = 0x80;
        assert_eq!(
            Setup::checked(&points),
            Err(SetupError::G1Point { index: 5 })
        );

        let mut points = ceremony_points();
        let outside = (1_u64..)
            .filter_map(|x| G2Affine::get_point_from_x_unchecked(x.into(), false))
            .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
            .expect("nearly every point of the twist");
        let at = G1_POWERS * G1_BYTES + 7 * G2_BYTES;
        outside
            .serialize_compressed(&mut points[at..at + G2_BYTES])
            .expect("room for a point");
        assert_eq!(
            Setup::checked(&points),
            Err(SetupError::G2Point { index: 7 })
        );
    }
}
