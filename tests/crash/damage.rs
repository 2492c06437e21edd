//! Damaged directories: the damage is named, and nothing is changed.

use std::fs;
use std::path::{Path, PathBuf};

use trunkline::config::DurabilityMode;
use trunkline::core::hash::hex;
use trunkline::core::history::node_count;
use trunkline::core::store::disk::OsDisk;
use trunkline::core::store::history_file::{HISTORY_FILE, HISTORY_HEADER_BYTES, HistoryFileError};
use trunkline::core::store::leaves::LEAVES_DIRECTORY;
use trunkline::core::store::log::{
    CHECKSUM_BYTES, FRAME_HEADER_BYTES, LOG_DIRECTORY, OpenLogError, ReadLogError,
    SEGMENT_HEADER_BYTES,
};
use trunkline::core::store::manifest::{
    CHECKPOINT_FILE, CheckpointManifest, ManifestError, ReadManifestError,
};
use trunkline::core::store::pages_file::PAGES_FILE;
use trunkline::core::store::tree_file::{ReadTreeFileError, TREE_FILE, TreeFileError};
use trunkline::{Engine, OpenError, ReadOnly, ReplayError};

use crate::directories::*;
use crate::killed::config;

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, length: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..length]).unwrap();
}

fn length(path: &Path) -> usize {
    fs::metadata(path).unwrap().len() as usize
}

/// Returns the number of bytes of a segment that are in use. Old bytes may follow, since files are recycled.
fn log_length(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let salt = SEGMENT_HEADER_BYTES - 64;
    let mark = &bytes[salt..salt + 8];
    let mut end = SEGMENT_HEADER_BYTES;
    while bytes[end..].starts_with(mark) {
        let body_bytes: [u8; 4] = bytes[end + 9..end + 13].try_into().unwrap();
        end += FRAME_HEADER_BYTES + u32::from_le_bytes(body_bytes) as usize + CHECKSUM_BYTES;
    }
    end
}

/// Damages a copy of a tree. Returns the error of an engine and a reader that open it, and checks that both change
/// nothing.
fn refused(tree: &Path, damage: impl FnOnce(&Path)) -> OpenError {
    let copied = tempfile::tempdir().unwrap();
    let path = copied.path();
    copy(tree, path);
    damage(path);
    let config = config(path, DurabilityMode::Sync);
    let error = leaving_alone(path, || Engine::open_blocking(config)).expect_err("it is damaged");
    let read = leaving_alone(path, || ReadOnly::open(path)).expect_err("it is damaged");
    assert_eq!(format!("{error:?}"), format!("{read:?}"));
    error
}

fn log_error(error: &OpenError) -> &ReadLogError {
    match error {
        OpenError::Log(error) => match &**error {
            OpenLogError::Log(error) => error,
            error => panic!("{error}"),
        },
        error => panic!("{error}"),
    }
}

/// Returns the second to last segment, which is in use as a whole.
fn whole_segment(directory: &Path) -> PathBuf {
    let segments = log_segments(directory);
    segments[segments.len() - 2].clone()
}

