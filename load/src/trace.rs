//! Recorded operations: what was due, and when, as lines of text that any other program can write too.
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
//! The first line names the form and its number; `keys` are put before the first operation (1 to 2^30), with values of
//! `value_bytes`. Then follows one operation a line: nanoseconds from the beginning, never less than on the line
//! before; the kind (`read`, `multi_get`, `verify`, `update`, `insert`, `delete`, `read_modify_write`); the index of
//! its key; for `multi_get` the number of records. Indices are below the number of keys, inserts included; an
//! insert has the next one. A line ends with a line feed and is at most 80 bytes long. There is nothing else: no
//! comment, no empty line, no second space.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use trunkline::core::hash::{self, Digest};
use trunkline::core::params::VALUE_BYTES_MAX;

use super::operations::Operation;
use super::records::KEYS_MAX;
use super::schedule::TimedOperation;

/// Number of the form of traces.
pub const TRACE_FORMAT: u32 = 1;

/// Bytes of the longest line, the line feed included.
const LINE_BYTES_MAX: usize = 80;
/// Most records of a multi-get.
const COUNT_MAX: u64 = 10_000;
const HEAD: &str = "trunkline-trace";
/// Bytes of lines that are hashed at once.
const HASHED_BYTES: usize = 1 << 16;

/// Why a trace is not taken, with the place.
///
/// ```
/// use trunkline_load::TraceSummary;
/// let text = b"trunkline-trace 1\nkeys 10\nvalue_bytes 4\n5 read 10\n";
/// let error = TraceSummary::of("typed", &text[..]).unwrap_err();
/// assert_eq!(error.to_string(), "typed:4: key 10 does not exist yet: there are 10");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It can't be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not as it must be.
    #[error("{name}:{line}: {problem}")]
    Line {
        /// Name of the file.
        name: String,
        /// Line, from 1.
        line: u64,
        /// What is wrong there.
        problem: LineProblem,
    },
}

/// What is wrong with a line of a trace.
///
/// ```
/// use trunkline_load::LineProblem;
/// assert!(LineProblem::Backwards.to_string().contains("earlier"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// The first line is another one.
    #[error("this is no trace: its first line must be \"{HEAD} {TRACE_FORMAT}\"")]
    Head,
    /// A header line is missing or out of its bounds.
    #[error("\"{name} N\" was expected, N from {min} to {max}")]
    Header {
        /// What it begins with.
        name: &'static str,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// It is too long, or the file ends within it.
    #[error("a line has at most {LINE_BYTES_MAX} bytes and ends with a line feed")]
    Length,
    /// It has another form.
    #[error("\"TIME KIND INDEX\" was expected, after multi_get with a COUNT of 1 to {COUNT_MAX}")]
    Form,
    /// Time goes backwards.
    #[error("its time is earlier than that of the line before")]
    Backwards,
    /// The key is not there yet.
    #[error("key {index} does not exist yet: there are {keys}")]
    Key {
        /// Its index.
        index: u64,
        /// Keys by then.
        keys: u64,
    },
    /// An insert leaves keys out, or is of one that is there.
    #[error("the next key to insert is {keys}, not {index}")]
    Insert {
        /// Its index.
        index: u64,
        /// Keys by then.
        keys: u64,
    },
}

/// What is known of a trace that was looked through.
///
/// ```
/// assert_eq!(trunkline_load::TraceSummary::default().operations, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Keys that are put before the first operation.
    pub keys: u64,
    /// Bytes of their values.
    pub value_bytes: usize,
    /// Operations.
    pub operations: u64,
    /// Deletes among them. If there are any, nobody knows which of its reads must find their keys.
    pub deletes: u64,
    /// Tells traces apart: a BLAKE3 hash over all of it, whatever its file is called.
    pub digest: [u8; 32],
    /// When the last one is due, nanoseconds.
    pub ended_ns: u64,
}

/// Reads a trace line by line, in memory for one line.
///
/// ```
/// use trunkline_load::{Operation, TraceReader, TraceWriter};
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("operations.trace");
/// let mut writer = TraceWriter::create(&path, 10, 4)?;
/// writer.write(1_000, Operation::Update { index: 3 })?;
/// writer.finish()?;
/// let mut reader = TraceReader::open(&path)?;
/// assert_eq!(reader.next_operation()?.unwrap().operation, Operation::Update { index: 3 });
/// assert!(reader.next_operation()?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceReader<R = BufReader<File>> {
    name: String,
    input: R,
    line: Vec<u8>,
    lines: u64,
    /// Keys that are there after what was read.
    keys: u64,
    at_ns: u64,
    seen: TraceSummary,
}

