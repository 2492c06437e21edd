//! Histograms second by second, as an HdrHistogram interval log (V2, compressed), which HdrHistogram's own tools read.
//! Values are nanoseconds. The tag of a line is a kind of operation and a measure, such as `update.latency`, or a stage
//! of the engine and the time that its work on a version took, such as `tree.service`; or `generator.late`, the delay
//! with which the generator itself started operations, which is one line for the whole run.

use std::collections::BTreeMap;
use std::io::Read;
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
use trunkline::Stage;
use trunkline::config::without_mark;

use super::files::{self, FILE_BYTES_MAX, FileError};
use super::run::OperationKind;
use super::run_files::RunFileError;

/// Name of the file in a run's directory.
pub const INTERVAL_LOG_FILE: &str = "latency.hlog";

/// Cookie of an uncompressed histogram, version 2, one byte a word.
const V2_COOKIE: u32 = 0x1c84_9303 | 0x10;
/// Bytes of the cookie, the length, the offset, the digits, the least and greatest value, and the ratio.
const V2_HEADER_BYTES: usize = 40;
/// The highest precision in digits. More would take more memory than any log of a load.
const DIGITS_MAX: u32 = 3;
/// Size of the longest histogram in bytes: nine for each of its counts.
const HISTOGRAM_BYTES_MAX: usize = 1 << 20;

/// The two times that are measured of each operation.
///
/// See [`IntervalLog`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Time from the intended start to the end.
    Latency,
    /// Time from the real start to the end.
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

/// An error of an interval log.
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
    #[error("byte {offset} of the interval log begins a line that is not one of an interval log")]
    Form {
        /// Offset of the line in the file.
        offset: usize,
    },
    /// A tag is not known.
    #[error("line {line} of the interval log has a tag that is no kind of operation and measure")]
    Tag {
        /// Number of the line, from 1, among those with a histogram.
        line: usize,
    },
    /// A histogram has another form, or is too long.
    #[error(
        "line {line} of the interval log holds no histogram of version 2 with up to three digits"
    )]
    Histogram {
        /// Number of the line, from 1, among those with a histogram.
        line: usize,
    },
    /// A histogram cannot be written.
    #[error("a histogram cannot be written")]
    Write(#[source] IntervalLogWriterError<V2DeflateSerializeError>),
}

/// One measure of one kind of operation in one second.
///
/// See [`IntervalLog`] for an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Number of the second, from 0 at the end of the warm-up.
    pub second: u64,
    /// Kind of operation.
    pub kind: OperationKind,
    /// The measured time.
    pub measure: Measure,
    /// The times, in nanoseconds.
    pub histogram: Histogram<u64>,
}

/// The subject of a line.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Subject {
    Operation(OperationKind, Measure),
    /// The service times of a stage of the engine.
    Stage(Stage),
    /// The delay with which the generator started operations, over the whole run.
    GeneratorLate,
}

const GENERATOR_LATE: &str = "generator.late";

impl Subject {
    fn tag(self) -> String {
        match self {
            Self::Operation(kind, measure) => format!("{}.{}", kind.name(), measure.name()),
            Self::Stage(stage) => format!("{stage}.{}", Measure::Service.name()),
            Self::GeneratorLate => GENERATOR_LATE.to_owned(),
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        if tag == GENERATOR_LATE {
            return Some(Self::GeneratorLate);
        }
        let (subject, measure) = tag.split_once('.')?;
        let measures = [Measure::Latency, Measure::Service];
        let measure = measures.into_iter().find(|known| known.name() == measure)?;
        if let Some(kind) = OperationKind::from_name(subject) {
            return Some(Self::Operation(kind, measure));
        }
        let mut stages = Stage::ALL.into_iter();
        let stage = stages.find(|known| known.name() == subject)?;
        (measure == Measure::Service).then_some(Self::Stage(stage))
    }
}

/// A line with a histogram that is not decoded yet.
pub(crate) struct Line<'a> {
    number: usize,
    subject: Subject,
    second: u64,
    interval: IntervalLogHistogram<'a>,
}

