//! The `IDEMPOTENCY` file: the last submissions with an idempotency key, up to the version of a checkpoint. The log has
//! the later ones.
//!
//! Not here: the number that is remembered, and the answer to a repeat.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, open_file, put_file};
use super::disk::{Disk, ReadFileError, if_present, read_bounded, replace_file};
use super::manifest::CheckpointManifest;
use crate::batch::provisional_root;
use crate::hash::Digest;
use crate::outcome::{OUTCOME_BYTES_MIN, Outcome, SubmissionOutcome, split_outcomes};
use crate::params::FORMAT;
use crate::record::CommitRecord;

/// Name of the file.
pub const IDEMPOTENCY_FILE: &str = "IDEMPOTENCY";
/// The maximum number of submissions in the file.
pub const KEYED_SUBMISSIONS_MAX: usize = 1_000_000;
/// The bytes of a submission in the file.
pub const KEYED_SUBMISSION_BYTES: usize = 32 + 8 + 32 + 1 + 32 + 32 + 8 + 32;

const MAGIC: [u8; 8] = *b"trunkidk";
const HEADER_BYTES: usize = 8 + 2 + 32 + 8 + 4;
const FILE_BYTES_MAX: usize = HEADER_BYTES + KEYED_SUBMISSIONS_MAX * KEYED_SUBMISSION_BYTES + 32;

/// A durable submission that had an idempotency key, with the answer to a repeat of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedSubmission {
    /// Hash of the key: [`IdempotencyKey::hash`](crate::outcome::IdempotencyKey::hash).
    pub key_hash: Digest,
    /// The position in the sequence of all submissions.
    pub sequence: u64,
    /// The digest of the submission.
    pub submission: Digest,
    /// The outcome.
    pub outcome: Outcome,
    /// The provisional root after the submission.
    pub provisional_root: Digest,
    /// The version that the submission is part of.
    pub version: u64,
    /// The state digest of the version.
    pub state_digest: Digest,
}

impl KeyedSubmission {
    /// Returns the submissions of a version that have a key, in order. `provisional_before` is the provisional root before
    /// the first submission, and `outcomes` are the encoded outcomes that the record names. If no submission has a key,
    /// this takes one comparison.
    pub fn of_version(
        record: &CommitRecord,
        provisional_before: &Digest,
        outcomes: &[u8],
    ) -> Vec<Self> {
        if !have_keys(record, outcomes) {
            return Vec::new();
        }
        let (mut keyed, mut root) = (Vec::new(), *provisional_before);
        let decoded = split_outcomes(outcomes);
        for outcome in decoded.map_while(|encoded| SubmissionOutcome::decode(encoded?)) {
            root = provisional_root(&root, &outcome.submission);
            if outcome.idempotency_key.is_empty() {
                continue;
            }
            keyed.push(Self {
                key_hash: outcome.idempotency_key.hash(),
                sequence: outcome.sequence,
                submission: outcome.submission,
                outcome: outcome.outcome,
                provisional_root: root,
                version: record.version,
                state_digest: record.state_digest,
            });
        }
        keyed
    }

    /// Appends the canonical bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (code, detail) = self.outcome.code_and_detail();
        out.extend_from_slice(&self.key_hash);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.submission);
        out.push(code);
        out.extend_from_slice(&detail);
        out.extend_from_slice(&self.provisional_root);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.state_digest);
    }

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            key_hash: cursor.array()?,
            sequence: cursor.u64()?,
            submission: cursor.array()?,
            outcome: Outcome::of_code(cursor.u8()?, &cursor.array()?)?,
            provisional_root: cursor.array()?,
            version: cursor.u64()?,
            state_digest: cursor.array()?,
        })
    }
}

/// Returns whether any outcome of a version ends with a key: without keys, the length of the outcomes follows from
/// their number.
fn have_keys(record: &CommitRecord, outcomes: &[u8]) -> bool {
    let count = record.last_sequence.wrapping_sub(record.first_sequence);
    let without_keys = count
        .saturating_add(1)
        .saturating_mul(OUTCOME_BYTES_MIN as u64);
    outcomes.len() as u64 != without_keys
}

