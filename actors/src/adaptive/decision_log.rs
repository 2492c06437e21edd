//! The log of decisions: the last ones in memory, and more of them in a file in the engine's directory.
//!
//! The file has lines of JSON for people and tools. Nothing is recovered from it, so nothing waits for it. If it cannot
//! be written, the engine continues without it, and a metric counts the missing decisions.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::decisions::{Change, Decision, Reason, Seen};
use crate::metrics::Metrics;
use crate::runtime::clock;

/// Name of the file in an engine's directory.
pub const DECISIONS_FILE: &str = "DECISIONS";
/// Length in bytes from which on the file is replaced by a new one with the decisions in memory.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of the file that are read.
const READ_BYTES_MAX: u64 = 4 << 20;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Opened { unix_ms: u64 },
    Decision(Decision),
}

impl Line {
    fn encode(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The decisions of an engine since it was opened, or the last of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpeningDecisions {
    /// The time at which the engine was opened, in milliseconds since 1970.
    pub opened_unix_ms: u64,
    /// Its decisions, in order.
    pub decisions: Vec<Decision>,
}

/// The reason why decisions could not be read.
///
/// ```
/// let error = trunkline::read_decisions("/nowhere".as_ref()).unwrap_err();
/// assert!(error.to_string().starts_with("cannot read /nowhere/DECISIONS"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReadDecisionsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is not one that an engine writes.
    #[error("{}:{line}: not a decision: {message}; remove the file to start a new one", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: usize,
        /// The mistake in the line.
        message: String,
    },
}

/// Reads the decisions of the engines that were opened on a directory, oldest opening first. The last engine may still
/// run.
///
/// A directory without the file has no decisions. A truncated last line is ignored.
///
/// # Errors
///
/// Fails if the file cannot be read, or if a line is not a decision.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// engine.shutdown_blocking()?;
/// let openings = trunkline::read_decisions(directory.path())?;
/// assert!(openings[0].decisions.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_decisions(directory: &Path) -> Result<Vec<OpeningDecisions>, ReadDecisionsError> {
    let path = directory.join(DECISIONS_FILE);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {}
        Err(source) => return Err(ReadDecisionsError::Read { path, source }),
    }
    let mut openings: Vec<OpeningDecisions> = Vec::new();
    for (line, text) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let Some(text) = text.strip_suffix(b"\n") else {
            break;
        };
        let parsed = serde_json::from_slice(text).map_err(|error| ReadDecisionsError::Line {
            path: path.clone(),
            line,
            message: error.to_string(),
        })?;
        match (parsed, openings.last_mut()) {
            (Line::Decision(decision), Some(opening)) => opening.decisions.push(decision),
            (Line::Decision(decision), None) => openings.push(OpeningDecisions {
                opened_unix_ms: 0,
                decisions: vec![decision],
            }),
            (Line::Opened { unix_ms }, _) => openings.push(OpeningDecisions {
                opened_unix_ms: unix_ms,
                decisions: Vec::new(),
            }),
        }
    }
    Ok(openings)
}

/// The last decisions.
#[derive(Debug)]
pub struct DecisionLog {
    recent: Mutex<Recent>,
    /// Most decisions kept in memory.
    kept: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Recent {
    /// The decisions, oldest first.
    decisions: VecDeque<Decision>,
    /// The open file, or the error with which writing stopped. `None` if decisions are kept only in memory.
    file: Option<io::Result<LogFile>>,
}

impl DecisionLog {
    /// Creates a log that keeps this many decisions in memory and, with a directory, also writes them to its file.
    pub fn new(kept: usize, directory: Option<&Path>, metrics: Arc<Metrics>) -> Self {
        Self {
            recent: Mutex::new(Recent {
                decisions: VecDeque::new(),
                file: directory.map(LogFile::open),
            }),
            kept,
            metrics,
        }
    }

    /// Records a decision under the next number.
    pub fn record(&self, at_us: u64, window_us: u64, change: Change, reason: Reason, seen: Seen) {
        let Recent { decisions, file } = &mut *self.recent.lock();
        let decision = Decision {
            number: decisions.back().map_or(1, |last| last.number + 1),
            at_us,
            window_us,
            change,
            reason,
            seen,
        };
        if decisions.len() >= self.kept {
            decisions.pop_front();
        }
        decisions.push_back(decision.clone());
        if let Some(Ok(open)) = file
            && let Err(error) = open.append(decision, decisions)
        {
            *file = Some(Err(error));
        }
        if let Some(Err(_)) = file {
            self.metrics.decision_unwritten();
        }
    }

    /// Closes the file. Later decisions are kept only in memory.
    pub fn close_file(&self) {
        self.recent.lock().file = None;
    }

    /// Returns the decisions after a number, oldest first.
    pub fn since(&self, number: u64) -> Vec<Decision> {
        let recent = self.recent.lock();
        let later = recent.decisions.iter();
        let later = later.filter(|decision| decision.number > number);
        later.cloned().collect()
    }
}

/// The file, open for appending.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    opened_unix_ms: u64,
}

