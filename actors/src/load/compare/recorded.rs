//! A run in a directory: what came out of it, and its histograms second by second. Read here alone.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, LogEntry,
};
use hdrhistogram::serialization::{DeserializeError, Deserializer};

use super::{Counts, Observed, kind_name};
use crate::load::{OperationKind, RUN_FORMAT, Run};

/// Name of a run's document.
pub const RUN_FILE: &str = "run.json";

/// Name of a run's interval log of histograms.
pub const HISTOGRAMS_FILE: &str = "latency.hlog";

/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Why a run could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file cannot be read.
    #[error("cannot read {}; name the directory of a run", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too long.
    #[error("{} is longer than {FILE_BYTES_MAX} bytes; make a shorter run", .0.display())]
    TooLong(PathBuf),
    /// The document is not one of a run.
    #[error("{} is not what came out of a run", file.display())]
    Document {
        /// Which.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The document is of another form.
    #[error(
        "{} is of form {format}, this version reads form {RUN_FORMAT}; use the version that made it",
        file.display()
    )]
    Format {
        /// Which.
        file: PathBuf,
        /// Its form.
        format: u32,
    },
    /// An entry of the interval log cannot be read.
    #[error("{}: entry {entry} is not an interval; make the run again", file.display())]
    Entry {
        /// Which file.
        file: PathBuf,
        /// Counts from 1.
        entry: usize,
    },
    /// A histogram of the interval log cannot be read.
    #[error("{}: the histogram of entry {entry} cannot be read; make the run again", file.display())]
    Histogram {
        /// Which file.
        file: PathBuf,
        /// Counts from 1.
        entry: usize,
        /// Why.
        source: DeserializeError,
    },
}

/// A run as it was recorded.
///
/// ```no_run
/// let recorded = trunkline::load::compare::Recorded::read_from("runs/before".as_ref())?;
/// println!("{} seconds", recorded.run.seconds.len());
/// # Ok::<(), trunkline::load::compare::RecordError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// What came out.
    pub run: Run,
    /// From the intended start, second by second.
    pub latency: BTreeMap<OperationKind, Vec<Counts>>,
    /// From the real start, second by second.
    pub service: BTreeMap<OperationKind, Vec<Counts>>,
}

impl Recorded {
    /// Reads [`RUN_FILE`] and [`HISTOGRAMS_FILE`] of a directory.
    pub fn read_from(directory: &Path) -> Result<Self, RecordError> {
        let file = directory.join(RUN_FILE);
        let document = read(&file)?;
        let run: Run = match serde_json::from_slice(&document) {
            Ok(run) => run,
            Err(source) => return Err(RecordError::Document { file, source }),
        };
        if run.format != RUN_FORMAT {
            let format = run.format;
            return Err(RecordError::Format { file, format });
        }
        let mut recorded = Self {
            run,
            ..Self::default()
        };
        let file = directory.join(HISTOGRAMS_FILE);
        let log = read(&file)?;
        recorded.take_histograms(&file, &log)?;
        Ok(recorded)
    }

    /// What is compared: whole seconds.
    pub fn observed(&self) -> Observed {
        let seconds = whole_seconds(&self.run);
        let achieved = self.run.seconds.iter().take(seconds);
        let latency = self.latency.iter().map(|(kind, counts)| {
            let counts = counts.iter().take(seconds).cloned();
            (*kind, counts.collect())
        });
        Observed {
            achieved: achieved.map(|second| second.achieved as f64).collect(),
            latency: latency.collect(),
        }
    }

    fn take_histograms(&mut self, file: &Path, log: &[u8]) -> Result<(), RecordError> {
        let seconds = self.run.seconds.len();
        let mut deserializer = Deserializer::new();
        for (index, entry) in IntervalLogIterator::new(log).enumerate() {
            let entry_number = index + 1;
            let unreadable = || RecordError::Entry {
                file: file.to_owned(),
                entry: entry_number,
            };
            let LogEntry::Interval(interval) = entry.map_err(|_| unreadable())? else {
                continue;
            };
            let second = usize::try_from(interval.start_timestamp().as_secs());
            let second = second.unwrap_or(usize::MAX);
            let Some(series) = self.series(&interval, seconds) else {
                continue;
            };
            let Some(counts) = series.get_mut(second) else {
                continue;
            };
            let encoded = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .map_err(|_| unreadable())?;
            let histogram = deserializer.deserialize::<u64, _>(&mut Cursor::new(encoded));
            let histogram = histogram.map_err(|source| RecordError::Histogram {
                file: file.to_owned(),
                entry: entry_number,
                source,
            })?;
            *counts = Counts::of_histogram(&histogram);
        }
        Ok(())
    }

    /// Where histograms with the interval's tag go; those with another tag go nowhere.
    fn series(
        &mut self,
        interval: &IntervalLogHistogram<'_>,
        seconds: usize,
    ) -> Option<&mut Vec<Counts>> {
        let tag = interval.tag()?;
        let (name, what) = tag.as_str().split_once('.')?;
        let kind = KINDS.into_iter().find(|kind| kind_name(*kind) == name)?;
        let series = match what {
            "latency" => &mut self.latency,
            "service" => &mut self.service,
            _ => return None,
        };
        let empty = || vec![Counts::default(); seconds];
        Some(series.entry(kind).or_insert_with(empty))
    }
}

const KINDS: [OperationKind; 7] = [
    OperationKind::Read,
    OperationKind::MultiGet,
    OperationKind::Verify,
    OperationKind::Update,
    OperationKind::Insert,
    OperationKind::Delete,
    OperationKind::ReadModifyWrite,
];

/// The last second is left out where the run ended within it; a hundredth that is missing does no harm.
fn whole_seconds(run: &Run) -> usize {
    let whole = run.totals.elapsed_us.saturating_add(10_000) / 1_000_000;
    run.seconds
        .len()
        .min(usize::try_from(whole).unwrap_or(usize::MAX))
}

fn read(path: &Path) -> Result<Vec<u8>, RecordError> {
    let cannot = |source| RecordError::Read {
        file: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(RecordError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}
