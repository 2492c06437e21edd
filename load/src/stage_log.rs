//! How long the target's stages worked on each version, second by second, as lines of the interval log.
//!
//! Spans come in a little later than they ended, so a second stays open while the next one runs. Not here: what
//! operations took (`measure`).

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::interval_log::{IntervalLogError, stage_line};
use trunkline::Span;
use trunkline::Stage;

const SECOND_US: u64 = 1_000_000;
/// Digits that durations are told apart by.
const DIGITS: u8 = 2;
/// Bytes of lines that are kept; beyond them the older half goes.
const BYTES_MAX: usize = 32 << 20;

/// An empty one, which grows.
fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS)
        .unwrap_or_else(|_| unreachable!("two digits are a precision that the library takes"))
}

/// Lines of seconds that are over, and histograms of those that are not.
#[derive(Debug)]
pub(crate) struct StageLog {
    /// When second 0 begins, on the target's clock.
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

    /// Takes over what stages did; what ended before second 0 is left out.
    pub(crate) fn add(&mut self, spans: &[Span]) {
        for span in spans {
            let Some(after_us) = span.ended_us.checked_sub(self.begin_us) else {
                continue;
            };
            let key = (after_us / SECOND_US, span.stage as usize);
            let nanos = span
                .ended_us
                .saturating_sub(span.begun_us)
                .saturating_mul(1000);
            let recorded = self.open.entry(key).or_insert_with(histogram).record(nanos);
            debug_assert!(recorded.is_ok(), "one that grows takes everything");
        }
        let newest = self.open.keys().next_back().map_or(0, |key| key.0);
        self.close_before(newest.saturating_sub(1));
    }

    /// All lines.
    pub(crate) fn into_lines(mut self) -> Result<Vec<u8>, IntervalLogError> {
        self.close_before(u64::MAX);
        match self.failed {
            None => Ok(self.lines),
            Some(error) => Err(error),
        }
    }

    fn close_before(&mut self, second: u64) {
        let later = self.open.split_off(&(second, 0));
        for ((second, stage), histogram) in std::mem::replace(&mut self.open, later) {
            let line = stage_line(second, Stage::ALL[stage], &histogram);
            match line {
                Ok(line) => self.lines.extend_from_slice(&line),
                Err(error) => self.failed = Some(error),
            }
        }
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
            // Late: the second after it is open still.
            span(Stage::Hash, 6_999_000, 6_999_500),
        ]);
        let mut whole = IntervalLog::new(0);
        whole.append_lines(&log.into_lines().unwrap());
        assert_eq!(whole.intervals().count(), 0);
        assert!(whole.tags().unwrap().is_empty());

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
