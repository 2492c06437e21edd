//! Histograms second by second, as an HdrHistogram interval log (V2, compressed): what HdrHistogram's own tools
//! read. Values are nanoseconds; a line's tag is kind and measure, such as `update.latency`, or a stage of the engine
//! and what its work on a version took, such as `tree.service`.
//!
//! Not here: the figures that are taken out of them (`measure`), and plots.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError,
    LogEntry, LogIteratorError, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializeError, V2DeflateSerializer};

use super::run::OperationKind;
use super::run_files::{FILE_BYTES_MAX, RunFileError, read_file, write_file};
use trunkline::Stage;

/// Name of the file in a run's directory.
pub const INTERVAL_LOG_FILE: &str = "latency.hlog";

/// Cookie of an uncompressed histogram, version 2, one byte a word.
const V2_COOKIE: u32 = 0x1c84_9303 | 0x10;
/// Cookie, length, offset, digits, least and greatest value, ratio.
const V2_HEADER_BYTES: usize = 40;
/// Digits that are told apart: more would take more memory than any log of ours.
const DIGITS_MAX: u32 = 3;
/// Bytes of the longest histogram: nine for each of its counts.
const HISTOGRAM_BYTES_MAX: usize = 1 << 20;

/// What of an operation a histogram is of.
///
/// ```
/// assert_ne!(trunkline_load::Measure::Latency, trunkline_load::Measure::Service);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// From the intended start to the end.
    Latency,
    /// From the real start to the end.
    Service,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Service => "service",
        }
    }
}

/// Why an interval log can't be used.
///
/// ```
/// use trunkline_load::IntervalLog;
/// let log = IntervalLog::from_bytes(b"Tag=update.latency,0.000,1.000,5.0,AAAA\n".to_vec());
/// let error = log.intervals().next().unwrap().unwrap_err();
/// assert!(error.to_string().starts_with("line 1 of the interval log"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum IntervalLogError {
    /// A line is not one of an interval log.
    #[error("the interval log has something else at byte {offset}")]
    Form {
        /// From the beginning of the file.
        offset: usize,
    },
    /// A tag says nothing that is known here.
    #[error("line {line} of the interval log has a tag that is no kind of operation and measure")]
    Tag {
        /// Intervals alone are counted, from 1.
        line: usize,
    },
    /// A histogram is not in the form that is written here, or longer.
    #[error(
        "line {line} of the interval log holds no histogram of version 2 with up to three digits"
    )]
    Histogram {
        /// Intervals alone are counted, from 1.
        line: usize,
    },
    /// A histogram can't be written.
    #[error("a histogram cannot be written")]
    Write(#[source] IntervalLogWriterError<V2DeflateSerializeError>),
}

/// One kind of operation in one second, one measure of it.
///
/// ```
/// use trunkline_load::{Interval, Measure, OperationKind};
/// let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
/// histogram.record(1_500).unwrap();
/// let (kind, measure) = (OperationKind::Read, Measure::Service);
/// let interval = Interval { second: 7, kind, measure, histogram };
/// assert_eq!(interval.histogram.max(), 1_500); // nanoseconds
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Counts from 0, from the end of the warm-up.
    pub second: u64,
    /// Kind of operation.
    pub kind: OperationKind,
    /// What of it.
    pub measure: Measure,
    /// Nanoseconds.
    pub histogram: Histogram<u64>,
}

/// A line's number and what it says.
type Line<'a> = (usize, IntervalLogHistogram<'a>);

/// Histograms by second, of one kind and measure.
pub type BySecond = BTreeMap<u64, Histogram<u64>>;

/// An interval log, in memory as it is in its file. Histograms are decoded when they are asked for.
///
/// ```
/// use trunkline_load::{Interval, IntervalLog, Measure, OperationKind};
/// let mut histogram = hdrhistogram::Histogram::new(3).unwrap();
/// histogram.record_n(250_000, 10).unwrap();
/// let (kind, measure) = (OperationKind::Update, Measure::Latency);
/// let mut log = IntervalLog::new(1_700_000_000_000);
/// log.add(&Interval { second: 0, kind, measure, histogram })?;
///
/// let read = IntervalLog::from_bytes(log.as_bytes().to_vec());
/// assert_eq!(read.by_second(kind, measure)?[&0].len(), 10);
/// # Ok::<(), trunkline_load::IntervalLogError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalLog {
    bytes: Vec<u8>,
}

