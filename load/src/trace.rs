//! Traces: recorded operations with the times at which they were due, as lines of text that any program can write.
//!
//! ```text
//! trunkline-trace 1
//! keys 100000
//! value_bytes 100
//! 0 read 4711
//! 10250 update 12
//! 10500 multi_get 90 25
//! ```
//!
//! The first line names the format and its number. `keys` (1 to 2^30) are put before the first operation, with values
//! of `value_bytes`. Then each line holds one operation: the nanoseconds from the beginning, never less than on the
//! previous line; the kind (`read`, `multi_get`, `verify`, `update`, `insert`, `delete`, `read_modify_write`); the
//! index of its key; for `multi_get` the number of records. Indices are below the number of keys, inserts included; an
//! insert has the next index. A line ends with a line feed and is at most 80 bytes long. There are no comments, no
//! empty lines and no repeated spaces.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use trunkline::config::without_mark;
use trunkline::core::params::VALUE_BYTES_MAX;

use super::files::{FileError, may_replace};
use super::operations::Operation;
use super::records::KEYS_MAX;
use super::run::OperationKind;
use super::schedule::TimedOperation;

/// Number of the format of traces.
pub const TRACE_FORMAT: u32 = 1;

/// Bytes of the longest line, including the line feed.
const LINE_BYTES_MAX: usize = 80;
/// Most records of a multi-get.
const COUNT_MAX: u64 = 10_000;
const HEAD: &str = "trunkline-trace";
/// Beginning of every trace, of any format. See [`may_replace`](crate::may_replace).
pub const TRACE_HEAD: &[u8] = HEAD.as_bytes();

/// An error of a trace, with its position.
///
/// ```
/// use trunkline_load::TraceSummary;
/// let text = b"trunkline-trace 1\nkeys 10\nvalue_bytes 4\n5 read 10\n";
/// let error = TraceSummary::of("typed", &text[..]).unwrap_err();
/// assert_eq!(error.to_string(), "typed:4: key 10 does not exist yet: there are 10");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not valid.
    #[error("{name}:{line}: {problem}")]
    Line {
        /// Name of the file.
        name: String,
        /// Line, from 1.
        line: u64,
        /// The problem of the line.
        problem: LineProblem,
    },
}

/// A problem of a line of a trace.
///
/// See [`TraceError`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// The first line is not that of a trace.
    #[error("this is not a trace: the first line must be \"{HEAD} {TRACE_FORMAT}\"")]
    Head,
    /// A header line is missing or its number is out of its bounds.
    #[error("expected \"{name} N\", with N from {min} to {max}")]
    Header {
        /// First word of the line.
        name: &'static str,
        /// Least number.
        min: u64,
        /// Greatest number.
        max: u64,
    },
    /// The line is too long, or the file ends within it.
    #[error("a line has at most {LINE_BYTES_MAX} bytes and ends with a line feed")]
    Length,
    /// The line has another form.
    #[error("expected \"TIME KIND INDEX\"; after multi_get also a COUNT of 1 to {COUNT_MAX}")]
    Form,
    /// The time is earlier than that of the previous line.
    #[error("its time is earlier than that of the previous line")]
    Backwards,
    /// The key does not exist yet.
    #[error("key {index} does not exist yet: there are {keys}")]
    Key {
        /// Index of the key.
        index: u64,
        /// Number of keys that exist at this line.
        keys: u64,
    },
    /// An insert does not have the next index.
    #[error("the next key to insert is {keys}, not {index}")]
    Insert {
        /// Index of the key.
        index: u64,
        /// Number of keys that exist at this line.
        keys: u64,
    },
}

/// A summary of a whole trace.
///
/// ```
/// let text = b"trunkline-trace 1\nkeys 10\nvalue_bytes 4\n5 read 1\n9 delete 1\n";
/// let summary = trunkline_load::TraceSummary::of("typed", &text[..])?;
/// assert_eq!((summary.operations, summary.deletes, summary.ended_ns), (2, 1, 9));
/// # Ok::<(), trunkline_load::TraceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Keys that are put before the first operation.
    pub keys: u64,
    /// Bytes of their values.
    pub value_bytes: usize,
    /// Number of operations.
    pub operations: u64,
    /// Number of deletes. If there are any, a read may find nothing.
    pub deletes: u64,
    /// A BLAKE3 hash over the whole trace. It identifies a trace whatever its file is called.
    pub digest: [u8; 32],
    /// The time at which the last operation is due, in nanoseconds.
    pub ended_ns: u64,
}