/// Reads consecutive submissions to the end; `None` if their number is not `count`, or if no engine could remember them
/// together.
pub(super) fn read_row(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<KeyedSubmission>> {
    if cursor.0.len() != count.checked_mul(KEYED_SUBMISSION_BYTES)? {
        return None;
    }
    let row = (0..count).map(|_| KeyedSubmission::read(cursor));
    row.collect()
}

/// Returns whether submissions may be remembered together at a version: sequence numbers ascend strictly, versions ascend
/// up to this one, and no two have the same key.
pub fn are_in_order(submissions: &[KeyedSubmission], version: u64) -> bool {
    let ascend = |pair: &[KeyedSubmission]| {
        pair[0].sequence < pair[1].sequence && pair[0].version <= pair[1].version
    };
    let last = submissions.last().map_or(0, |last| last.version);
    let mut key_hashes: Vec<&Digest> = submissions.iter().map(|next| &next.key_hash).collect();
    key_hashes.sort_unstable();
    submissions.windows(2).all(ascend)
        && last <= version
        && key_hashes.is_sorted_by(|before, after| before < after)
}

/// The submissions with keys that a tree remembers at a version.
///
/// ```
/// use trunkline_core::store::idempotency_file::Remembered;
/// let none = Remembered { version: 7, submissions: vec![] };
/// assert_eq!(Remembered::decode(&none.encode(&[1; 32]), &[1; 32]), Ok(none));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The version.
    pub version: u64,
    /// The submissions, in order; at most [`KEYED_SUBMISSIONS_MAX`].
    pub submissions: Vec<KeyedSubmission>,
}

/// The reason why the remembered submissions of a directory cannot be used.
///
/// ```
/// use trunkline_core::store::idempotency_file::{IdempotencyFileError, Remembered};
/// assert_eq!(Remembered::decode(b"something else", &[1; 32]), Err(IdempotencyFileError::Magic));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyFileError {
    /// The file is missing although a checkpoint was made.
    #[error(
        "it is missing, and submissions that are repeated would be applied twice; restore the directory from a copy"
    )]
    Missing,
    /// The file begins with other bytes.
    #[error("this is not a file of idempotency keys; restore the directory from a copy")]
    Magic,
    /// Written by another format version.
    #[error("its format is {0}; this build reads format {FORMAT}: use a build that reads it")]
    Format(u16),
    /// The length or checksum is wrong, or fields contradict each other.
    #[error("it is damaged; restore the directory from a copy")]
    Damaged,
    /// The file belongs to another tree.
    #[error("it belongs to another tree; restore the directory from a copy")]
    Tree,
    /// The file does not belong to the checkpoint.
    #[error(
        "it is of version {found}, and the checkpoint is of version {checkpoint}; restore the directory from a copy"
    )]
    Version {
        /// The version of the file.
        found: u64,
        /// The version of the checkpoint.
        checkpoint: u64,
    },
}

impl Remembered {
    /// Returns the bytes of the file.
    ///
    /// Layout, integers little-endian: magic `trunkidk`, format u16, tree id 32, version u64, number of submissions u32,
    /// then for each in the order of sequence numbers: key hash 32, sequence number u64, submission digest 32, code u8 and
    /// detail 32 of the outcome, provisional root 32, version u64, state digest 32; checksum 32 (over all before it).
    pub fn encode(&self, tree_id: &Digest) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.submissions.len() * KEYED_SUBMISSION_BYTES);
        for submission in &self.submissions {
            submission.put(&mut rows);
        }
        let count = (self.submissions.len() as u32).to_le_bytes();
        let version = self.version.to_le_bytes();
        put_file(MAGIC, &[tree_id, &version, &count, &rows])
    }

    /// Reads the result of [`Self::encode`]; anything else is an error.
    pub fn decode(bytes: &[u8], tree_id: &Digest) -> Result<Self, IdempotencyFileError> {
        use IdempotencyFileError::{Damaged, Format, Magic, Tree};
        let mut fields = open_file(bytes, MAGIC, Magic, Format, Damaged)?;
        if fields.array().ok_or(Damaged)? != *tree_id {
            return Err(Tree);
        }
        Self::read_fields(&mut fields).ok_or(Damaged)
    }

    fn read_fields(fields: &mut Cursor<'_>) -> Option<Self> {
        let (version, count) = (fields.u64()?, fields.u32()? as usize);
        if count > KEYED_SUBMISSIONS_MAX {
            return None;
        }
        let submissions = read_row(fields, count)?;
        are_in_order(&submissions, version).then_some(Self {
            version,
            submissions,
        })
    }
}

