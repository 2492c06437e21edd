//! Fixed-base tables over the Lagrange points: their content, their construction, and their form as bytes.
//!
//! Each Lagrange point L has a signed comb (Lim, Lee, CRYPTO 1994; all digits ±1 as in Hamburg, ePrint 2012/309): the
//! digits of a scalar are cut into [`TABLE_BITS`] rows of [`COLUMNS`], and a column of one digit from each row is one
//! entry or its negative.
//!
//! The engine stores the bytes in a file.

use ark_bls12_381::{Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInt, MontFp, PrimeField};

use super::affine::{Affine, add_each};
use super::scalar::Slot;
use super::setup::Setup;
use crate::hash::{self, Digest};
use crate::params::{SETUP_ID, WIDTH};

/// Number of digits that one table entry represents. 10 makes tables of 6 MiB; 12 would save a tenth of the time of a
/// commitment for 24 MiB (docs/decisions/012-kzg-tables-in-a-file.md).
pub const TABLE_BITS: usize = 10;

/// Number of digits in a row: the rows together hold at least the field's 255 bits.
pub(super) const COLUMNS: usize = 255_usize.div_ceil(TABLE_BITS);
/// Number of entries of one point: half of the sign patterns. The other half are their negatives.
const ENTRIES: usize = 1 << (TABLE_BITS - 1);

/// 1/2
const HALF: Fr =
    MontFp!("26217937587563095239723870254092982918845276250263818911301829349969290592257");
/// (2^(rows · columns) - 1)/2, half the sum of all digits' weights
const HALF_OF_ALL_DIGITS: Fr =
    MontFp!("8708898333821229998232421176248860666575208565890850420096644814379866390510");

const MAGIC: [u8; 8] = *b"trunkkzg";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 8 + 2 + 2 + 32 + 32;
const COORDINATE_BYTES: usize = 48;
const ENTRY_BYTES: usize = 2 * COORDINATE_BYTES;

/// Length of the result of [`Tables::encode`]: 76 bytes, and 96 for each entry.
pub const TABLES_BYTES: usize = HEADER_BYTES + WIDTH * ENTRIES * ENTRY_BYTES;

/// BLAKE3 hash of the encoded entries of the ceremony's tables. The tables are a constant, so bytes from any source are
/// valid if they have this hash.
pub const TABLES_ID: Digest =
    hash::from_hex("6893026af718d374d147b0b388ba367b3e388e63f1ba891ceb84fffcba15205b");

/// The reason why bytes are not the tables of this build. Build them again.
///
/// ```
/// use trunkline_core::kzg::{Setup, TABLES_BYTES, Tables, TablesError};
/// assert_eq!(Tables::decode(b"short").unwrap_err(), TablesError::Length(5));
/// assert_eq!(Tables::decode(&[0; TABLES_BYTES]).unwrap_err(), TablesError::Magic);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TablesError {
    /// The length is wrong.
    #[error("{0} bytes are not the {TABLES_BYTES} of these tables; build them again")]
    Length(usize),
    /// The bytes do not begin like a file of tables.
    #[error("these are not KZG tables; build them again")]
    Magic,
    /// The format has another version.
    #[error("tables of format {0}; this build reads format {FORMAT}: build them again")]
    Format(u16),
    /// The tables have another number of digits per entry.
    #[error("tables of {0} digits an entry; this build uses {TABLE_BITS}: build them again")]
    Bits(u16),
    /// The tables belong to another setup.
    #[error("tables over another setup than the one in this build; build them again")]
    Setup,
    /// The entries are not those that follow from the setup.
    #[error("the tables are damaged; build them again")]
    Damaged,
}

/// The tables over the 128 Lagrange points of a setup. Immutable.
///
/// ```
/// use trunkline_core::kzg::{Committer, Setup, Tables};
/// let tables = Tables::build(&Setup::ceremony()?);
/// let kept = tables.encode();
/// let committer = Committer::with_tables(Tables::decode(&kept)?);
/// # let _ = committer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Tables {
    /// [`ENTRIES`] entries for each slot: entry `b` is Σ_t ±2^(t·COLUMNS)·L, with plus if bit t of `b` is set, and plus
    /// in the topmost row.
    entries: Vec<Affine>,
}

