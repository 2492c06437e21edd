//! Records the time that the target's stages worked on each version, second by second, as lines of the interval log.
//!
//! A span arrives a little after it ended, so a second stays open while the next one runs.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use trunkline::{Span, Stage};

use super::interval_log::{IntervalLog, IntervalLogError, Subject, histogram, note};

const SECOND_US: u64 = 1_000_000;
/// Precision of durations in digits.
const DIGITS: u8 = 2;
/// Size of the lines in bytes above which the older half is removed.
const BYTES_MAX: usize = 32 << 20;

/// The lines of finished seconds, and the histograms of the others.
pub(crate) struct StageLog {
    /// The beginning of second 0 on the target's clock.
    begin_us: u64,
    open: BTreeMap<(u64, usize), Histogram<u64>>,
    lines: Vec<u8>,
    failed: Option<IntervalLogError>,
}

impl StageLog {
    pub(crate) fn new(begin_us: u64) -> Self {
        Self {
            begin_us,
            open: BTreeMap::new(),
            lines: Vec::new(),
            failed: None,
        }
    }

    /// Adds spans. Those that ended before second 0 are left out.
    pub(crate) fn add(&mut self, spans: &[Span]) {
        for span in spans {
            if let Some(after_us) = span.ended_us.checked_sub(self.begin_us) {
                let key = (after_us / SECOND_US, span.stage as usize);
                let open = self.open.entry(key).or_insert_with(|| histogram(DIGITS));
                let took_us = span.ended_us.saturating_sub(span.begun_us);
                note(open, took_us.saturating_mul(1000));
            }
        }
        let newest = self.open.keys().next_back().map_or(0, |key| key.0);
        self.close_before(newest.saturating_sub(1));
    }

    /// Returns all lines.
    pub(crate) fn into_lines(mut self) -> Result<Vec<u8>, IntervalLogError> {
        self.close_before(u64::MAX);
        self.failed.map_or(Ok(self.lines), Err)
    }

    fn close_before(&mut self, second: u64) {
        let later = self.open.split_off(&(second, 0));
        let over = std::mem::replace(&mut self.open, later);
        let mut log = IntervalLog::from_bytes(std::mem::take(&mut self.lines));
        for ((second, stage), histogram) in over {
            if let Err(error) = log.add_line(second, Subject::Stage(Stage::ALL[stage]), &histogram)
            {
                self.failed = Some(error);
            }
        }
        self.lines = log.into_bytes();
        if self.lines.len() > BYTES_MAX {
            let half = self.lines.len() / 2;
            let end = self.lines[half..].iter().position(|byte| *byte == b'\n');
            self.lines.drain(..end.map_or(0, |end| half + end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::IntervalLog;
    use super::*;

    fn span(stage: Stage, begun_us: u64, ended_us: u64) -> Span {
        Span {
            stage,
            version: 1,
            begun_us,
            ended_us,
            operations: 1,
            bytes: 10,
        }
    }

    #[test]
    fn what_a_stage_did_in_each_second_is_read_back() {
        let mut log = StageLog::new(5_000_000);
        log.add(&[
            span(Stage::Tree, 4_000_000, 4_999_999),
            span(Stage::Tree, 4_999_000, 5_001_000),
            span(Stage::Hash, 5_100_000, 5_103_000),
        ]);
        log.add(&[
            span(Stage::Tree, 7_000_000, 7_004_000),
            // The span is late, but the second after it is still open.
            span(Stage::Hash, 6_999_000, 6_999_500),
        ]);
        let mut whole = IntervalLog::new(0);
        whole.append_lines(&log.into_lines().unwrap());
        assert_eq!(whole.intervals().count(), 0);

        let counts = |stage| {
            let seconds = whole.stage_by_second(stage).unwrap();
            let counts = seconds
                .iter()
                .map(|(second, all)| (*second, all.len(), all.max() / 100_000));
            counts.collect::<Vec<_>>()
        };
        assert_eq!(counts(Stage::Tree), [(0, 1, 20), (2, 1, 40)]);
        assert_eq!(counts(Stage::Hash), [(0, 1, 30), (1, 1, 5)]);
        assert_eq!(counts(Stage::Kzg), []);
    }
}
