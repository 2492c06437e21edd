//! Commitments from fixed-base tables: to 128 values at once, or by what changed.
//!
//! Each Lagrange point L has a signed comb (Lim, Lee, CRYPTO 1994; all digits ±1 as in Hamburg,
//! ePrint 2012/309): the digits of a scalar are cut into [`TABLE_BITS`] rows, and a column of one
//! digit from each row is one table entry or its negative. All points share the few doublings
//! between columns, and many additions share one inversion (Montgomery's trick).
//!
//! Deliberately not here: threads. One commitment is one core's work of about a millisecond.

use ark_bls12_381::{Fq, Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, Field, MontFp, PrimeField, Zero, batch_inversion};

use super::point::{G1Bytes, PointError, decode_g1, encode_g1};
use super::scalar::{Slot, root_of_unity};
use super::setup::Setup;
use crate::params::WIDTH;

/// Digits that one table entry stands for. 8 makes tables of 1.5 MiB, which fit a core's own
/// cache; 10 would save a fifth of the additions for 6 MiB.
pub const TABLE_BITS: usize = 8;

/// Digits of a scalar: the least multiple of [`TABLE_BITS`] above the field's 255 bits.
const DIGITS: usize = 256;
const COLUMNS: usize = DIGITS / TABLE_BITS;
/// Entries of one point: half of the sign patterns, the other half are their negatives.
const ENTRIES: usize = 1 << (TABLE_BITS - 1);

/// Columns narrower than this are summed one point after another: an inversion would not pay.
const BATCH_WIDTH_MIN: usize = 4;

/// 1/2
const HALF: Fr =
    MontFp!("26217937587563095239723870254092982918845276250263818911301829349969290592257");
/// (2^256 - 1)/2, half the sum of all digits' weights
const HALF_OF_ALL_DIGITS: Fr =
    MontFp!("31678107031095002472061622250250971007789716082556463108426962653987274227711");

/// A commitment as a point of the curve, carried from version to version.
///
/// ```
/// use trunkline_core::kzg::{CommitmentPoint, G1Bytes};
/// let empty = CommitmentPoint::IDENTITY;
/// assert_eq!(empty.to_bytes(), G1Bytes::IDENTITY);
/// assert_eq!(CommitmentPoint::try_from(G1Bytes::IDENTITY), Ok(empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitmentPoint(G1Projective);

impl CommitmentPoint {
    /// The commitment to the empty state.
    pub const IDENTITY: Self = Self(G1Projective::ZERO);

    /// The KZG root. Costs one inversion: ask for it when the bytes are needed.
    pub fn to_bytes(&self) -> G1Bytes {
        G1Bytes(encode_g1(&self.0.into_affine()))
    }
}

impl TryFrom<G1Bytes> for CommitmentPoint {
    type Error = PointError;

    fn try_from(bytes: G1Bytes) -> Result<Self, PointError> {
        Ok(Self(decode_g1(&bytes.0)?.into_group()))
    }
}

/// One slot's value before and after a version.
///
/// ```
/// use trunkline_core::kzg::{Slot, SlotChange, slot_value};
/// let change = SlotChange {
///     slot: Slot::new(3)?,
///     old: slot_value(&[0; 32]),
///     new: slot_value(&[9; 32]),
/// };
/// assert_ne!(change.old, change.new);
/// # Ok::<(), trunkline_core::kzg::SlotError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotChange {
    /// Which slot.
    pub slot: Slot,
    /// Its value in the commitment that is updated.
    pub old: Fr,
    /// Its value in the new commitment.
    pub new: Fr,
}

/// Commits to the values of the 128 slots and opens them. Immutable: share it behind an `Arc`.
///
/// ```
/// use trunkline_core::kzg::{
///     Committer, Setup, Slot, encode_scalar, slot_point, slot_value, verify_opening,
/// };
/// let committer = Committer::new(&Setup::ceremony()?);
/// let values = core::array::from_fn(|slot| slot_value(&[slot as u8; 32]));
/// let root = committer.commit(&values).to_bytes();
/// let slot = Slot::new(5)?;
/// let proof = committer.open(&values, slot);
/// let value = encode_scalar(&values[slot.index()]);
/// assert_eq!(verify_opening(&root.0, &slot_point(slot), &value, &proof.0), Ok(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Committer {
    /// [`ENTRIES`] for each slot: entry `b` is Σ_t ±2^(t·COLUMNS)·L, plus where bit t of `b` is
    /// set, and plus in the topmost row.
    entries: Vec<G1Affine>,
    pub(super) domain: Domain,
}

