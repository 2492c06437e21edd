//! Computes commitments from fixed-base tables: to 128 values at once, or by the changes.
//!
//! All points share the few doublings between the columns of the tables, and all additions of one round share one
//! inversion.
//!
//! One commitment takes one core about a millisecond. The caller chooses the number of threads.

use std::sync::OnceLock;

use ark_bls12_381::{Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, Field, Zero, batch_inversion};
use rayon::ThreadPool;

use super::affine::{Affine, add_each};
use super::point::{G1Bytes, PointError, decode_g1, encode_g1};
use super::scalar::{Slot, roots_of_unity};
use super::setup::Setup;
use super::tables::{COLUMNS, Digits, Tables};
use crate::parallel;
use crate::params::WIDTH;

/// Number of additions below which they do not share an inversion: it would cost more than it saves.
const SHARED_ADDITIONS_MIN: usize = 40;
/// Least number of changes that are worth waking another thread.
const SHARDED_CHANGES_MIN: usize = 32;

/// A commitment as a point of the curve, which is updated from version to version.
///
/// ```
/// use trunkline_core::kzg::{CommitmentPoint, G1Bytes};
/// let empty = CommitmentPoint::IDENTITY;
/// assert_eq!(empty.to_bytes(), G1Bytes::IDENTITY);
/// assert_eq!(CommitmentPoint::try_from(G1Bytes::IDENTITY), Ok(empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitmentPoint(pub(super) G1Projective);

impl CommitmentPoint {
    /// The commitment to the empty state.
    pub const IDENTITY: Self = Self(G1Projective::ZERO);

    /// Returns the KZG root. Costs one inversion, so call it only when the bytes are needed.
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
    /// The slot.
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
    tables: Tables,
    pub(super) domain: Domain,
    /// For each slot, once it is needed, the opening for a value of 1 there and 0 elsewhere.
    pub(super) unit_openings: Box<[OnceLock<G1Affine>; WIDTH]>,
}

/// The 128th roots of unity, and the values that openings derive from them.
pub(super) struct Domain {
    /// ω^i
    pub(super) roots: [Fr; WIDTH],
    /// 1/(ω^i - 1), and 0 for i = 0
    pub(super) inverse_root_minus_one: [Fr; WIDTH],
}

impl Domain {
    fn new() -> Self {
        let roots = roots_of_unity();
        let mut inverse_root_minus_one = roots.map(|root| root - Fr::ONE);
        batch_inversion(&mut inverse_root_minus_one);
        Self {
            roots,
            inverse_root_minus_one,
        }
    }
}

impl Committer {
    /// Builds the tables and a committer with them.
    pub fn new(setup: &Setup) -> Self {
        Self::with_tables(Tables::build(setup))
    }

    /// Creates a committer with tables that were built earlier.
    pub fn with_tables(tables: Tables) -> Self {
        Self {
            tables,
            domain: Domain::new(),
            unit_openings: Box::new([const { OnceLock::new() }; WIDTH]),
        }
    }

    /// Returns the tables, for storing.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Returns the commitment to the polynomial with these values on the 128th roots of unity.
    pub fn commit(&self, values: &[Fr; WIDTH]) -> CommitmentPoint {
        CommitmentPoint(self.combine(Slot::all().zip(values.iter().copied())))
    }

    /// Returns the commitment after some slots changed: C + Σ (new - old)·L_i. Its cost grows with the number of
    /// changes; a change with equal values costs nothing.
    pub fn update(&self, point: &CommitmentPoint, changes: &[SlotChange]) -> CommitmentPoint {
        self.update_on(None, point, changes)
    }

    /// Works like [`Self::update`]. If there are many changes, it uses several threads: the calling one, and others of
    /// a pool.
    pub fn update_on(
        &self,
        pool: Option<(&ThreadPool, usize)>,
        point: &CommitmentPoint,
        changes: &[SlotChange],
    ) -> CommitmentPoint {
        let pool = pool.filter(|_| changes.len() >= SHARDED_CHANGES_MIN);
        let shards = pool.map_or(1, |(_, shards)| shards.max(1));
        let shards = changes.chunks(changes.len().div_ceil(shards).max(1));
        let mut sums: Vec<_> = shards.map(|shard| (shard, G1Projective::ZERO)).collect();
        parallel::each(pool, &mut sums, |(shard, sum)| {
            let differences = shard.iter();
            *sum = self.combine(differences.map(|change| (change.slot, change.new - change.old)));
        });
        let sums = sums.into_iter().map(|(_, sum)| sum);
        CommitmentPoint(sums.fold(point.0, |sum, part| sum + part))
    }

    /// Σ scalar·L_slot
    pub(super) fn combine(&self, terms: impl Iterator<Item = (Slot, Fr)>) -> G1Projective {
        let mut rows: Vec<Affine> = Vec::with_capacity(WIDTH * COLUMNS);
        for (slot, scalar) in terms.filter(|(_, scalar)| !scalar.is_zero()) {
            let (digits, entries) = (Digits::of(scalar), self.tables.of(slot));
            rows.extend((0..COLUMNS).map(|column| digits.entry(column, entries)));
        }
        sum_of_columns(rows)
    }
}

/// Σ_j 2^j · column j of rows of [`COLUMNS`] points each.
fn sum_of_columns(mut rows: Vec<Affine>) -> G1Projective {
    let mut scratch = Vec::new();
    loop {
        let count = rows.len() / COLUMNS;
        let (half, pairs) = (count.div_ceil(2), count / 2);
        if pairs * COLUMNS < SHARED_ADDITIONS_MIN {
            break;
        }
        let (left, right) = rows.split_at_mut(half * COLUMNS);
        add_each(left, right, &mut scratch);
        rows.truncate(half * COLUMNS);
    }
    let mut sum = G1Projective::ZERO;
    for column in (0..COLUMNS).rev() {
        sum.double_in_place();
        for row in rows.chunks_exact(COLUMNS) {
            sum += G1Affine::from(row[column]);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use ark_ec::VariableBaseMSM;

    use super::super::scalar::root_of_unity;
    use super::super::setup::tests::insecure_from_known_tau_for_tests;
    use super::*;

    fn values_of(seed: u64) -> [Fr; WIDTH] {
        core::array::from_fn(|slot| Fr::from(seed + slot as u64).pow([77_777]))
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
        let rows = [generator, generator, generator, -generator, generator];
        let rows = rows.map(|point| [Affine::from(point); COLUMNS]);
        let all_columns = G1Projective::from(generator) * Fr::from((1_u64 << COLUMNS) - 1);
        assert_eq!(sum_of_columns(rows.concat()), all_columns * Fr::from(3));
    }

    #[test]
    fn a_committer_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Committer>();
    }
}