impl<'a> Line<'a> {
    fn of(number: usize, interval: IntervalLogHistogram<'a>) -> Result<Self, IntervalLogError> {
        let subject = interval
            .tag()
            .and_then(|tag| Subject::from_tag(tag.as_str()));
        Ok(Self {
            number,
            subject: subject.ok_or(IntervalLogError::Tag { line: number })?,
            second: interval.start_timestamp().as_secs(),
            interval,
        })
    }

    pub(crate) fn subject(&self) -> Subject {
        self.subject
    }

    pub(crate) fn second(&self) -> u64 {
        self.second
    }

    pub(crate) fn histogram(&self) -> Result<Histogram<u64>, IntervalLogError> {
        let bytes = inflated(self.interval.encoded_histogram());
        let decoded = bytes
            .filter(|bytes| header_holds(bytes) == Some(true))
            .and_then(|bytes| Deserializer::new().deserialize(&mut &bytes[..]).ok());
        decoded.ok_or(IntervalLogError::Histogram { line: self.number })
    }
}

/// Histograms by second, of one kind and measure.
pub type BySecond = BTreeMap<u64, Histogram<u64>>;

/// An interval log, in memory as it is in its file. Histograms are decoded on demand.
///
/// ```
/// use trunkline_load::{Histogram, Interval, IntervalLog, Measure, OperationKind};
/// let mut histogram = Histogram::new(3).unwrap();
/// histogram.record_n(250_000, 10).unwrap(); // nanoseconds
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
    /// Returns an empty log, whose first second begins at a time in milliseconds since 1970.
    pub fn new(began_unix_ms: u64) -> Self {
        let mut bytes = Vec::new();
        let begun = IntervalLogWriterBuilder::new()
            .add_comment("trunkline load, interval log 1")
            .add_comment("Values are nanoseconds. Tags are KIND.latency (from the intended start) and KIND.service")
            .add_comment("(from the real start), one line a second in which operations of the kind ended; and")
            .add_comment("STAGE.service, what a stage of the engine took for each version that it ended in a second; and")
            .add_comment("generator.late, how late the generator itself started operations, one line for the whole run.")
            .with_start_time(UNIX_EPOCH + Duration::from_millis(began_unix_ms))
            .begin_log_with(&mut bytes, &mut V2DeflateSerializer::new())
            .map(|_| ());
        debug_assert!(begun.is_ok(), "writing to memory does not fail");
        Self { bytes }
    }

    /// Returns the log of a file's content, which is not checked yet.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Returns the content of the log's file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a line.
    pub fn add(&mut self, interval: &Interval) -> Result<(), IntervalLogError> {
        let subject = Subject::Operation(interval.kind, interval.measure);
        self.add_line(interval.second, subject, &interval.histogram)
    }

    /// Adds a line of a kind and measure, or of a stage.
    pub(crate) fn add_line(
        &mut self,
        second: u64,
        subject: Subject,
        histogram: &Histogram<u64>,
    ) -> Result<(), IntervalLogError> {
        let (start, length) = (Duration::from_secs(second), Duration::from_secs(1));
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.bytes, &mut V2DeflateSerializer::new())
            .map_err(|error| IntervalLogError::Write(error.into()))?
            .write_histogram(histogram, start, length, Tag::new(&subject.tag()))
            .map_err(IntervalLogError::Write)
    }

    /// Adds the delays of the generator, if it started any operation by a schedule.
    pub(crate) fn add_generator_late(
        &mut self,
        late: &Histogram<u64>,
    ) -> Result<(), IntervalLogError> {
        match late.is_empty() {
            true => Ok(()),
            false => self.add_line(0, Subject::GeneratorLate, late),
        }
    }

    /// Returns the delays with which the generator started operations in the whole run. Empty in a closed loop.
    pub fn generator_late(&self) -> Result<Histogram<u64>, IntervalLogError> {
        let mut seconds = self.histograms_of(Subject::GeneratorLate)?;
        Ok(seconds.remove(&0).unwrap_or_else(|| histogram(3)))
    }

    /// Appends whole lines.
    pub(crate) fn append_lines(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Returns all intervals of operations in order, decoded one by one.
    pub fn intervals(&self) -> impl Iterator<Item = Result<Interval, IntervalLogError>> {
        self.lines().filter_map(|line| {
            let decoded = line.and_then(|line| {
                let Subject::Operation(kind, measure) = line.subject else {
                    return Ok(None);
                };
                Ok(Some(Interval {
                    second: line.second,
                    kind,
                    measure,
                    histogram: line.histogram()?,
                }))
            });
            decoded.transpose()
        })
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Result<Line<'_>, IntervalLogError>> {
        let mut number = 0;
        IntervalLogIterator::new(&self.bytes).filter_map(move |entry| match entry {
            Ok(LogEntry::Interval(interval)) => {
                number += 1;
                Some(Line::of(number, interval))
            }
            Ok(_) => None,
            Err(LogIteratorError::ParseError { offset }) => {
                Some(Err(IntervalLogError::Form { offset }))
            }
        })
    }

    /// Returns the times that a stage of the engine took for each version, second by second.
    pub fn stage_by_second(&self, stage: Stage) -> Result<BySecond, IntervalLogError> {
        self.histograms_of(Subject::Stage(stage))
    }

    /// Returns one measure of one kind, second by second. Lines of the same second are added up.
    pub fn by_second(
        &self,
        kind: OperationKind,
        measure: Measure,
    ) -> Result<BySecond, IntervalLogError> {
        self.histograms_of(Subject::Operation(kind, measure))
    }

    fn histograms_of(&self, subject: Subject) -> Result<BySecond, IntervalLogError> {
        let mut seconds = BySecond::new();
        for line in self.lines() {
            let line = line?;
            if line.subject == subject {
                let more = line.histogram()?;
                let sum = seconds.entry(line.second).and_modify(|sum| add(sum, &more));
                sum.or_insert(more);
            }
        }
        Ok(seconds)
    }

    /// Writes [`INTERVAL_LOG_FILE`] into a directory, which is created if missing.
    pub fn write_to(&self, directory: &Path) -> Result<PathBuf, RunFileError> {
        Ok(files::write(directory, INTERVAL_LOG_FILE, &self.bytes)?)
    }

    /// Reads [`INTERVAL_LOG_FILE`] from a directory.
    pub fn read_from(directory: &Path) -> Result<Self, RunFileError> {
        let path = directory.join(INTERVAL_LOG_FILE);
        let bytes = files::read(&path, FILE_BYTES_MAX)?;
        let bytes = without_mark(&bytes).map_err(FileError::of_text(&path))?;
        Ok(Self {
            bytes: bytes.to_vec(),
        })
    }
}

