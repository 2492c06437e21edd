//! Examining a log that may be damaged: every fault is reported, not only the first one.
//!
//! Nothing here writes. The numbered rules in comments are those of the module above; everything that `recover` refuses
//! is reported here too. After a fault, reading continues at the next valid frame. Faults that opening ignores are
//! reported as well: those in segments that only contain versions up to the checkpoint.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::frame::Frame;
use super::recover::{Location, Spot, ranges};
use super::segment::{SUFFIX, SegmentReader};
use super::{CommitLog, Link, LogEntry, LogPosition, ReadLogError, SegmentName};
use crate::hash::Digest;
use crate::store::disk::{Disk, TEMPORARY_SUFFIX, found};

/// A finding of an examination, in the order of the log.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{log::{CommitLog, LogEvent}, simulated::SimulatedDisk};
/// let mut entries = 0;
/// CommitLog::examine(&SimulatedDisk::new(1), Path::new("log"), &[1; 32], None, &mut |event| match event {
///     LogEvent::Entry { .. } => entries += 1,
///     LogEvent::Fault(fault) => panic!("{}", fault.error),
/// });
/// assert_eq!(entries, 0);
/// ```
#[derive(Debug)]
pub enum LogEvent {
    /// A commit that can be read.
    Entry {
        /// The commit.
        entry: Box<LogEntry>,
        /// True if the commit follows from the one before it, or from the header of its segment.
        follows: bool,
    },
    /// A fault.
    Fault(LogFault),
}

/// Damage in a log.
///
/// ```
/// use trunkline_core::store::log::{LogFault, ReadLogError};
/// let fault = LogFault { error: ReadLogError::Missing { checkpoint: 3 }, lost: None };
/// assert!(fault.error.to_string().ends_with("restore the log's directory from a copy"));
/// ```
#[derive(Debug)]
pub struct LogFault {
    /// The error of opening the log at this fault.
    pub error: ReadLogError,
    /// The versions that the fault makes unreadable. If the end is not known, it is `u64::MAX`.
    pub lost: Option<RangeInclusive<u64>>,
}

/// The result of an examination, apart from the events.
///
/// ```
/// use std::path::Path;
/// use trunkline_core::store::{log::CommitLog, simulated::SimulatedDisk};
/// let examined =
///     CommitLog::examine(&SimulatedDisk::new(1), Path::new("log"), &[1; 32], None, &mut |_| {});
/// assert_eq!((examined.last, examined.segments.len()), (None, 0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The segments, in the order in which they were begun.
    pub segments: Vec<SegmentName>,
    /// Segments that never got their names. Opening the log removes them.
    pub unnamed: Vec<PathBuf>,
    /// The last commit that was read.
    pub last: Option<LogPosition>,
    /// Bytes after the last commit of a log that was cut off, as in [`Survey`](super::Survey).
    pub torn_bytes: u64,
    /// True if the log was closed.
    pub closed: bool,
}

impl CommitLog {
    /// Reads all of a log and passes every commit and every fault to `report`, in order. `from` is the position of the
    /// checkpoint, if it is known. Writes nothing.
    pub fn examine(
        disk: &dyn Disk,
        directory: &Path,
        tree_id: &Digest,
        from: Option<LogPosition>,
        report: &mut dyn FnMut(LogEvent),
    ) -> Examined {
        let location = Location {
            disk,
            directory,
            tree_id,
        };
        let mut walk = Walk {
            location,
            from,
            last: None,
            reached: from.map(|from| from.version),
            report,
            examined: Examined::default(),
        };
        walk.list();
        walk.segments();
        walk.finish();
        walk.examined
    }
}

/// An examination in progress.
struct Walk<'a> {
    location: Location<'a>,
    from: Option<LogPosition>,
    /// The commit before the next one, if it was read.
    last: Option<LogPosition>,
    /// The last version that was read or reported, if the checkpoint or a segment shows it.
    reached: Option<u64>,
    report: &'a mut dyn FnMut(LogEvent),
    examined: Examined,
}