impl core::fmt::Debug for Tables {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Tables").finish_non_exhaustive()
    }
}

impl Tables {
    /// Builds the tables, which takes 70 ms of one core.
    pub fn build(setup: &Setup) -> Self {
        let points = setup.lagrange();
        let rows = rows_of(points);
        let (lower, top) = rows.split_at((TABLE_BITS - 1) * points.len());
        // The entries of all points are built in step, so that each step shares its inversion.
        let mut entries = top.to_vec();
        let mut scratch = Vec::new();
        for row in lower.chunks_exact(points.len()) {
            let minus: Vec<Affine> = row.iter().map(|point| -*point).collect();
            add_each(&mut entries, &minus, &mut scratch);
        }
        for row in lower.chunks_exact(points.len()) {
            let mut twice = row.to_vec();
            add_each(&mut twice, row, &mut scratch);
            // The entries with this row's bit set follow those without it.
            let without = entries.len();
            entries.extend_from_within(..);
            let twice = twice.repeat(without / points.len());
            add_each(&mut entries[without..], &twice, &mut scratch);
        }
        let by_point = (0..points.len()).flat_map(|point| {
            let entries = entries[point..].iter();
            entries.step_by(points.len()).copied()
        });
        Self {
            entries: by_point.collect(),
        }
    }

    /// Returns the tables as bytes, for [`Self::decode`].
    ///
    /// Layout, integers little-endian: magic `trunkkzg`, format u16, digits per entry u16, setup id 32, BLAKE3 hash of
    /// the rest 32; then the entries of each slot, each `x ‖ y`, a coordinate being the 6 limbs of its Montgomery form
    /// (R = 2^384).
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TABLES_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&(TABLE_BITS as u16).to_le_bytes());
        bytes.extend_from_slice(&SETUP_ID);
        bytes.extend_from_slice(&[0; 32]);
        for limb in self.entries.iter().flat_map(|entry| entry.limbs()) {
            bytes.extend_from_slice(&limb.to_le_bytes());
        }
        let checksum = hash::hash(&bytes[HEADER_BYTES..]);
        bytes[HEADER_BYTES - 32..HEADER_BYTES].copy_from_slice(&checksum);
        bytes
    }

    /// Decodes the result of [`Self::encode`] for the ceremony's tables; anything else is an error.
    ///
    /// No byte is trusted: the entries must hash to [`TABLES_ID`], which is part of this build. So the setup need not
    /// be checked either.
    pub fn decode(bytes: &[u8]) -> Result<Self, TablesError> {
        if bytes.len() != TABLES_BYTES {
            return Err(TablesError::Length(bytes.len()));
        }
        let (header, entries) = bytes.split_at(HEADER_BYTES);
        check_header(header)?;
        if hash::hash(entries) != TABLES_ID {
            return Err(TablesError::Damaged);
        }
        let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
        Ok(Self {
            entries: entries.iter().map(entry_of).collect(),
        })
    }

    /// Returns the entries of one slot's point, for [`Digits::entry`].
    pub(super) fn of(&self, slot: Slot) -> &[Affine] {
        &self.entries[slot.index() * ENTRIES..][..ENTRIES]
    }
}

