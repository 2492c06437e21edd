//! What the engine decided: the last of it in memory, and in a file beside the state for who looks later.
//!
//! The file is a log for people and tools, in lines of JSON: nothing is recovered from it, so nothing waits for
//! it and the engine goes on without it; metrics say how much is missing from it. Not here: how decisions come about (`control`, `tuner`).

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::decisions::{Change, Decision, Reason, Seen};
use crate::metrics::Metrics;
use crate::runtime::clock;

/// Name of the file in an engine's directory.
pub const DECISIONS_FILE: &str = "DECISIONS";
/// Bytes from which on the file is begun anew, with what is in memory.
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

/// The decisions of one opening of an engine, or the last of them.
///
/// ```
/// let opening = trunkline::OpeningDecisions::default();
/// assert!(opening.decisions.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpeningDecisions {
    /// When the engine was opened, milliseconds since 1970.
    pub opened_unix_ms: u64,
    /// What it decided, in order.
    pub decisions: Vec<Decision>,
}

/// Why decisions could not be read.
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
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is none of this file's.
    #[error("{}:{line}: not a decision: {message}; remove the file to begin anew", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

/// Reads what engines on a directory decided, oldest opening first, while one runs or later. A directory without
/// decisions has none; a last line that was cut off is passed over.
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
    let failed = |source| ReadDecisionsError::Read {
        path: path.clone(),
        source,
    };
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
            return Ok(Vec::new());
        }
        file => file.map_err(failed)?,
    };
    let mut reader = BufReader::new(file.take(READ_BYTES_MAX));
    let mut openings: Vec<OpeningDecisions> = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        reader.read_until(b'\n', &mut text).map_err(failed)?;
        if text.pop() != Some(b'\n') {
            break;
        }
        let parsed = serde_json::from_slice(&text).map_err(|error| ReadDecisionsError::Line {
            path: path.clone(),
            line,
            message: error.to_string(),
        })?;
        match parsed {
            Line::Opened { unix_ms } => openings.push(OpeningDecisions {
                opened_unix_ms: unix_ms,
                decisions: Vec::new(),
            }),
            Line::Decision(decision) => match openings.last_mut() {
                Some(opening) => opening.decisions.push(decision),
                None => openings.push(OpeningDecisions {
                    opened_unix_ms: 0,
                    decisions: vec![decision],
                }),
            },
        }
    }
    Ok(openings)
}

#[derive(Debug)]
struct Inner {
    ring: VecDeque<Decision>,
    kept: usize,
    made: u64,
    file: Option<Log>,
    /// The file could not be written.
    is_given_up: bool,
}

/// The last decisions.
#[derive(Debug)]
pub struct DecisionLog {
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
}

impl DecisionLog {
    /// Keeps so many in memory; with a directory, also in its file.
    pub fn new(kept: usize, directory: Option<&Path>, metrics: Arc<Metrics>) -> Self {
        // Without the file the engine is none the worse.
        let file = directory.and_then(|directory| Log::begin(directory).ok());
        Self {
            inner: Mutex::new(Inner {
                ring: VecDeque::new(),
                kept,
                made: 0,
                is_given_up: directory.is_some() && file.is_none(),
                file,
            }),
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn record(&self, at_us: u64, window_us: u64, change: Change, reason: Reason, seen: Seen) {
        let mut inner = self.lock();
        inner.made += 1;
        let decision = Decision {
            number: inner.made,
            at_us,
            window_us,
            change,
            reason,
            seen,
        };
        while inner.ring.len() >= inner.kept {
            inner.ring.pop_front();
        }
        inner.ring.push_back(decision.clone());
        let Inner { ring, file, .. } = &mut *inner;
        if let Some(log) = file
            && log.append(decision, ring).is_err()
        {
            inner.file = None;
            inner.is_given_up = true;
        }
        if inner.is_given_up {
            self.metrics.decision_unwritten();
        }
    }

    /// The directory is let go: what is recorded from now on is in memory alone.
    pub fn close_file(&self) {
        let mut inner = self.lock();
        inner.file = None;
        inner.is_given_up = false;
    }

    /// Those after a number, oldest first.
    pub fn since(&self, number: u64) -> Vec<Decision> {
        let inner = self.lock();
        let later = inner
            .ring
            .iter()
            .filter(|decision| decision.number > number);
        later.cloned().collect()
    }
}

/// The file.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    opened_unix_ms: u64,
}

impl Log {
    fn begin(directory: &Path) -> io::Result<Self> {
        let path = directory.join(DECISIONS_FILE);
        let opened_unix_ms = clock::since_1970().as_millis() as u64;
        let mut log = Self {
            file: OpenOptions::new().create(true).append(true).open(&path)?,
            bytes: fs::metadata(&path)?.len(),
            path,
            opened_unix_ms,
        };
        if log.bytes >= FILE_BYTES_MAX {
            log.begin_anew(&VecDeque::new())?;
        } else {
            log.mend()?;
            log.write(&Line::Opened {
                unix_ms: opened_unix_ms,
            })?;
        }
        Ok(log)
    }

    /// Ends a line that was cut off, by cutting it off wholly.
    fn mend(&mut self) -> io::Result<()> {
        let text = fs::read(&self.path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        self.bytes = whole.map_or(0, |place| place as u64 + 1);
        self.file.set_len(self.bytes)
    }

    fn append(&mut self, decision: Decision, ring: &VecDeque<Decision>) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            return self.begin_anew(ring);
        }
        self.write(&Line::Decision(decision))
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// A new file in place of the old one, with what is in memory, or the newest part of it that fits in half.
    fn begin_anew(&mut self, ring: &VecDeque<Decision>) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        for decision in ring.iter().rev() {
            let line = serde_json::to_vec(&Line::Decision(decision.clone()))?;
            bytes += line.len() as u64 + 1;
            if bytes > FILE_BYTES_MAX / 2 {
                break;
            }
            lines.push(line);
        }
        let mut text = serde_json::to_vec(&Line::Opened {
            unix_ms: self.opened_unix_ms,
        })?;
        for line in lines.iter().rev() {
            text.push(b'\n');
            text.extend_from_slice(line);
        }
        text.push(b'\n');
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
    fn a_file_that_was_let_go_is_written_no_more() {
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