/// The 128th roots of unity and what the openings need of them.
pub(super) struct Domain {
    /// ω^i
    pub(super) roots: [Fr; WIDTH],
    /// 1/(ω^i - 1), and 0 for i = 0
    pub(super) inverse_root_minus_one: [Fr; WIDTH],
}

impl Domain {
    fn new() -> Self {
        let mut roots = [Fr::ZERO; WIDTH];
        for (root, slot) in roots.iter_mut().zip(Slot::all()) {
            *root = root_of_unity(slot);
        }
        let mut inverse_root_minus_one = roots.map(|root| root - Fr::ONE);
        batch_inversion(&mut inverse_root_minus_one);
        Self {
            roots,
            inverse_root_minus_one,
        }
    }
}

impl Committer {
    /// Builds the tables: tens of milliseconds.
    pub fn new(setup: &Setup) -> Self {
        let entries: Vec<G1Projective> = setup.lagrange().iter().flat_map(comb).collect();
        Self {
            entries: G1Projective::normalize_batch(&entries),
            domain: Domain::new(),
        }
    }

    /// The commitment to the polynomial with these values on the 128th roots of unity.
    pub fn commit(&self, values: &[Fr; WIDTH]) -> CommitmentPoint {
        CommitmentPoint(self.combine(Slot::all().zip(values.iter().copied())))
    }

    /// The commitment after some slots changed: C + Σ (new - old)·L_i. Its cost grows with
    /// the number of changes; one whose values are equal costs nothing.
    pub fn update(&self, point: &CommitmentPoint, changes: &[SlotChange]) -> CommitmentPoint {
        let differences = changes
            .iter()
            .map(|change| (change.slot, change.new - change.old));
        CommitmentPoint(point.0 + self.combine(differences))
    }

    /// Σ scalar·L_slot
    fn combine(&self, terms: impl Iterator<Item = (Slot, Fr)>) -> G1Projective {
        let terms: Vec<(Slot, Rows)> = terms
            .filter(|(_, scalar)| !scalar.is_zero())
            .map(|(slot, scalar)| (slot, Rows::of(scalar)))
            .collect();
        let mut columns = Columns {
            width: terms.len(),
            points: vec![G1Affine::identity(); COLUMNS * terms.len()],
        };
        for (place, (slot, rows)) in terms.iter().enumerate() {
            let entries = &self.entries[slot.index() * ENTRIES..][..ENTRIES];
            for column in 0..COLUMNS {
                columns.points[column * columns.width + place] = rows.entry(column, entries);
            }
        }
        while columns.width >= BATCH_WIDTH_MIN {
            columns.halve();
        }
        columns.sum()
    }
}

/// The table of one point.
fn comb(point: &G1Affine) -> Vec<G1Projective> {
    let mut rows = [point.into_group(); TABLE_BITS];
    for row in 1..TABLE_BITS {
        rows[row] = rows[row - 1];
        for _ in 0..COLUMNS {
            rows[row].double_in_place();
        }
    }
    let (lower, top) = rows.split_at(TABLE_BITS - 1);
    let all_minus: G1Projective = top[0] - lower.iter().sum::<G1Projective>();
    let mut entries = vec![all_minus];
    for row in lower {
        // The entries with this row's bit set follow those without it.
        let twice = row.double();
        for entry in 0..entries.len() {
            entries.push(entries[entry] + twice);
        }
    }
    entries
}

/// The digits ±1 of a scalar, Σ d_i·2^i: bit i is set where d_i = 1. One word is one row.
struct Rows([u32; TABLE_BITS]);

impl Rows {
    /// Since d_i = 2·b_i - 1, the bits b are those of (scalar + 2^256 - 1)/2.
    fn of(scalar: Fr) -> Self {
        let [a, b, c, d] = (scalar * HALF + HALF_OF_ALL_DIGITS).into_bigint().0;
        Self([a, a >> 32, b, b >> 32, c, c >> 32, d, d >> 32].map(|word| word as u32))
    }

    /// What this column of digits adds to the sum.
    fn entry(&self, column: usize, entries: &[G1Affine]) -> G1Affine {
        let digits = self.0.iter().enumerate();
        let pattern: usize = digits
            .map(|(row, word)| ((word >> column & 1) as usize) << row)
            .sum();
        if pattern >= ENTRIES {
            entries[pattern - ENTRIES]
        } else {
            -entries[ENTRIES - 1 - pattern]
        }
    }
}

