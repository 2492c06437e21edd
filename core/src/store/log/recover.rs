//! Reading a log from a checkpoint on, and distinguishing valid, torn and damaged frames.
//!
//! Nothing here writes. The numbered rules in comments are those of the module above.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::frame::Frame;
use super::last_segment;
use super::segment::{OpenSegmentError, SEGMENT_HEADER_BYTES, SUFFIX, SegmentName, SegmentReader};
use super::{FrameError, Link, LogEntry, LogPosition, OpenLogError, ReadLogError, Survey};
use crate::hash::Digest;
use crate::store::disk::{Disk, found};

/// The place of a log, and the tree that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Location<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) directory: &'a Path,
    pub(super) tree_id: &'a Digest,
}

/// The result of a scan.
pub(super) struct Scanned {
    pub(super) survey: Survey,
    /// The offsets of the versions above `survey.synced_version` in the last segment, in order.
    pub(super) unproven: Vec<u64>,
    /// The bytes of the visited frames.
    pub(super) visited_bytes: u64,
}

/// Returns the range of each segment (rule 1), in order; `u64::MAX` ends the last one.
pub(super) fn ranges(segments: &[SegmentName]) -> Vec<RangeInclusive<u64>> {
    let mut end = u64::MAX;
    let mut ranges: Vec<_> = segments
        .iter()
        .rev()
        .map(|segment| {
            let range = segment.first_version..=end;
            end = end.min(segment.version_before());
            range
        })
        .collect();
    ranges.reverse();
    ranges
}

/// Reads the log and visits every commit after `from`, in order.
pub(super) fn scan<E: std::error::Error + 'static>(
    location: Location<'_>,
    from: LogPosition,
    visit: &mut dyn FnMut(LogEntry) -> Result<(), E>,
) -> Result<Scanned, OpenLogError<E>> {
    let segments = location.segments()?;
    let Some(&last_segment) = segments.last() else {
        return Ok(empty(from)?);
    };
    let mut walk = Walk {
        location,
        from,
        last: None,
        visited_bytes: 0,
        visit,
    };
    for (segment, range) in segments.iter().zip(ranges(&segments)) {
        let counts = !range.is_empty() && *range.end() > from.version;
        if counts && *segment != last_segment {
            let mut reader = walk.enter(*segment)?;
            walk.read_range(&mut reader, *range.end())?;
        }
    }
    let mut reader = walk.enter(last_segment)?;
    let tail = walk.read_tail(&mut reader)?;
    let last = walk.finish()?;
    location.check_last_segment(&segments, last)?;
    let proven = tail
        .synced_version
        .saturating_sub(last_segment.version_before());
    Ok(Scanned {
        unproven: tail.offsets.into_iter().skip(proven as usize).collect(),
        visited_bytes: walk.visited_bytes,
        survey: Survey {
            last,
            synced_version: tail.synced_version,
            torn_bytes: tail.torn_bytes,
            closed: tail.closed,
            segments,
        },
    })
}

/// Handles a log without segments, which is valid only before the first commit.
fn empty(from: LogPosition) -> Result<Scanned, ReadLogError> {
    if from.version > 0 {
        return Err(ReadLogError::Missing {
            checkpoint: from.version,
        });
    }
    Ok(nothing(from))
}

/// Returns the result of a scan of a log without segments.
pub(super) fn nothing(from: LogPosition) -> Scanned {
    Scanned {
        survey: Survey {
            last: from,
            synced_version: from.version,
            torn_bytes: 0,
            closed: true,
            segments: Vec::new(),
        },
        unproven: Vec::new(),
        visited_bytes: 0,
    }
}

