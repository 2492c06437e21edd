//! A recorded run, in the form that is compared and reported.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Counts, Observed};
use crate::{IntervalLog, IntervalLogError, Measure, OperationKind, Run, RunFileError};

/// An error of reading a recorded run.
///
/// ```
/// use trunkline_load::compare::{RecordError, Recorded};
/// let error = Recorded::read_from("/no/such/run".as_ref()).unwrap_err();
/// assert!(matches!(error, RecordError::File(_)));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file cannot be used.
    #[error("the run cannot be read; name the directory of a run")]
    File(#[from] RunFileError),
    /// The histograms cannot be read.
    #[error("the histograms in {directory} cannot be read; repeat the run")]
    Histograms {
        /// Directory of the run.
        directory: String,
        /// The cause, with its position in the log.
        source: IntervalLogError,
    },
}

/// A run with its histograms.
///
/// ```no_run
/// let recorded = trunkline_load::compare::Recorded::read_from("runs/before".as_ref())?;
/// println!("{} seconds", recorded.run.seconds.len());
/// # Ok::<(), trunkline_load::compare::RecordError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The run.
    pub run: Run,
    /// Times from the intended start to the end, in each second.
    pub latency: BTreeMap<OperationKind, Vec<Counts>>,
    /// Times from the real start to the end, in each second.
    pub service: BTreeMap<OperationKind, Vec<Counts>>,
}

impl Recorded {
    /// Reads the run and the interval log of a directory.
    pub fn read_from(directory: &Path) -> Result<Self, RecordError> {
        let run = Run::read_from(directory)?;
        let log = IntervalLog::read_from(directory)?;
        Self::of(run, &log).map_err(|source| RecordError::Histograms {
            directory: directory.display().to_string(),
            source,
        })
    }

    /// Takes a run and its interval log. Intervals beyond the run's seconds are ignored.
    pub fn of(run: Run, log: &IntervalLog) -> Result<Self, IntervalLogError> {
        let mut recorded = Self {
            run,
            ..Self::default()
        };
        let seconds = recorded.run.seconds.len();
        let first = recorded.first_second();
        for interval in log.intervals() {
            let interval = interval?;
            let series = match interval.measure {
                Measure::Latency => &mut recorded.latency,
                Measure::Service => &mut recorded.service,
            };
            let empty = || vec![Counts::default(); seconds];
            let series = series.entry(interval.kind).or_insert_with(empty);
            let index = interval.second.checked_sub(first).unwrap_or(u64::MAX);
            if let Some(counts) = series.get_mut(usize::try_from(index).unwrap_or(usize::MAX)) {
                let more = Counts::of_histogram(&interval.histogram);
                *counts = Counts::merged([&*counts, &more]);
            }
        }
        Ok(recorded)
    }

    /// Returns the first second: 0 unless the run was so long that its first seconds were left out.
    fn first_second(&self) -> u64 {
        self.run.seconds.first().map_or(0, |first| first.second)
    }

    /// Returns the number of seconds in which operations were due throughout; up to a hundredth may be missing. Later
    /// seconds, in which the last operations end, do not count.
    pub fn whole_seconds(&self) -> usize {
        let whole = self.run.totals.scheduled_us.saturating_add(10_000) / 1_000_000;
        let whole = whole.saturating_sub(self.first_second());
        let seconds = self.run.seconds.len();
        seconds.min(usize::try_from(whole).unwrap_or(usize::MAX))
    }

    /// Returns the figures that are compared: the whole seconds.
    pub fn observed(&self) -> Observed {
        let seconds = self.whole_seconds();
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Histogram, Interval, Second};

    #[test]
    fn of_a_run_that_left_out_its_first_seconds_histograms_go_to_the_others() {
        let mut run = Run::default();
        run.totals.scheduled_us = 8_400_000;
        run.seconds = (5..9)
            .map(|second| Second {
                second,
                ..Second::default()
            })
            .collect();
        let mut log = IntervalLog::new(0);
        for second in 4..9 {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            histogram.record(1_000 + second).unwrap();
            let interval = Interval {
                second,
                kind: OperationKind::Read,
                measure: Measure::Latency,
                histogram,
            };
            log.add(&interval).unwrap();
        }
        let recorded = Recorded::of(run, &log).unwrap();
        let reads = &recorded.latency[&OperationKind::Read];
        assert_eq!((reads.len(), reads[0].bins()), (4, &[(1_005, 1)][..]));
        assert_eq!(recorded.whole_seconds(), 3);
    }

    #[test]
    fn seconds_in_which_nothing_was_due_any_more_do_not_count() {
        let mut run = Run::default();
        run.totals.scheduled_us = 60_000_000;
        run.totals.elapsed_us = 61_100_000;
        let second = |second| Second {
            second,
            achieved: if second < 60 { 1_000 } else { 3 },
            ..Second::default()
        };
        run.seconds = (0..62).map(second).collect();
        let recorded = Recorded::of(run, &IntervalLog::new(0)).unwrap();
        assert_eq!(recorded.whole_seconds(), 60);
        assert_eq!(recorded.observed().achieved, [1_000.0; 60]);
    }
}