/// Returns an empty histogram that grows with its values.
pub(crate) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new(digits).unwrap_or_else(|_| unreachable!("up to five digits are a precision"))
}

/// Records a value. (`saturating_record` would not grow.)
pub(crate) fn note(histogram: &mut Histogram<u64>, value: u64) {
    let noted = histogram.record(value);
    debug_assert!(noted.is_ok(), "a histogram that grows takes every value");
}

/// Adds a histogram to another, which grows if necessary.
pub(crate) fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    sum.auto(true);
    let added = sum.add(more);
    debug_assert!(added.is_ok(), "a histogram that grows takes every value");
}

/// Returns a histogram's own bytes, if there are not too many.
fn inflated(encoded: &str) -> Option<Vec<u8>> {
    if encoded.len() > 2 * HISTOGRAM_BYTES_MAX {
        return None;
    }
    let compressed = STANDARD.decode(encoded).ok()?;
    // The cookie and the length come first.
    let mut limited = ZlibDecoder::new(compressed.get(8..)?).take(HISTOGRAM_BYTES_MAX as u64 + 1);
    let mut bytes = Vec::new();
    limited.read_to_end(&mut bytes).ok()?;
    (bytes.len() <= HISTOGRAM_BYTES_MAX).then_some(bytes)
}

/// Returns whether a histogram can be decoded within bounds. The decoder allocates before it checks the length.
fn header_holds(bytes: &[u8]) -> Option<bool> {
    let word = |offset: usize| {
        let word = bytes.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(word.try_into().ok()?))
    };
    let payload_bytes = usize::try_from(word(4)?).ok()?;
    let is_whole = payload_bytes == bytes.len().checked_sub(V2_HEADER_BYTES)?;
    // The one number whose sign the decoder cannot change. No histogram has it.
    let has_least = bytes.windows(9).any(|window| window == [0xff; 9]);
    Some(word(0)? == V2_COOKIE && is_whole && word(12)? <= DIGITS_MAX && !has_least)
}