/// Reads the file of a directory with this manifest. Before the first checkpoint there is none.
///
/// # Errors
///
/// Fails if the file cannot be read, is missing or damaged, or is not of a version from that of the checkpoint to its intent.
pub fn read(
    disk: &dyn Disk,
    directory: &Path,
    manifest: &CheckpointManifest,
) -> Result<Remembered, ReadFileError<IdempotencyFileError>> {
    let (path, damaged) = (
        directory.join(IDEMPOTENCY_FILE),
        IdempotencyFileError::Damaged,
    );
    let (checkpoint, tree_id) = (manifest.record.version, &manifest.record.tree_id);
    let content = |source| ReadFileError::Content {
        path: path.clone(),
        source,
    };
    let decode = |bytes: &[u8]| Remembered::decode(bytes, tree_id);
    let read = read_bounded(disk, path.clone(), FILE_BYTES_MAX, damaged, decode);
    let Some(remembered) = if_present(read)? else {
        return match checkpoint {
            0 => Ok(Remembered::default()),
            _ => Err(content(IdempotencyFileError::Missing)),
        };
    };
    // If several checkpoints were begun and interrupted, an earlier one may have written the file last.
    let (found, newest) = (remembered.version, manifest.intent.unwrap_or(checkpoint));
    match (checkpoint..=newest).contains(&found) {
        true => Ok(remembered),
        false => Err(content(IdempotencyFileError::Version { found, checkpoint })),
    }
}

/// Replaces the file durably. This must happen after the manifest has its version as the intent, and before it has it as
/// the version.
///
/// # Errors
///
/// Fails if the system cannot write it. The file has its old content then, or the new.
pub fn write(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    remembered: &Remembered,
) -> io::Result<()> {
    replace_file(
        disk,
        &directory.join(IDEMPOTENCY_FILE),
        &remembered.encode(tree_id),
    )
}

#[cfg(test)]
mod tests {
    use super::super::cursor::assert_only_these;
    use super::*;
    use crate::hash::{FRAME, hex};
    use crate::outcome::{IdempotencyKey, Refusal, encode_outcomes};
    use crate::store::simulated::SimulatedDisk;

    fn submission(sequence: u64, version: u64) -> KeyedSubmission {
        KeyedSubmission {
            key_hash: [sequence as u8; 32],
            sequence,
            submission: [2; 32],
            outcome: Outcome::Applied { displaced: 3 },
            provisional_root: [4; 32],
            version,
            state_digest: [5; 32],
        }
    }

    fn two() -> Remembered {
        let key_hash = [6; 32];
        let refused = KeyedSubmission {
            outcome: Outcome::Refused(Refusal::RequirementFailed { key_hash }),
            ..submission(258, 9)
        };
        Remembered {
            version: 10,
            submissions: vec![submission(1, 7), refused],
        }
    }