impl Location<'_> {
    pub(super) fn path_of(&self, segment: SegmentName) -> PathBuf {
        self.directory.join(segment.to_string())
    }

    fn io(&self, segment: SegmentName) -> impl Fn(io::Error) -> ReadLogError {
        let path = self.path_of(segment);
        move |source| ReadLogError::Io {
            path: path.clone(),
            source,
        }
    }

    /// Returns all segments in order. A missing directory contains none.
    pub(super) fn segments(&self) -> Result<Vec<SegmentName>, ReadLogError> {
        let listed = found(self.disk.list(self.directory));
        let names = listed.map_err(|source| ReadLogError::Io {
            path: self.directory.to_owned(),
            source,
        })?;
        let names = names.unwrap_or_default();
        let mut segments = names
            .iter()
            .filter(|name| name.ends_with(SUFFIX))
            .map(|name| {
                SegmentName::parse(name).ok_or_else(|| ReadLogError::Name {
                    path: self.directory.join(name),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        segments.sort_unstable();
        Ok(segments)
    }

    /// Checks that the segment that is named as the last one exists (rule 6).
    pub(super) fn check_last_segment(
        &self,
        segments: &[SegmentName],
        last: LogPosition,
    ) -> Result<(), ReadLogError> {
        match last_segment::read(self.disk, self.directory, self.tree_id)? {
            Some(segment) if segments.contains(&segment) => Ok(()),
            Some(segment) => Err(ReadLogError::LastSegment { segment }),
            // The first opening was interrupted.
            None if last.version == 0 => Ok(()),
            None => Err(ReadLogError::LastSegmentFile {
                path: last_segment::path_in(self.directory),
            }),
        }
    }

    pub(super) fn open(&self, segment: SegmentName) -> Result<SegmentReader, ReadLogError> {
        let path = self.path_of(segment);
        SegmentReader::open(self.disk, &path, segment, self.tree_id).map_err(|error| match error {
            OpenSegmentError::Io(source) => ReadLogError::Io { path, source },
            OpenSegmentError::Header(source) => ReadLogError::Header { segment, source },
        })
    }
}

/// The commits of the last segment that are not known to be synced, to be read once more.
pub(super) struct Survivors<'a> {
    location: Location<'a>,
    scanned: &'a Scanned,
    /// `None` if there are no such commits.
    reader: Option<SegmentReader>,
}

impl<'a> Survivors<'a> {
    pub(super) fn open(location: Location<'a>, scanned: &'a Scanned) -> Result<Self, ReadLogError> {
        let segment = scanned.survey.segments.last().copied();
        let reader = segment
            .filter(|_| !scanned.unproven.is_empty())
            .map(|segment| location.open(segment))
            .transpose()?;
        Ok(Self {
            location,
            scanned,
            reader,
        })
    }

    /// Returns one of the commits by index, or `None` beyond the last.
    pub(super) fn entry(&mut self, index: usize) -> Result<Option<LogEntry>, ReadLogError> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        let Some(&offset) = self.scanned.unproven.get(index) else {
            return Ok(None);
        };
        let synced_version = self.scanned.survey.synced_version;
        let spot = Spot {
            segment: reader.header.name,
            offset,
            version: synced_version.saturating_add(index as u64 + 1),
        };
        let frame = reader
            .frame_at(offset)
            .map_err(self.location.io(spot.segment))?
            .map_err(|error| spot.damaged(synced_version, error))?;
        match spot.content(&frame)? {
            Some(entry) => Ok(Some(entry)),
            None => Err(spot.chain(Link::Close)),
        }
    }
}

/// The end of the last segment.
struct Tail {
    /// The offset of each commit in it.
    offsets: Vec<u64>,
    synced_version: u64,
    torn_bytes: u64,
    closed: bool,
}

/// A scan in progress, commit by commit.
struct Walk<'a, E> {
    location: Location<'a>,
    from: LogPosition,
    /// The last commit read; `None` before the first segment.
    last: Option<LogPosition>,
    visited_bytes: u64,
    visit: &'a mut dyn FnMut(LogEntry) -> Result<(), E>,
}

/// A position in a segment where a version is expected.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) segment: SegmentName,
    pub(super) offset: u64,
    pub(super) version: u64,
}

impl<E: std::error::Error + 'static> Walk<'_, E> {
    /// Opens the next segment, which must continue where the last one ended.
    fn enter(&mut self, segment: SegmentName) -> Result<SegmentReader, ReadLogError> {
        let reader = self.location.open(segment)?;
        let before = LogPosition {
            version: segment.version_before(),
            commit_id: reader.header.parent,
        };
        let expected = self.last.unwrap_or(self.from).version;
        let follows = match self.last {
            None => before.version <= expected,
            Some(_) => before.version == expected,
        };
        if !follows {
            return Err(ReadLogError::Gap {
                expected: expected.saturating_add(1),
                segment,
            });
        }
        if self
            .last
            .is_some_and(|last| last.commit_id != before.commit_id)
        {
            return Err(ReadLogError::Chain {
                segment,
                offset: 0,
                version: segment.first_version,
                link: Link::Parent,
            });
        }
        self.reach(before)?;
        Ok(reader)
    }

    /// Reads a segment up to the end of its range, the beginning of the next segment (rule 3).
    fn read_range(&mut self, reader: &mut SegmentReader, end: u64) -> Result<(), OpenLogError<E>> {
        let mut spot = Spot::first(reader);
        while spot.version <= end {
            let gap = ReadLogError::Gap {
                expected: spot.version,
                segment: spot.segment,
            };
            if spot.offset == reader.length {
                return Err(gap.into());
            }
            let frame = self.frame_at(reader, spot)?;
            let frame = frame.map_err(|error| spot.damaged(end, error))?;
            let entry = spot.content(&frame)?.ok_or(gap)?;
            self.follow(spot, &frame, entry)?;
            spot = spot.after(&frame);
        }
        Ok(())
    }