impl IntervalLog {
    /// An empty one; its first second begins so many milliseconds after 1970.
    pub fn new(began_unix_ms: u64) -> Self {
        let mut bytes = Vec::new();
        let begun = IntervalLogWriterBuilder::new()
            .add_comment("trunkline load, interval log 1")
            .add_comment("Values are nanoseconds. Tags are KIND.latency (from the intended start) and KIND.service")
            .add_comment("(from the real start), one line a second in which operations of the kind ended; and")
            .add_comment("STAGE.service, what a stage of the engine took for each version that it ended in a second.")
            .with_start_time(UNIX_EPOCH + Duration::from_millis(began_unix_ms))
            .begin_log_with(&mut bytes, &mut V2DeflateSerializer::new())
            .map(|_| ());
        debug_assert!(begun.is_ok(), "writing to memory does not fail");
        Self { bytes }
    }

    /// What is in a file; nothing is looked at yet.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// As it is in a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a line.
    pub fn add(&mut self, interval: &Interval) -> Result<(), IntervalLogError> {
        let Interval {
            second,
            kind,
            measure,
            histogram,
        } = interval;
        self.add_parts(*second, *kind, *measure, histogram)
    }

    pub(crate) fn add_parts(
        &mut self,
        second: u64,
        kind: OperationKind,
        measure: Measure,
        histogram: &Histogram<u64>,
    ) -> Result<(), IntervalLogError> {
        let tag = format!("{}.{}", kind.name(), measure.name());
        write_line(&mut self.bytes, second, &tag, histogram)
    }

    /// Appends lines that were made by [`stage_line`].
    pub(crate) fn append_lines(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Takes whole lines out again.
    pub(crate) fn remove(&mut self, bytes: std::ops::Range<usize>) {
        self.bytes.drain(bytes);
    }

    /// All lines of operations in order, decoded one by one.
    pub fn intervals(&self) -> impl Iterator<Item = Result<Interval, IntervalLogError>> {
        self.lines().filter_map(|line| match line {
            Ok((line, interval)) => decode(line, &interval).transpose(),
            Err(error) => Some(Err(error)),
        })
    }

    /// Lines with a histogram, counted from 1.
    fn lines(&self) -> impl Iterator<Item = Result<Line<'_>, IntervalLogError>> {
        let mut line = 0;
        IntervalLogIterator::new(&self.bytes).filter_map(move |entry| match entry {
            Ok(LogEntry::Interval(interval)) => {
                line += 1;
                Some(Ok((line, interval)))
            }
            Ok(_) => None,
            Err(LogIteratorError::ParseError { offset }) => {
                Some(Err(IntervalLogError::Form { offset }))
            }
        })
    }

    /// What a stage of the engine took for each version that it ended, second by second.
    pub fn stage_by_second(&self, stage: Stage) -> Result<BySecond, IntervalLogError> {
        let mut seconds = BySecond::new();
        for line in self.lines() {
            let (line, interval) = line?;
            if tag(&interval) == Some(Tagged::Stage(stage)) {
                let second = interval.start_timestamp().as_secs();
                add_to(&mut seconds, second, histogram_of(line, &interval)?);
            }
        }
        Ok(seconds)
    }

    /// Which kinds and measures it has histograms of, without decoding any.
    pub fn tags(&self) -> Result<Vec<(OperationKind, Measure)>, IntervalLogError> {
        let mut tags = Vec::new();
        for line in self.lines() {
            let (line, interval) = line?;
            let tag = tag(&interval).ok_or(IntervalLogError::Tag { line })?;
            if let Tagged::Operation(kind, measure) = tag
                && !tags.contains(&(kind, measure))
            {
                tags.push((kind, measure));
            }
        }
        tags.sort_unstable();
        Ok(tags)
    }

    /// One kind and measure, second by second. Lines of the same second are added up.
    pub fn by_second(
        &self,
        kind: OperationKind,
        measure: Measure,
    ) -> Result<BySecond, IntervalLogError> {
        let mut seconds = BySecond::new();
        for interval in self.intervals() {
            let interval = interval?;
            if (interval.kind, interval.measure) != (kind, measure) {
                continue;
            }
            add_to(&mut seconds, interval.second, interval.histogram);
        }
        Ok(seconds)
    }

    /// Writes [`INTERVAL_LOG_FILE`] into a directory, which is created if missing.
    pub fn write_to(&self, directory: &Path) -> Result<PathBuf, RunFileError> {
        write_file(directory, INTERVAL_LOG_FILE, &self.bytes)
    }

    /// Reads [`INTERVAL_LOG_FILE`] from a directory.
    pub fn read_from(directory: &Path) -> Result<Self, RunFileError> {
        let bytes = read_file(&directory.join(INTERVAL_LOG_FILE), FILE_BYTES_MAX)?;
        Ok(Self { bytes })
    }
}

/// Adds up, growing where it must.
pub(crate) fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.auto(true);
    let added = sum.add(more);
    debug_assert!(added.is_ok(), "one that grows takes everything");
}