impl TraceReader {
    /// Opens a trace after looking through all of it: whatever is wrong with it is said now.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let failed = |source| TraceError::File {
            path: path.to_owned(),
            source,
        };
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(failed)?;
        let summary = TraceSummary::of(&name, BufReader::new(&file))?;
        file.rewind().map_err(failed)?;
        let mut reader = Self::new(&name, BufReader::new(file))?;
        reader.seen = summary;
        Ok(reader)
    }
}

impl TraceSummary {
    /// Looks through a whole trace; `name` is what errors call it.
    pub fn of(name: &str, input: impl BufRead) -> Result<Self, TraceError> {
        let mut reader = TraceReader::new(name, input)?;
        let mut lines = LineHash::default();
        let head = [reader.seen.keys, reader.seen.value_bytes as u64];
        head.into_iter()
            .for_each(|number| lines.add(&number.to_le_bytes()));
        while let Some(timed) = reader.next_operation()? {
            lines.add(&reader.line);
            reader.seen.operations += 1;
            reader.seen.deletes += u64::from(matches!(timed.operation, Operation::Delete { .. }));
            reader.seen.ended_ns = timed.at_ns;
        }
        reader.seen.digest = lines.finish();
        Ok(reader.seen)
    }
}

/// Hashes lines, many at a time, each shard together with the hash of what was before it.
#[derive(Debug, Default)]
struct LineHash {
    digest: Digest,
    bytes: Vec<u8>,
}

impl LineHash {
    fn add(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        if self.bytes.len() >= HASHED_BYTES {
            self.fold();
        }
    }

    fn fold(&mut self) {
        self.bytes.extend_from_slice(&self.digest);
        self.digest = hash::hash(&self.bytes);
        self.bytes.clear();
    }

    fn finish(mut self) -> Digest {
        self.fold();
        self.digest
    }
}

impl<R: BufRead> TraceReader<R> {
    /// Reads the head; `name` is what errors call it. What is wrong further down is said when it is reached.
    pub fn new(name: &str, input: R) -> Result<Self, TraceError> {
        let mut reader = Self {
            name: name.to_owned(),
            input,
            line: Vec::with_capacity(LINE_BYTES_MAX),
            lines: 0,
            keys: 0,
            at_ns: 0,
            seen: TraceSummary::default(),
        };
        let head = format!("{HEAD} {TRACE_FORMAT}");
        if !reader.read_line()? || reader.line != head.as_bytes() {
            return Err(reader.wrong(LineProblem::Head));
        }
        reader.keys = reader.header("keys", 1, KEYS_MAX)?;
        reader.seen.keys = reader.keys;
        reader.seen.value_bytes = reader.header("value_bytes", 0, VALUE_BYTES_MAX as u64)? as usize;
        Ok(reader)
    }

    /// What is known of the trace: after [`TraceReader::open`] of all of it, else of its head.
    pub fn summary(&self) -> TraceSummary {
        self.seen
    }

    /// The next operation, `None` at the end.
    pub fn next_operation(&mut self) -> Result<Option<TimedOperation>, TraceError> {
        if !self.read_line()? {
            return Ok(None);
        }
        let Some(timed) = parse(&self.line) else {
            return Err(self.wrong(LineProblem::Form));
        };
        self.check(timed).map_err(|problem| self.wrong(problem))?;
        Ok(Some(timed))
    }