impl LogFile {
    /// Opens the file of a directory and adds the line of an opening.
    fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(DECISIONS_FILE);
        let mut log = Self {
            file: OpenOptions::new().create(true).append(true).open(&path)?,
            bytes: fs::metadata(&path)?.len(),
            path,
            opened_unix_ms: clock::since_1970().as_millis() as u64,
        };
        if log.bytes >= FILE_BYTES_MAX {
            log.replace(&VecDeque::new())?;
        } else {
            log.remove_torn_line()?;
            log.write(&log.opened())?;
        }
        Ok(log)
    }

    fn opened(&self) -> Line {
        Line::Opened {
            unix_ms: self.opened_unix_ms,
        }
    }

    /// Removes a truncated last line.
    fn remove_torn_line(&mut self) -> io::Result<()> {
        let text = fs::read(&self.path)?;
        let end = text.iter().rposition(|byte| *byte == b'\n');
        self.bytes = end.map_or(0, |end| end as u64 + 1);
        self.file.set_len(self.bytes)
    }

    /// Appends a decision, or replaces the file if it is too long. `decisions` are those in memory, with this one.
    fn append(&mut self, decision: Decision, decisions: &VecDeque<Decision>) -> io::Result<()> {
        match self.bytes >= FILE_BYTES_MAX {
            true => self.replace(decisions),
            false => self.write(&Line::Decision(decision)),
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = line.encode()?;
        self.file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Replaces the file by a new one with these decisions, or with the newest of them that fill half of it.
    fn replace(&mut self, decisions: &VecDeque<Decision>) -> io::Result<()> {
        let (mut newest_first, mut bytes) = (Vec::new(), 0);
        for decision in decisions.iter().rev() {
            let line = Line::Decision(decision.clone()).encode()?;
            bytes += line.len() as u64;
            if bytes > FILE_BYTES_MAX / 2 {
                break;
            }
            newest_first.push(line);
        }
        newest_first.push(self.opened().encode()?);
        newest_first.reverse();
        let text = newest_first.concat();
        let temporary = self.path.with_extension("tmp");
        fs::write(&temporary, &text)?;
        fs::rename(&temporary, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(kept: usize, directory: Option<&Path>) -> DecisionLog {
        DecisionLog::new(kept, directory, Arc::new(Metrics::new("test")))
    }

    fn record(decisions: &DecisionLog, to: u64) {
        let change = Change::GroupOperationsMax { from: 1, to };
        decisions.record(to, 500_000, change, Reason::Probe, Seen::default());
    }

    #[test]
    fn the_last_ones_are_kept_and_all_are_counted() {
        let decisions = new(3, None);
        (1..=5).for_each(|to| record(&decisions, to));
        let numbers: Vec<u64> = decisions.since(0).iter().map(|d| d.number).collect();
        assert_eq!(numbers, [3, 4, 5]);
        assert_eq!(decisions.since(4).len(), 1);
    }

    #[test]
    fn the_file_has_every_opening_and_passes_over_a_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let first = new(16, Some(directory.path()));
        record(&first, 7);
        drop(first);
        let path = directory.path().join(DECISIONS_FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"decision\":{\"numb").unwrap();
        let torn = read_decisions(directory.path()).unwrap();
        assert_eq!((torn.len(), torn[0].decisions.len()), (1, 1));

        let second = new(16, Some(directory.path()));
        record(&second, 8);
        record(&second, 9);
        let both = read_decisions(directory.path()).unwrap();
        let counts: Vec<usize> = both.iter().map(|opening| opening.decisions.len()).collect();
        assert_eq!(counts, [1, 2]);
        assert_eq!(both[1].decisions, second.since(0));
    }

    #[test]
    fn a_closed_file_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let decisions = new(16, Some(directory.path()));
        record(&decisions, 7);
        decisions.close_file();
        record(&decisions, 8);
        let read = read_decisions(directory.path()).unwrap();
        assert_eq!(read[0].decisions.len(), 1);
        assert_eq!(decisions.since(0).len(), 2);
    }

    #[test]
    fn what_does_not_reach_the_file_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(DECISIONS_FILE)).unwrap();
        let decisions = new(16, Some(directory.path()));
        record(&decisions, 7);
        record(&decisions, 8);
        assert_eq!(decisions.metrics.snapshot().decisions_unwritten, 2);
        assert_eq!(decisions.since(0).len(), 2);

        let in_memory_alone = new(16, None);
        record(&in_memory_alone, 7);
        let unwritten = in_memory_alone.metrics.snapshot().decisions_unwritten;
        assert_eq!(unwritten, 0);
    }

    #[test]
    fn the_file_stays_small() {
        let directory = tempfile::tempdir().unwrap();
        let decisions = new(64, Some(directory.path()));
        (0..6_000).for_each(|to| record(&decisions, to));
        let length = fs::metadata(directory.path().join(DECISIONS_FILE))
            .unwrap()
            .len();
        assert!(length <= FILE_BYTES_MAX + 1024, "{length}");
        let read = read_decisions(directory.path()).unwrap();
        let last = read.last().and_then(|opening| opening.decisions.last());
        assert_eq!(last.map(|decision| decision.number), Some(6_000));
    }

    #[test]
    fn a_foreign_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join(DECISIONS_FILE),
            "{\"opened\":{\"unix_ms\":1}}\nhello\n",
        )
        .unwrap();
        let error = read_decisions(directory.path()).unwrap_err();
        assert!(
            error.to_string().contains("DECISIONS:2: not a decision"),
            "{error}"
        );
    }
}