impl TraceSummary {
    /// Reads and checks a whole trace. Errors use `name` for its file.
    pub fn of(name: &str, input: impl BufRead) -> Result<Self, TraceError> {
        let mut reader = TraceReader::new(name, input)?;
        let mut seen = reader.summary;
        let mut digest = blake3::Hasher::new();
        for number in [seen.keys, seen.value_bytes as u64] {
            digest.update(&number.to_le_bytes());
        }
        while let Some(timed) = reader.next_operation()? {
            digest.update(&reader.line).update(b"\n");
            seen.operations += 1;
            seen.deletes += u64::from(timed.operation.kind == OperationKind::Delete);
            seen.ended_ns = timed.at_ns;
        }
        seen.digest = digest.finalize().into();
        Ok(seen)
    }
}

/// Reads a trace line by line and holds one line in memory.
///
/// ```
/// use trunkline_load::{Operation, OperationKind, TraceReader, TraceWriter};
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("operations.trace");
/// let update = Operation::new(OperationKind::Update, 3);
/// let mut writer = TraceWriter::create(&path, 10, 4)?;
/// writer.write(1_000, update)?;
/// writer.finish()?;
/// let mut reader = TraceReader::open(&path)?;
/// assert_eq!(reader.next_operation()?.unwrap().operation, update);
/// assert!(reader.next_operation()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceReader<R = BufReader<File>> {
    name: String,
    input: R,
    /// The last line without its line feed.
    line: Vec<u8>,
    lines: u64,
    /// Number of keys that exist after the lines read so far.
    keys: u64,
    at_ns: u64,
    summary: TraceSummary,
}

impl TraceReader {
    /// Opens a trace after reading and checking all of it, so that an invalid line is reported at once.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let failed = FileError::of(path);
        let name = path.display().to_string();
        // The file is read twice.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(FileError::NotAFile {
                path: path.to_owned(),
            }
            .into());
        }
        let mut file = File::open(path).map_err(failed)?;
        let summary = TraceSummary::of(&name, BufReader::new(&file))?;
        file.rewind().map_err(failed)?;
        let mut reader = Self::new(&name, BufReader::new(file))?;
        reader.summary = summary;
        Ok(reader)
    }
}

impl<R: BufRead> TraceReader<R> {
    /// Reads the head. Errors use `name` for the file. An invalid line further down is reported when it is reached.
    pub fn new(name: &str, input: R) -> Result<Self, TraceError> {
        let mut reader = Self {
            name: name.to_owned(),
            input,
            line: Vec::with_capacity(LINE_BYTES_MAX),
            lines: 0,
            keys: 0,
            at_ns: 0,
            summary: TraceSummary::default(),
        };
        let head = format!("{HEAD} {TRACE_FORMAT}");
        let is_there = reader.read_line()?;
        let line = without_mark(&reader.line).map_err(FileError::of_text(Path::new(name)))?;
        if !is_there || line != head.as_bytes() {
            return Err(reader.wrong(LineProblem::Head));
        }
        reader.keys = reader.header("keys", 1, KEYS_MAX)?;
        reader.summary.keys = reader.keys;
        let value_bytes = reader.header("value_bytes", 0, VALUE_BYTES_MAX as u64)?;
        reader.summary.value_bytes = value_bytes as usize;
        Ok(reader)
    }

    /// Returns the summary of the whole trace after [`TraceReader::open`], otherwise that of its head.
    pub fn summary(&self) -> TraceSummary {
        self.summary
    }

    /// Returns the next operation, `None` at the end.
    pub fn next_operation(&mut self) -> Result<Option<TimedOperation>, TraceError> {
        if !self.read_line()? {
            return Ok(None);
        }
        let timed = parse(&self.line).ok_or(LineProblem::Form);
        let checked = timed.and_then(|timed| self.checked(timed));
        checked.map(Some).map_err(|problem| self.wrong(problem))
    }