    /// Reads the last segment until it ends, breaks off, or proves to be damaged (rule 4).
    fn read_tail(&mut self, reader: &mut SegmentReader) -> Result<Tail, OpenLogError<E>> {
        let mut tail = Tail {
            offsets: Vec::new(),
            synced_version: reader.header.name.version_before().max(self.from.version),
            torn_bytes: 0,
            closed: false,
        };
        let mut spot = Spot::first(reader);
        while spot.offset < reader.length {
            let frame = match self.frame_at(reader, spot)? {
                Ok(frame) => frame,
                Err(error) => {
                    let shown = self.synced_version_behind(reader, spot)?;
                    let synced_version = tail.synced_version.max(shown);
                    if spot.version <= synced_version {
                        return Err(spot.damaged(synced_version, error).into());
                    }
                    tail.torn_bytes = reader.length - spot.offset;
                    return Ok(tail);
                }
            };
            let Some(entry) = spot.content(&frame)? else {
                self.check_close(reader, spot, &frame)?;
                tail.synced_version = frame.header.version;
                tail.closed = true;
                return Ok(tail);
            };
            self.follow(spot, &frame, entry)?;
            tail.offsets.push(spot.offset);
            tail.synced_version = tail.synced_version.max(frame.header.synced_version);
            spot = spot.after(&frame);
        }
        Ok(tail)
    }

    /// Checks that the log reached the checkpoint.
    fn finish(&self) -> Result<LogPosition, ReadLogError> {
        let last = self.last.unwrap_or(self.from);
        if last.version < self.from.version {
            return Err(ReadLogError::Behind {
                checkpoint: self.from.version,
                last: last.version,
            });
        }
        Ok(last)
    }

    fn frame_at(
        &self,
        reader: &mut SegmentReader,
        spot: Spot,
    ) -> Result<Result<Frame, FrameError>, ReadLogError> {
        reader
            .frame_at(spot.offset)
            .map_err(self.location.io(spot.segment))
    }

    /// Returns the highest synced version in any valid frame after a broken one, or 0.
    fn synced_version_behind(
        &self,
        reader: &mut SegmentReader,
        broken: Spot,
    ) -> Result<u64, ReadLogError> {
        let io = self.location.io(broken.segment);
        let mut shown = 0;
        let mut offset = broken.offset + 1;
        while let Some(found) = reader.find_mark(offset).map_err(&io)? {
            offset = found + 1;
            if let Ok(frame) = reader.frame_at(found).map_err(&io)? {
                shown = shown.max(frame.header.synced_version);
                offset = found + frame.header.frame_bytes() as u64;
            }
        }
        Ok(shown)
    }

    /// Takes a commit that must follow from the last one.
    fn follow(
        &mut self,
        spot: Spot,
        frame: &Frame,
        entry: LogEntry,
    ) -> Result<(), OpenLogError<E>> {
        let record = &entry.record;
        let parent = self.last.map(|last| last.commit_id);
        let is_synced = frame.header.synced_version >= record.version;
        let link = Link::broken(record, Some(spot.version), self.location.tree_id, parent)
            .or(is_synced.then_some(Link::Synced));
        if let Some(link) = link {
            return Err(spot.chain(link).into());
        }
        self.reach(LogPosition::of(record))?;
        if record.version <= self.from.version {
            return Ok(());
        }
        self.visited_bytes += frame.header.frame_bytes() as u64;
        (self.visit)(entry).map_err(OpenLogError::Visitor)
    }

    /// Advances; the commit at the checkpoint's version must be that of the checkpoint.
    fn reach(&mut self, position: LogPosition) -> Result<(), ReadLogError> {
        if position.version == self.from.version && position.commit_id != self.from.commit_id {
            return Err(ReadLogError::OtherHistory {
                version: position.version,
            });
        }
        self.last = Some(position);
        Ok(())
    }

    /// Checks that a clean close names the last version and that no frame follows it.
    fn check_close(
        &self,
        reader: &mut SegmentReader,
        spot: Spot,
        frame: &Frame,
    ) -> Result<(), ReadLogError> {
        let header = &frame.header;
        let named = spot.version.saturating_sub(1);
        let right = header.version == named && header.synced_version == named;
        let follows = self.frame_at(reader, spot.after(frame))?.is_ok();
        if !right || follows {
            return Err(spot.chain(Link::Close));
        }
        Ok(())
    }
}

impl Spot {
    /// Returns the position of the first frame of a segment.
    pub(super) fn first(reader: &SegmentReader) -> Self {
        Self {
            segment: reader.header.name,
            offset: SEGMENT_HEADER_BYTES as u64,
            version: reader.header.name.first_version,
        }
    }

    /// Returns the position after a frame.
    pub(super) fn after(self, frame: &Frame) -> Self {
        Self {
            offset: self.offset + frame.header.frame_bytes() as u64,
            version: self.version.saturating_add(1),
            ..self
        }
    }

    pub(super) fn content(self, frame: &Frame) -> Result<Option<LogEntry>, ReadLogError> {
        frame.content().map_err(|source| ReadLogError::Unreadable {
            segment: self.segment,
            offset: self.offset,
            version: self.version,
            source,
        })
    }

    pub(super) fn damaged(self, synced_version: u64, source: FrameError) -> ReadLogError {
        ReadLogError::Damaged {
            segment: self.segment,
            offset: self.offset,
            version: self.version,
            synced_version,
            source,
        }
    }

    pub(super) fn chain(self, link: Link) -> ReadLogError {
        ReadLogError::Chain {
            segment: self.segment,
            offset: self.offset,
            version: self.version,
            link,
        }
    }
}