fn check_header(header: &[u8]) -> Result<(), TablesError> {
    let mut header = header;
    if take(&mut header) != Some(MAGIC) {
        return Err(TablesError::Magic);
    }
    let format = take(&mut header).map_or(0, u16::from_le_bytes);
    if format != FORMAT {
        return Err(TablesError::Format(format));
    }
    let bits = take(&mut header).map_or(0, u16::from_le_bytes);
    if usize::from(bits) != TABLE_BITS {
        return Err(TablesError::Bits(bits));
    }
    if take(&mut header) != Some(SETUP_ID) {
        return Err(TablesError::Setup);
    }
    if take(&mut header) != Some(TABLES_ID) {
        return Err(TablesError::Damaged);
    }
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn entry_of(bytes: &[u8; ENTRY_BYTES]) -> Affine {
    let mut limbs = [0; ENTRY_BYTES / 8];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    Affine::of_limbs(&limbs)
}

/// Returns 2^(t·COLUMNS)·L of every point L, row t after row t.
fn rows_of(points: &[G1Affine]) -> Vec<Affine> {
    let mut row: Vec<G1Projective> = points.iter().map(|point| point.into_group()).collect();
    let mut rows = row.clone();
    for _ in 1..TABLE_BITS {
        for point in &mut row {
            for _ in 0..COLUMNS {
                point.double_in_place();
            }
        }
        rows.extend_from_slice(&row);
    }
    let rows = G1Projective::normalize_batch(&rows);
    rows.into_iter().map(Affine::from).collect()
}

/// The digits ±1 of a scalar, Σ d_i·2^i: bit i is set where d_i = 1. One word is one row.
pub(super) struct Digits([u64; TABLE_BITS]);

impl Digits {
    /// Since d_i = 2·b_i - 1, the bits b are those of (scalar + 2^DIGITS - 1)/2.
    pub(super) fn of(scalar: Fr) -> Self {
        let BigInt(bits) = (scalar * HALF + HALF_OF_ALL_DIGITS).into_bigint();
        let mut rows = [0; TABLE_BITS];
        for (row, first) in rows.iter_mut().zip((0..).step_by(COLUMNS)) {
            let (limb, shift) = (first / 64, first % 64);
            let low = bits[limb] >> shift;
            let high = bits
                .get(limb + 1)
                .map_or(0, |next| next << 1 << (63 - shift));
            *row = low | high;
        }
        Self(rows)
    }

    /// Returns the summand of this column of digits, from the entries of one point.
    pub(super) fn entry(&self, column: usize, entries: &[Affine]) -> Affine {
        let rows = self.0.iter().enumerate();
        let pattern: usize = rows
            .map(|(row, digits)| ((digits >> column & 1) as usize) << row)
            .sum();
        if pattern >= ENTRIES {
            entries[pattern - ENTRIES]
        } else {
            -entries[ENTRIES - 1 - pattern]
        }
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::Field;

    use super::*;

    #[test]
    fn digits_make_up_the_scalar_again() {
        for scalar in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(7).pow([1234])] {
            let rows = Digits::of(scalar).0;
            let mut sum = Fr::ZERO;
            for digit in (0..TABLE_BITS * COLUMNS).rev() {
                let plus = rows[digit / COLUMNS] >> (digit % COLUMNS) & 1 == 1;
                sum = sum.double() + if plus { Fr::ONE } else { -Fr::ONE };
            }
            assert_eq!(sum, scalar);
        }
    }

    #[test]
    fn the_tables_of_the_ceremony_are_the_pinned_ones_and_come_back_from_bytes() {
        let tables = Tables::build(&Setup::ceremony().expect("the embedded setup"));
        let bytes = tables.encode();
        let id = hash::hash(&bytes[HEADER_BYTES..]);
        assert_eq!(hash::hex(&id), hash::hex(&TABLES_ID));
        assert!(Tables::decode(&bytes) == Ok(tables));
    }

    #[test]
    fn each_field_of_the_header_is_checked() {
        let mut bytes = vec![0; TABLES_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10..12].copy_from_slice(&(TABLE_BITS as u16).to_le_bytes());
        bytes[12..44].copy_from_slice(&SETUP_ID);
        bytes[44..76].copy_from_slice(&TABLES_ID);
        let changed = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            Tables::decode(&bytes).map(|_| ())
        };
        assert_eq!(changed(0), Err(TablesError::Magic));
        assert_eq!(changed(8), Err(TablesError::Format(FORMAT ^ 1)));
        assert_eq!(changed(10), Err(TablesError::Bits(TABLE_BITS as u16 ^ 1)));
        assert_eq!(changed(12), Err(TablesError::Setup));
        assert_eq!(changed(44), Err(TablesError::Damaged));
        // A valid header over other entries.
        assert_eq!(changed(76), Err(TablesError::Damaged));
        assert_eq!(
            Tables::decode(&bytes[1..]),
            Err(TablesError::Length(TABLES_BYTES - 1))
        );
    }
}
