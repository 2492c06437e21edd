//! Writing segments, which turns entries into frames and frames into segments, and reading them.

use std::sync::Arc;

use tokio::sync::Mutex;
use trunkline::core::frame::{Compression, Frame, SIGNATURE_BYTES, SecretKey};
use trunkline::core::hash::Digest;
use trunkline::core::store::archive::segment::{SEGMENT_BYTES_MAX, Segment, SegmentWriter};
use trunkline::core::store::archive::{ObjectError, SegmentName};
use trunkline::core::store::log::{LogEntry, LogPosition};

use crate::archive::Archive;
use crate::catalog::Live;
use crate::error::{AccessError, WriteError};

/// The signature of an unsigned frame. No key verifies it.
pub(crate) const UNSIGNED: [u8; SIGNATURE_BYTES] = [0; SIGNATURE_BYTES];

/// Appends entries to an archive. Entries are gathered into segments; a segment is written when it is full, when an
/// epoch ends, and on request.
#[derive(Debug)]
pub(crate) struct SegmentAppender {
    archive: Archive,
    tree_id: Digest,
    key: Option<SecretKey>,
    /// The segment that is being gathered. Its last position is that of the last appended entry.
    writer: SegmentWriter,
    archived: LogPosition,
}

impl SegmentAppender {
    /// Creates an appender that continues after a position. Frames are signed if there is a key.
    pub(crate) fn new(
        archive: Archive,
        tree_id: Digest,
        after: LogPosition,
        key: Option<SecretKey>,
    ) -> Self {
        Self {
            archive,
            tree_id,
            key,
            writer: SegmentWriter::new(tree_id, 0, after),
            archived: after,
        }
    }

    /// Returns the last position that is in the archive.
    pub(crate) fn archived(&self) -> LogPosition {
        self.archived
    }

    /// Returns whether entries are waiting for their segment to be written.
    pub(crate) fn has_waiting(&self) -> bool {
        self.writer.last() != self.archived
    }

    /// Returns whether the appended entries must be written before this one.
    pub(crate) fn must_write_before(&self, entry: &LogEntry) -> bool {
        let is_other_epoch = entry.record.open_epoch != self.writer.open_epoch();
        self.has_waiting() && (self.writer.is_full() || is_other_epoch)
    }

    /// Returns whether the appended entries fill a segment.
    pub(crate) fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// Appends the next entry. Writes nothing.
    pub(crate) fn append(&mut self, entry: LogEntry) -> Result<(), WriteError> {
        let (record, last) = (&entry.record, self.writer.last());
        let (version, commit_id, open_epoch) =
            (record.version, record.commit_id(), record.open_epoch);
        let follows = record.tree_id == self.tree_id
            && last.version.checked_add(1) == Some(version)
            && record.parent == last.commit_id;
        if !follows {
            return Err(WriteError::NotNext { version, last });
        }
        let frame = match &self.key {
            Some(key) => Frame::sign(entry, key),
            None => Frame {
                entry,
                signature: UNSIGNED,
            },
        };
        let bytes = frame.encode(Compression::Lz4);
        let bytes = bytes.map_err(|source| WriteError::Frame { version, source })?;
        if !self.has_waiting() {
            self.writer = SegmentWriter::new(self.tree_id, open_epoch, self.archived);
        }
        self.writer.push(commit_id, &bytes);
        Ok(())
    }

    /// Writes the appended entries. After an error the appender is unchanged, and this can be called again.
    pub(crate) async fn write(&mut self) -> Result<(), WriteError> {
        if let Some((name, bytes)) = self.writer.finish() {
            self.archive
                .put_once(&name.to_string(), bytes.into())
                .await?;
            self.archived = self.writer.last();
            let epoch = self.writer.open_epoch();
            self.writer = SegmentWriter::new(self.tree_id, epoch, self.archived);
        }
        Ok(())
    }
}

/// Reads frames of an archive, for a replica whose primary no longer has them.
///
/// ```
/// use trunkline_archive::{Archive, FrameReader};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().to_str().unwrap();
/// let reader = FrameReader::new(Archive::at(path)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameReader {
    archive: Archive,
    listed: Mutex<Option<Arc<ListedSegments>>>,
}

/// The segments that count, as of the last listing of the archive.
#[derive(Debug)]
struct ListedSegments {
    tree_id: Digest,
    /// The version up to which frames were requested.
    until: u64,
    live: Live,
}

impl FrameReader {
    /// Returns a reader of an archive.
    pub fn new(archive: Archive) -> Self {
        Self {
            archive,
            listed: Mutex::default(),
        }
    }

    /// Returns frames from a version on, in order and without gaps: those of the segment that has the version, up to
    /// `until`. Returns none unless the archive has all of them: a part of them could come from a primary that was
    /// replaced and whose successor has archived nothing yet. The replica checks the signatures.
    ///
    /// # Errors
    ///
    /// Fails if the archive cannot be read, or is damaged.
    pub async fn frames(&self, from: u64, until: u64) -> Result<Vec<Frame>, AccessError> {
        let Some(listed) = self.listed(from, until).await? else {
            return Ok(Vec::new());
        };
        let Some((name, end)) = listed.live.segment_with(from) else {
            return Ok(Vec::new());
        };
        let segment = read(&self.archive, &listed.tree_id, name).await?;
        (from..=end.min(until))
            .map(|version| frame(name, &segment, version))
            .collect()
    }

    /// Lists the archive, once for all frames up to a version. Returns `None` if the archive does not have all of them.
    async fn listed(
        &self,
        from: u64,
        until: u64,
    ) -> Result<Option<Arc<ListedSegments>>, AccessError> {
        let mut listed = self.listed.lock().await;
        if let Some(listed) = listed.as_ref().filter(|listed| listed.until == until) {
            return Ok(Some(listed.clone()));
        }
        let tree_id = self.archive.params().await?.tree_id();
        let live = self.archive.catalog().await?.live();
        *listed = live.has_all(from, until).then(|| {
            Arc::new(ListedSegments {
                tree_id,
                until,
                live,
            })
        });
        Ok(listed.clone())
    }
}

/// Reads a segment.
pub(crate) async fn read(
    archive: &Archive,
    tree_id: &Digest,
    name: SegmentName,
) -> Result<Segment, AccessError> {
    let object = name.to_string();
    let bytes = archive.get(&object, SEGMENT_BYTES_MAX as u64).await?;
    Segment::decode(tree_id, &name, &bytes).map_err(|source| AccessError::Object { object, source })
}

/// Returns the frame of a version in a segment that has it.
pub(crate) fn frame(
    name: SegmentName,
    segment: &Segment,
    version: u64,
) -> Result<Frame, AccessError> {
    let wrong = |what| AccessError::Object {
        object: name.to_string(),
        source: ObjectError::Contradiction(what),
    };
    let index = version.checked_sub(name.first_version);
    let bytes = index.and_then(|index| segment.frames.get(usize::try_from(index).ok()?));
    let bytes = bytes.ok_or_else(|| wrong("it lacks a version that its name promises"))?;
    let frame = Frame::decode(bytes).map_err(|_| wrong("a frame in it cannot be read"))?;
    let record = &frame.entry.record;
    match (record.version, record.open_epoch) == (version, name.open_epoch) {
        true => Ok(frame),
        false => Err(wrong("a frame in it is of another version or epoch")),
    }
}