    #[test]
    fn the_bytes_of_the_file_are_fixed() {
        let bytes = two().encode(&[7; 32]);
        let row = |key: &str, sequence: &str, code: &str, detail: &str, version: &str| {
            let (submission, root, state) = ("02".repeat(32), "04".repeat(32), "05".repeat(32));
            let key = key.repeat(32);
            format!("{key}{sequence}{submission}{code}{detail}{root}{version}{state}")
        };
        let applied = format!("03{}", "00".repeat(31));
        let body = [
            &hex(b"trunkidk"),
            "0200",
            &"07".repeat(32),
            "0a00000000000000",
            "02000000",
            &row("01", "0100000000000000", "00", &applied, "0700000000000000"),
            &row(
                "02",
                "0201000000000000",
                "01",
                &"06".repeat(32),
                "0900000000000000",
            ),
        ];
        let (head, checksum) = bytes.split_last_chunk::<32>().unwrap();
        assert_eq!(hex(head), body.concat());
        assert_eq!(*checksum, FRAME.hash(head));
        assert_eq!(Remembered::decode(&bytes, &[7; 32]), Ok(two()));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = two().encode(&[7; 32]);
        let tree = Remembered::decode(&bytes, &[8; 32]);
        assert_eq!(tree, Err(IdempotencyFileError::Tree));
        assert_only_these(&bytes, |bytes| Remembered::decode(bytes, &[7; 32]));
        let file = |version, submissions: &[KeyedSubmission]| {
            let submissions = submissions.to_vec();
            Remembered {
                version,
                submissions,
            }
            .encode(&[7; 32])
        };
        let (first, second) = (submission(1, 7), submission(2, 8));
        let same_key = KeyedSubmission {
            key_hash: first.key_hash,
            ..second
        };
        let sound = Remembered::decode(&file(8, &[first, second]), &[7; 32]);
        assert!(sound.is_ok());
        let refused = [
            file(7, &[first, second]),
            file(8, &[second, first]),
            file(8, &[first, first]),
            file(8, &[first, same_key]),
            file(8, &[submission(1, 8), submission(2, 7)]),
            put_file(MAGIC, &[&[7; 32], &[0; 8], &u32::MAX.to_le_bytes()]),
        ];
        for bytes in refused {
            let read = Remembered::decode(&bytes, &[7; 32]);
            assert_eq!(read, Err(IdempotencyFileError::Damaged));
        }
    }

    #[test]
    fn the_file_must_be_that_of_a_checkpoint_that_was_made_or_begun() {
        let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
        let mut manifest = CheckpointManifest::genesis([7; 32]);
        let read = |manifest: &CheckpointManifest| match read(&disk, here, manifest) {
            Err(ReadFileError::Content { source, .. }) => Err(source),
            read => Ok(read.unwrap()),
        };
        assert_eq!(read(&manifest), Ok(Remembered::default()));
        manifest.record.version = 9;
        assert_eq!(read(&manifest), Err(IdempotencyFileError::Missing));
        write(&disk, here, &[7; 32], &two()).unwrap();
        let (found, checkpoint) = (10, 9);
        let other = IdempotencyFileError::Version { found, checkpoint };
        assert_eq!(read(&manifest), Err(other));
        for intent in [10, 11] {
            manifest.intent = Some(intent);
            assert_eq!(read(&manifest), Ok(two()));
        }
        (manifest.record.version, manifest.intent) = (10, None);
        assert_eq!(read(&manifest), Ok(two()));
    }

    #[test]
    fn submissions_without_a_key_are_left_out() {
        let outcome = |sequence: u64, key: &[u8]| SubmissionOutcome {
            sequence,
            submission: [sequence as u8; 32],
            outcome: Outcome::Applied { displaced: 0 },
            idempotency_key: IdempotencyKey::new(key).unwrap(),
        };
        let keyed = |keys: &[&[u8]]| {
            let outcomes = (5..)
                .zip(keys)
                .map(|(sequence, key)| outcome(sequence, key));
            let (bytes, _) = encode_outcomes(&outcomes.collect::<Vec<_>>());
            let mut record = CommitRecord::genesis([1; 32]);
            (record.version, record.state_digest) = (3, [9; 32]);
            (record.first_sequence, record.last_sequence) = (5, 4 + keys.len() as u64);
            KeyedSubmission::of_version(&record, &[8; 32], &bytes)
        };
        assert_eq!(keyed(&[b"", b""]), []);
        let root = provisional_root(&provisional_root(&[8; 32], &[5; 32]), &[6; 32]);
        let expected = KeyedSubmission {
            key_hash: crate::hash::hash(b"k"),
            sequence: 6,
            submission: [6; 32],
            outcome: Outcome::Applied { displaced: 0 },
            provisional_root: root,
            version: 3,
            state_digest: [9; 32],
        };
        assert_eq!(keyed(&[b"", b"k", b""]), [expected]);
    }
}