impl Walk<'_> {
    fn fault(&mut self, error: ReadLogError, lost: Option<RangeInclusive<u64>>) {
        let lost = lost.filter(|lost| !lost.is_empty());
        if let Some(lost) = &lost {
            self.reached = self.reached.max(Some(*lost.end()));
        }
        (self.report)(LogEvent::Fault(LogFault { error, lost }));
    }

    /// Returns the version of the checkpoint, or 0 if it is not known.
    fn checkpoint(&self) -> u64 {
        self.from.map_or(0, |from| from.version)
    }

    /// Lists the segments.
    fn list(&mut self) {
        let directory = self.location.directory;
        let names = match found(self.location.disk.list(directory)) {
            Ok(names) => names.unwrap_or_default(),
            Err(source) => {
                let path = directory.to_owned();
                return self.fault(ReadLogError::Io { path, source }, None);
            }
        };
        for name in names {
            let path = directory.join(&name);
            match SegmentName::parse(&name) {
                Some(segment) => self.examined.segments.push(segment),
                None if name.ends_with(SUFFIX) => self.fault(ReadLogError::Name { path }, None),
                None if name.ends_with(TEMPORARY_SUFFIX) => self.examined.unnamed.push(path),
                None => {}
            }
        }
        self.examined.segments.sort_unstable();
    }

    fn segments(&mut self) {
        let segments = self.examined.segments.clone();
        for (segment, range) in segments.iter().zip(ranges(&segments)) {
            if range.is_empty() {
                continue;
            }
            match self.location.open(*segment) {
                Ok(mut reader) => {
                    self.enter(&reader);
                    self.read(&mut reader, &range, Some(segment) == segments.last());
                }
                Err(error) => {
                    self.last = None;
                    self.fault(error, Some(range));
                }
            }
        }
    }

    /// Compares the beginning of a segment with the end of the one before it.
    fn enter(&mut self, reader: &SegmentReader) {
        let segment = reader.header.name;
        let before = LogPosition {
            version: segment.version_before(),
            commit_id: reader.header.parent,
        };
        // Versions up to the checkpoint are not needed, and trimming may have removed any of them.
        let reached = self.reached.map(|reached| reached.max(self.checkpoint()));
        if let Some(reached) = reached
            && before.version > reached
        {
            let expected = reached.saturating_add(1);
            let error = ReadLogError::Gap { expected, segment };
            self.fault(error, Some(expected..=before.version));
        } else if let Some(last) = self.last
            && last.version == before.version
            && last.commit_id != before.commit_id
        {
            let error = ReadLogError::Chain {
                segment,
                offset: 0,
                version: segment.first_version,
                link: Link::Parent,
            };
            self.fault(error, None);
        }
        self.reach(before);
    }

    /// Advances; the commit at the checkpoint's version must be that of the checkpoint.
    fn reach(&mut self, position: LogPosition) {
        let version = position.version;
        if let Some(from) = self.from
            && version == from.version
            && position.commit_id != from.commit_id
        {
            self.fault(ReadLogError::OtherHistory { version }, None);
        }
        self.last = Some(position);
        self.reached = Some(version);
        self.examined.last = Some(position);
    }

    /// Reads a segment up to the end of its range, or the last segment to its end.
    fn read(&mut self, reader: &mut SegmentReader, range: &RangeInclusive<u64>, is_last: bool) {
        let mut spot = Spot::first(reader);
        while spot.version <= *range.end() {
            if spot.offset == reader.length {
                return match is_last {
                    true => {}
                    false => self.gap(spot, range),
                };
            }
            let frame = match reader.frame_at(spot.offset) {
                Ok(frame) => frame,
                Err(source) => {
                    let path = self.location.path_of(spot.segment);
                    self.last = None;
                    let lost = spot.version..=*range.end();
                    return self.fault(ReadLogError::Io { path, source }, Some(lost));
                }
            };
            let next = match frame {
                Ok(frame) => self.take(reader, spot, &frame, range, is_last),
                Err(error) => {
                    let damaged = |synced| spot.damaged(synced, error);
                    self.pass(reader, spot, range, is_last, damaged)
                }
            };
            match next {
                Some(next) => spot = next,
                None => return,
            }
        }
    }

    /// Takes a valid frame. Returns the position of the next one, if one should follow.
    fn take(
        &mut self,
        reader: &mut SegmentReader,
        spot: Spot,
        frame: &Frame,
        range: &RangeInclusive<u64>,
        is_last: bool,
    ) -> Option<Spot> {
        match spot.content(frame) {
            Err(error) => {
                self.last = None;
                self.fault(error, Some(spot.version..=spot.version));
                Some(spot.after(frame))
            }
            Ok(Some(entry)) => {
                let version = entry.record.version;
                self.follow(spot, frame, entry);
                Some(Spot { version, ..spot }.after(frame))
            }
            Ok(None) if is_last => {
                self.examined.closed = true;
                let named = spot.version.saturating_sub(1);
                let header = &frame.header;
                let right = header.version == named && header.synced_version == named;
                let follows = matches!(reader.frame_at(spot.after(frame).offset), Ok(Ok(_)));
                if !right || follows {
                    self.fault(spot.chain(Link::Close), None);
                }
                None
            }
            Ok(None) => {
                self.gap(spot, range);
                None
            }
        }
    }

    /// Reports that a segment ends before its range does, unless the checkpoint covers the range: then the segments
    /// after it may have been trimmed.
    fn gap(&mut self, spot: Spot, range: &RangeInclusive<u64>) {
        if *range.end() <= self.checkpoint() {
            self.last = None;
            return;
        }
        let error = ReadLogError::Gap {
            expected: spot.version,
            segment: spot.segment,
        };
        self.last = None;
        self.fault(error, Some(spot.version..=*range.end()));
    }

    fn follow(&mut self, spot: Spot, frame: &Frame, entry: LogEntry) {
        let record = &entry.record;
        let parent = self.last.map(|last| last.commit_id);
        let is_synced = frame.header.synced_version >= record.version;
        let link = Link::broken(record, Some(spot.version), self.location.tree_id, parent)
            .or(is_synced.then_some(Link::Synced));
        if let Some(link) = link {
            self.fault(spot.chain(link), None);
        }
        let follows = link.is_none() && self.last.is_some();
        self.reach(LogPosition::of(record));
        let entry = Box::new(entry);
        (self.report)(LogEvent::Entry { entry, follows });
    }

    /// Skips a place without a valid frame. Returns the position of the next one. In the last segment the log may end
    /// there (rule 4).
    fn pass(
        &mut self,
        reader: &mut SegmentReader,
        spot: Spot,
        range: &RangeInclusive<u64>,
        is_last: bool,
        damaged: impl FnOnce(u64) -> ReadLogError,
    ) -> Option<Spot> {
        let (next, shown) = next_frame(reader, spot);
        let synced = match is_last {
            true => self
                .checkpoint()
                .max(shown)
                .max(spot.segment.version_before()),
            false => *range.end(),
        };
        if spot.version > synced {
            self.examined.torn_bytes = reader.length - spot.offset;
            return None;
        }
        let end = next.map_or(*range.end(), |next| next.version.saturating_sub(1));
        self.last = None;
        self.fault(damaged(synced), Some(spot.version..=end));
        next
    }

    /// Compares the end of the log with the checkpoint, and the segments with the name of the last one.
    fn finish(&mut self) {
        let checkpoint = self.checkpoint();
        let last = self.examined.last;
        match last {
            None if self.examined.segments.is_empty() && checkpoint > 0 => {
                let lost = checkpoint.saturating_add(1)..=u64::MAX;
                self.fault(ReadLogError::Missing { checkpoint }, Some(lost));
            }
            Some(last) if last.version < checkpoint => {
                let lost = last.version + 1..=u64::MAX;
                let last = last.version;
                self.fault(ReadLogError::Behind { checkpoint, last }, Some(lost));
            }
            _ => {}
        }
        let last = last.or(self.from).unwrap_or(LogPosition {
            version: 0,
            commit_id: [0; 32],
        });
        let segments = &self.examined.segments;
        if let Err(error) = self.location.check_last_segment(segments, last) {
            self.fault(error, None);
        }
    }
}

/// Returns the next valid frame after a broken one, and the highest synced version in any frame there.
fn next_frame(reader: &mut SegmentReader, broken: Spot) -> (Option<Spot>, u64) {
    let (mut next, mut shown, mut offset) = (None, 0, broken.offset + 1);
    while let Ok(Some(found)) = reader.find_mark(offset) {
        offset = found + 1;
        if let Ok(Ok(frame)) = reader.frame_at(found) {
            let header = &frame.header;
            // A clean close comes after the version that it names.
            let is_close = header.body_bytes == 0;
            let version = header.version.saturating_add(u64::from(is_close));
            next.get_or_insert(Spot {
                offset: found,
                version,
                ..broken
            });
            shown = shown.max(header.synced_version);
            offset = found + header.frame_bytes() as u64;
        }
    }
    (next, shown)
}