/// The points to add up, column by column, each column `width` points.
struct Columns {
    width: usize,
    points: Vec<G1Affine>,
}

impl Columns {
    /// Adds the points of each column in pairs, all columns with one inversion.
    fn halve(&mut self) {
        let pairs = self.points.chunks_exact(self.width);
        let mut inverses: Vec<Fq> = pairs
            .flat_map(|column| column.as_chunks::<2>().0)
            .map(|[a, b]| b.x - a.x)
            .collect();
        batch_inversion(&mut inverses);
        let mut inverses = inverses.into_iter();
        let mut halved = Vec::with_capacity(COLUMNS * self.width.div_ceil(2));
        for column in self.points.chunks_exact(self.width) {
            let (pairs, last) = column.as_chunks::<2>();
            halved.extend(
                pairs
                    .iter()
                    .zip(&mut inverses)
                    .map(|([a, b], i)| add(a, b, i)),
            );
            halved.extend_from_slice(last);
        }
        self.width = self.width.div_ceil(2);
        self.points = halved;
    }

    /// Σ_j 2^j · column j
    fn sum(&self) -> G1Projective {
        let mut sum = G1Projective::ZERO;
        if self.width == 0 {
            return sum;
        }
        for column in self.points.chunks_exact(self.width).rev() {
            sum.double_in_place();
            for point in column {
                sum += point;
            }
        }
        sum
    }
}

/// a + b in affine form, given 1/(b.x - a.x), or 0 where the two have the same x.
fn add(a: &G1Affine, b: &G1Affine, inverse: Fq) -> G1Affine {
    if inverse.is_zero() || a.is_zero() || b.is_zero() {
        return (a.into_group() + b).into_affine();
    }
    let slope = (b.y - a.y) * inverse;
    let x = slope.square() - a.x - b.x;
    let y = slope * (a.x - x) - a.y;
    G1Affine::new_unchecked(x, y)
}

#[cfg(test)]
mod tests {
    use ark_ec::VariableBaseMSM;

    use super::super::setup::tests::insecure_from_known_tau_for_tests;
    use super::*;

    fn values_of(seed: u64) -> [Fr; WIDTH] {
        core::array::from_fn(|slot| Fr::from(seed + slot as u64).pow([77_777]))
    }

    #[test]
    fn digits_make_up_the_scalar_again() {
        for scalar in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(7).pow([1234])] {
            let words = Rows::of(scalar).0;
            let mut sum = Fr::ZERO;
            for digit in (0..DIGITS).rev() {
                let plus = words[digit / COLUMNS] >> (digit % COLUMNS) & 1 == 1;
                sum = sum.double() + if plus { Fr::ONE } else { -Fr::ONE };
            }
            assert_eq!(sum, scalar);
        }
    }

    #[test]
    fn tables_give_what_a_plain_multiplication_gives() {
        let setup = Setup::ceremony().expect("the embedded setup");
        let committer = Committer::new(&setup);
        let values = values_of(3);
        for count in [0, 1, 2, 7, 8, 9, 33, 127, 128] {
            let terms = Slot::all().zip(values).take(count);
            let expected =
                G1Projective::msm_unchecked(&setup.lagrange()[..count], &values[..count]);
            assert_eq!(committer.combine(terms), expected, "{count} terms");
        }
    }

    #[test]
    fn degenerate_points_are_added_correctly() {
        // A secret on the domain makes all Lagrange points but one the identity.
        for (tau, slot) in [(Fr::ONE, 0), (root_of_unity(Slot::new(9).expect("9")), 9)] {
            let committer = Committer::new(&insecure_from_known_tau_for_tests(tau));
            let values = values_of(11);
            let expected = G1Affine::generator() * values[slot];
            assert_eq!(committer.commit(&values), CommitmentPoint(expected));
        }
    }

    #[test]
    fn equal_and_opposite_points_are_added_correctly() {
        let generator = G1Affine::generator();
        let mut columns = Columns {
            width: 5,
            points: [generator, generator, generator, -generator, generator].repeat(COLUMNS),
        };
        let expected = columns.sum();
        columns.halve();
        assert_eq!(columns.width, 3);
        assert_eq!(columns.sum(), expected);
    }

    #[test]
    fn a_committer_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Committer>();
    }
}