fn add_to(seconds: &mut BySecond, second: u64, histogram: Histogram<u64>) {
    match seconds.entry(second) {
        std::collections::btree_map::Entry::Vacant(vacant) => {
            vacant.insert(histogram);
        }
        std::collections::btree_map::Entry::Occupied(mut there) => {
            add(there.get_mut(), &histogram);
        }
    }
}

/// A line of what a stage took in a second.
pub(super) fn stage_line(
    second: u64,
    stage: Stage,
    histogram: &Histogram<u64>,
) -> Result<Vec<u8>, IntervalLogError> {
    let mut line = Vec::new();
    let tag = format!("{stage}.{}", Measure::Service.name());
    write_line(&mut line, second, &tag, histogram)?;
    Ok(line)
}

fn write_line(
    bytes: &mut Vec<u8>,
    second: u64,
    tag: &str,
    histogram: &Histogram<u64>,
) -> Result<(), IntervalLogError> {
    let mut serializer = V2DeflateSerializer::new();
    IntervalLogWriterBuilder::new()
        .begin_log_with(bytes, &mut serializer)
        .map_err(|error| IntervalLogError::Write(error.into()))?
        .write_histogram(
            histogram,
            Duration::from_secs(second),
            Duration::from_secs(1),
            Tag::new(tag),
        )
        .map_err(IntervalLogError::Write)
}

/// What a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tagged {
    Operation(OperationKind, Measure),
    /// Its service alone.
    Stage(Stage),
}

fn tag(interval: &IntervalLogHistogram<'_>) -> Option<Tagged> {
    let tag = interval.tag()?;
    let (subject, measure) = tag.as_str().split_once('.')?;
    let measures = [Measure::Latency, Measure::Service];
    let measure = measures.into_iter().find(|known| known.name() == measure)?;
    let mut kinds = OperationKind::ALL.into_iter();
    if let Some(kind) = kinds.find(|known| known.name() == subject) {
        return Some(Tagged::Operation(kind, measure));
    }
    let stage = Stage::ALL
        .into_iter()
        .find(|known| known.name() == subject)?;
    (measure == Measure::Service).then_some(Tagged::Stage(stage))
}

/// A line of operations; none if it is a stage's.
fn decode(
    line: usize,
    interval: &IntervalLogHistogram<'_>,
) -> Result<Option<Interval>, IntervalLogError> {
    let tag = tag(interval).ok_or(IntervalLogError::Tag { line })?;
    let Tagged::Operation(kind, measure) = tag else {
        return Ok(None);
    };
    Ok(Some(Interval {
        second: interval.start_timestamp().as_secs(),
        kind,
        measure,
        histogram: histogram_of(line, interval)?,
    }))
}

fn histogram_of(
    line: usize,
    interval: &IntervalLogHistogram<'_>,
) -> Result<Histogram<u64>, IntervalLogError> {
    let histogram = inflated(interval.encoded_histogram()).and_then(|bytes| {
        let digits_fit = header_holds(&bytes)?;
        digits_fit.then(|| Deserializer::new().deserialize(&mut &bytes[..]).ok())?
    });
    histogram.ok_or(IntervalLogError::Histogram { line })
}

/// A histogram's own bytes, if there are not too many.
fn inflated(encoded: &str) -> Option<Vec<u8>> {
    if encoded.len() > 2 * HISTOGRAM_BYTES_MAX {
        return None;
    }
    let compressed = STANDARD.decode(encoded).ok()?;
    // The cookie and the length of what follows.
    let compressed = compressed.get(8..)?;
    let mut bytes = Vec::new();
    let mut limited = ZlibDecoder::new(compressed).take(HISTOGRAM_BYTES_MAX as u64 + 1);
    let read: io::Result<usize> = limited.read_to_end(&mut bytes);
    read.ok().filter(|read| *read <= HISTOGRAM_BYTES_MAX)?;
    Some(bytes)
}

/// What would let the decoder take memory is looked at before it does.
fn header_holds(bytes: &[u8]) -> Option<bool> {
    let word = |place: usize| {
        let word = bytes.get(place..place + 4)?;
        Some(u32::from_be_bytes(word.try_into().ok()?))
    };
    let payload_bytes = usize::try_from(word(4)?).ok()?;
    let is_whole = payload_bytes == bytes.len().checked_sub(V2_HEADER_BYTES)?;
    // The one number whose sign the decoder can't change; no histogram has it.
    let has_least = bytes.windows(9).any(|window| window == [0xff; 9]);
    Some(word(0)? == V2_COOKIE && is_whole && word(12)? <= DIGITS_MAX && !has_least)
}