    fn header(&mut self, name: &'static str, min: u64, max: u64) -> Result<u64, TraceError> {
        let is_there = self.read_line()?;
        let words = std::str::from_utf8(&self.line).unwrap_or_default();
        let value = words
            .strip_prefix(name)
            .and_then(|rest| number(rest.strip_prefix(' ')?));
        let value = value.filter(|value| is_there && (min..=max).contains(value));
        value.ok_or_else(|| self.wrong(LineProblem::Header { name, min, max }))
    }

    /// Reads a line without its line feed. Returns whether there was one.
    fn read_line(&mut self) -> Result<bool, TraceError> {
        self.line.clear();
        self.lines += 1;
        let mut limited = self.input.by_ref().take(LINE_BYTES_MAX as u64);
        limited
            .read_until(b'\n', &mut self.line)
            .map_err(FileError::of(Path::new(&self.name)))?;
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => Err(self.wrong(LineProblem::Length)),
        }
    }

    /// Checks that an operation can follow those before it.
    fn checked(&mut self, timed: TimedOperation) -> Result<TimedOperation, LineProblem> {
        let Operation { kind, index, count } = timed.operation;
        let (keys, last) = (self.keys, index + u64::from(count) - 1);
        if timed.at_ns < std::mem::replace(&mut self.at_ns, timed.at_ns) {
            return Err(LineProblem::Backwards);
        }
        if kind == OperationKind::Insert {
            if index != keys || keys >= KEYS_MAX {
                return Err(LineProblem::Insert { index, keys });
            }
            self.keys += 1;
        } else if last >= keys {
            return Err(LineProblem::Key { index: last, keys });
        }
        Ok(timed)
    }

    fn wrong(&self, problem: LineProblem) -> TraceError {
        TraceError::Line {
            name: self.name.clone(),
            line: self.lines,
            problem,
        }
    }
}

fn parse(line: &[u8]) -> Option<TimedOperation> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let at_ns = number(words.next()?)?;
    let kind = OperationKind::from_name(words.next()?)?;
    // Far above any index, and far from overflowing sums.
    let index = number(words.next()?).filter(|index| *index <= KEYS_MAX)?;
    let count = match kind {
        OperationKind::MultiGet => number(words.next()?)?,
        _ => 1,
    };
    let count = u32::try_from(count).ok()?;
    let is_whole = (1..=COUNT_MAX).contains(&count.into()) && words.next().is_none();
    is_whole.then_some(TimedOperation {
        at_ns,
        operation: Operation { kind, index, count },
    })
}

/// Parses digits without leading zeros.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| is_plain && !has_zero)
}

/// Writes a trace.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// use trunkline_load::{Operation, TraceWriter};
/// let path = directory.path().join("operations.trace");
/// let mut writer = TraceWriter::create(&path, 1, 4)?;
/// writer.write(250, Operation::multi_get(0, 1))?;
/// writer.finish()?;
/// let text = std::fs::read_to_string(&path)?;
/// assert_eq!(text, "trunkline-trace 1\nkeys 1\nvalue_bytes 4\n250 multi_get 0 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceWriter {
    path: PathBuf,
    output: BufWriter<File>,
}

impl TraceWriter {
    /// Creates a file or replaces an older trace, for a load of `keys` keys with values of `value_bytes` bytes.
    pub fn create(path: &Path, keys: u64, value_bytes: usize) -> Result<Self, TraceError> {
        may_replace(path, TRACE_HEAD)?;
        let failed = FileError::of(path);
        let mut output = BufWriter::new(File::create(path).map_err(failed)?);
        let head = format!("{HEAD} {TRACE_FORMAT}\nkeys {keys}\nvalue_bytes {value_bytes}\n");
        output.write_all(head.as_bytes()).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            output,
        })
    }

    /// Adds an operation.
    pub fn write(&mut self, at_ns: u64, operation: Operation) -> Result<(), TraceError> {
        let Operation { kind, index, count } = operation;
        let (output, name) = (&mut self.output, kind.name());
        let written = match kind {
            OperationKind::MultiGet => writeln!(output, "{at_ns} {name} {index} {count}"),
            _ => writeln!(output, "{at_ns} {name} {index}"),
        };
        Ok(written.map_err(FileError::of(&self.path))?)
    }

    /// Writes buffered lines to the file.
    pub fn finish(mut self) -> Result<(), TraceError> {
        let flushed = self.output.flush();
        Ok(flushed.map_err(FileError::of(&self.path))?)
    }
}