    fn header(&mut self, name: &'static str, min: u64, max: u64) -> Result<u64, TraceError> {
        let is_there = self.read_line()?;
        let text = std::str::from_utf8(&self.line).unwrap_or_default();
        let value = text
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(' '));
        let value = value.and_then(|value| number(value.as_bytes()));
        match value.filter(|value| is_there && (min..=max).contains(value)) {
            Some(value) => Ok(value),
            None => Err(self.wrong(LineProblem::Header { name, min, max })),
        }
    }

    /// Says whether there was a line. It holds no line feed.
    fn read_line(&mut self) -> Result<bool, TraceError> {
        self.line.clear();
        self.lines += 1;
        let mut limited = self.input.by_ref().take(LINE_BYTES_MAX as u64);
        let read = limited.read_until(b'\n', &mut self.line);
        read.map_err(|source| TraceError::File {
            path: PathBuf::from(&self.name),
            source,
        })?;
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => Err(self.wrong(LineProblem::Length)),
        }
    }

    fn check(&mut self, timed: TimedOperation) -> Result<(), LineProblem> {
        let (index, keys) = (timed.operation.index(), self.keys);
        if timed.at_ns < std::mem::replace(&mut self.at_ns, timed.at_ns) {
            return Err(LineProblem::Backwards);
        }
        match timed.operation {
            Operation::Insert { .. } if index != keys || keys >= KEYS_MAX => {
                return Err(LineProblem::Insert { index, keys });
            }
            Operation::Insert { .. } => self.keys += 1,
            Operation::MultiGet { count, .. } if index + u64::from(count) > keys => {
                let index = index + u64::from(count) - 1;
                return Err(LineProblem::Key { index, keys });
            }
            _ if index >= keys => return Err(LineProblem::Key { index, keys }),
            _ => {}
        }
        Ok(())
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
    let mut words = line.split(|byte| *byte == b' ');
    let at_ns = number(words.next()?)?;
    let kind = words.next()?;
    // Far above any index, and far from overflowing sums.
    let index = number(words.next()?).filter(|index| *index <= KEYS_MAX)?;
    let operation = match kind {
        b"read" => Operation::Read { index },
        b"multi_get" => {
            let count = number(words.next()?).filter(|count| (1..=COUNT_MAX).contains(count))?;
            let count = u32::try_from(count).ok()?;
            Operation::MultiGet { index, count }
        }
        b"verify" => Operation::Verify { index },
        b"update" => Operation::Update { index },
        b"insert" => Operation::Insert { index },
        b"delete" => Operation::Delete { index },
        b"read_modify_write" => Operation::ReadModifyWrite { index },
        _ => return None,
    };
    words
        .next()
        .is_none()
        .then_some(TimedOperation { at_ns, operation })
}

/// Digits alone, no zero in front.
fn number(text: &[u8]) -> Option<u64> {
    let is_plain =
        text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    std::str::from_utf8(text)
        .ok()
        .filter(|_| is_plain)?
        .parse()
        .ok()
}

/// Writes a trace.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// use trunkline_load::{Operation, TraceWriter};
/// let path = directory.path().join("operations.trace");
/// let mut writer = TraceWriter::create(&path, 1, 4)?;
/// writer.write(250, Operation::MultiGet { index: 0, count: 1 })?;
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
    /// Begins a file anew, for a load of so many keys with values of so many bytes.
    pub fn create(path: &Path, keys: u64, value_bytes: usize) -> Result<Self, TraceError> {
        let failed = |source| TraceError::File {
            path: path.to_owned(),
            source,
        };
        let mut output = BufWriter::new(File::create(path).map_err(failed)?);
        write!(
            output,
            "{HEAD} {TRACE_FORMAT}\nkeys {keys}\nvalue_bytes {value_bytes}\n"
        )
        .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            output,
        })
    }

    /// Adds an operation.
    pub fn write(&mut self, at_ns: u64, operation: Operation) -> Result<(), TraceError> {
        let output = &mut self.output;
        let written = match operation {
            Operation::Read { index } => writeln!(output, "{at_ns} read {index}"),
            Operation::MultiGet { index, count } => {
                writeln!(output, "{at_ns} multi_get {index} {count}")
            }
            Operation::Verify { index } => writeln!(output, "{at_ns} verify {index}"),
            Operation::Update { index } => writeln!(output, "{at_ns} update {index}"),
            Operation::Insert { index } => writeln!(output, "{at_ns} insert {index}"),
            Operation::Delete { index } => writeln!(output, "{at_ns} delete {index}"),
            Operation::ReadModifyWrite { index } => {
                writeln!(output, "{at_ns} read_modify_write {index}")
            }
        };
        written.map_err(|source| self.failed(source))
    }

    /// Writes out what is left.
    pub fn finish(mut self) -> Result<(), TraceError> {
        self.output.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> TraceError {
        TraceError::File {
            path: self.path.clone(),
            source,
        }
    }
}