#[test]
fn a_tree_that_was_closed_opens() {
    let tree = closed_tree();
    let engine = Engine::open_blocking(config(tree.path(), DurabilityMode::Sync)).unwrap();
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_flipped_byte_in_the_log_is_named_by_segment_offset_and_version() {
    let tree = closed_tree();
    let segment = whole_segment(tree.path());
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    for part in 0..7 {
        let offset = part * (log_length(&segment) - 1) / 6;
        let error = refused(tree.path(), |copied| {
            flip(&whole_segment(copied), offset);
        });
        let error = log_error(&error);
        match error {
            ReadLogError::Header { .. } => assert!(offset < 162),
            ReadLogError::Damaged { offset: from, .. } => assert!(*from as usize <= offset),
            error => panic!("{error}"),
        }
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[test]
fn a_flipped_byte_in_the_last_segment_of_a_closed_log_is_named() {
    let tree = closed_tree();
    let last = log_segments(tree.path()).pop().unwrap();
    // The close frame has 61 bytes: without it the log looks interrupted, which is no damage.
    for offset in [170, log_length(&last) - 100] {
        let error = refused(tree.path(), |copied| {
            flip(&log_segments(copied).pop().unwrap(), offset);
        });
        assert!(
            matches!(log_error(&error), ReadLogError::Damaged { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_segment_that_was_cut_short_is_named() {
    let tree = closed_tree();
    let error = refused(tree.path(), |copied| {
        let segment = whole_segment(copied);
        truncate(&segment, log_length(&segment) - 1);
    });
    assert!(
        matches!(log_error(&error), ReadLogError::Damaged { .. }),
        "{error:?}"
    );
    let error = refused(tree.path(), |copied| truncate(&whole_segment(copied), 100));
    assert!(
        matches!(log_error(&error), ReadLogError::Header { .. }),
        "{error:?}"
    );
}

#[test]
fn a_segment_that_is_gone_is_named_by_its_first_version() {
    let tree = closed_tree();
    let error = refused(tree.path(), |copied| {
        fs::remove_file(whole_segment(copied)).unwrap()
    });
    assert!(
        matches!(
            log_error(&error),
            ReadLogError::Gap { .. } | ReadLogError::Damaged { .. }
        ),
        "{error:?}"
    );
    let error = refused(tree.path(), |copied| {
        for segment in log_segments(copied) {
            fs::remove_file(segment).unwrap();
        }
    });
    assert!(
        matches!(log_error(&error), ReadLogError::Missing { .. }),
        "{error:?}"
    );
}

#[test]
fn a_damaged_manifest_is_named() {
    let tree = closed_tree();
    let whole = length(&tree.path().join(CHECKPOINT_FILE));
    for offset in (0..whole).step_by(37) {
        let error = refused(tree.path(), |copied| {
            flip(&copied.join(CHECKPOINT_FILE), offset)
        });
        let OpenError::Manifest(ReadManifestError::Content { source: error, .. }) = error else {
            panic!("{error}");
        };
        match offset {
            0..8 => assert_eq!(error, ManifestError::Magic),
            8..10 => assert!(matches!(error, ManifestError::Format(_))),
            _ => assert_eq!(error, ManifestError::Damaged),
        }
    }
    let error = refused(tree.path(), |copied| {
        truncate(&copied.join(CHECKPOINT_FILE), whole - 1)
    });
    assert!(matches!(
        error,
        OpenError::Manifest(ReadManifestError::Content {
            source: ManifestError::Damaged,
            ..
        })
    ));
}

#[test]
fn a_damaged_history_is_named() {
    let tree = closed_tree();
    let whole = length(&tree.path().join(HISTORY_FILE));
    let named = |error: OpenError| match error {
        OpenError::History(error) => {
            assert!(error.to_string().contains(HISTORY_FILE), "{error}");
            error
        }
        error => panic!("{error}"),
    };
    for offset in (0..HISTORY_HEADER_BYTES).step_by(17) {
        let error = refused(tree.path(), |copied| {
            flip(&copied.join(HISTORY_FILE), offset)
        });
        match named(error) {
            HistoryFileError::Magic { .. } => assert!(offset < 8),
            HistoryFileError::Header { .. } => assert!(offset > 9),
            error => panic!("{error}"),
        }
    }
    let version = CheckpointManifest::read(&OsDisk, tree.path())
        .unwrap()
        .record
        .version;
    let last_id = node_count(version) as usize;
    let error = refused(tree.path(), |copied| {
        let offset = HISTORY_HEADER_BYTES + 32 * last_id;
        flip(&copied.join(HISTORY_FILE), offset);
    });
    assert!(matches!(named(error), HistoryFileError::Differs { .. }));
    let error = refused(tree.path(), |copied| {
        truncate(&copied.join(HISTORY_FILE), whole - 1)
    });
    assert!(matches!(named(error), HistoryFileError::Short { .. }));
    let error = refused(tree.path(), |copied| {
        fs::remove_file(copied.join(HISTORY_FILE)).unwrap();
    });
    assert!(matches!(named(error), HistoryFileError::Missing { .. }));
}

#[test]
fn a_manifest_of_another_history_is_refused() {
    let tree = closed_tree();
    let error = refused(tree.path(), |copied| {
        let mut marker = CheckpointManifest::read(&OsDisk, copied).unwrap();
        marker.record.open_epoch += 1;
        marker.write(&OsDisk, copied).unwrap();
    });
    assert!(
        matches!(log_error(&error), ReadLogError::OtherHistory { .. }),
        "{error:?}"
    );
}

#[test]
fn a_log_that_ends_below_a_checkpoint_that_was_begun_is_refused() {
    let tree = closed_tree();
    let mut intent = 0;
    let error = refused(tree.path(), |copied| {
        let mut marker = CheckpointManifest::read(&OsDisk, copied).unwrap();
        intent = marker.record.version + 1_000_000;
        marker.intent = Some(intent);
        marker.write(&OsDisk, copied).unwrap();
    });
    assert!(matches!(error, OpenError::LogEndsEarly { intent: named, .. } if named == intent));
}

#[test]
fn a_damaged_tree_file_is_named() {
    let tree = closed_tree();
    let whole = length(&tree.path().join(TREE_FILE));
    for offset in (0..whole).step_by(11) {
        let error = refused(tree.path(), |copied| flip(&copied.join(TREE_FILE), offset));
        let OpenError::TreeFile(ReadTreeFileError::Content { source: error, .. }) = error else {
            panic!("{error}");
        };
        match offset {
            0..8 => assert_eq!(error, TreeFileError::Magic),
            8..10 => assert!(matches!(error, TreeFileError::Format(_))),
            _ => assert_eq!(error, TreeFileError::Damaged),
        }
    }
    let error = refused(tree.path(), |copied| {
        truncate(&copied.join(TREE_FILE), whole - 1)
    });
    assert!(matches!(
        error,
        OpenError::TreeFile(ReadTreeFileError::Content {
            source: TreeFileError::Damaged,
            ..
        })
    ));
}

/// Opening a leaf store changes its own files, so only the other files are compared for an engine.
#[test]
fn leaves_that_are_not_those_of_the_manifest_are_refused_by_both_digests() {
    let tree = closed_tree();
    // With page digests, leaves are compared when they are touched.
    fs::remove_file(tree.path().join(PAGES_FILE)).unwrap();
    let marker = CheckpointManifest::read(&OsDisk, tree.path()).unwrap();
    let leaves = tree.path().join(LEAVES_DIRECTORY);
    for others in [None, Some(closed_tree_of(8))] {
        fs::remove_dir_all(&leaves).unwrap();
        match others {
            None => fs::create_dir(&leaves).unwrap(),
            Some(others) => copy(&others.path().join(LEAVES_DIRECTORY), &leaves),
        }
        let path = tree.path();
        let read = leaving_alone(path, || ReadOnly::open(path)).expect_err("leaves differ");
        let log = path.join(LOG_DIRECTORY);
        let config = config(path, DurabilityMode::Sync);
        let error = leaving_alone(&log, || Engine::open_blocking(config)).expect_err("they differ");
        assert_eq!(format!("{error:?}"), format!("{read:?}"));
        assert_eq!(CheckpointManifest::read(&OsDisk, path).unwrap(), marker);
        let OpenError::Replay(ReplayError::Differs {
            what,
            version,
            recorded,
            ..
        }) = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((what, version), ("the state digest", marker.record.version));
        assert_eq!(recorded, hex(&marker.record.state_digest));
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let config = config(directory.path(), DurabilityMode::Sync);
    let error = leaving_alone(directory.path(), || Engine::open_blocking(config));
    assert!(matches!(error, Err(OpenError::Foreign { .. })));
    let error = leaving_alone(directory.path(), || ReadOnly::open(directory.path()));
    assert!(matches!(error, Err(OpenError::NoTree { .. })));
}
