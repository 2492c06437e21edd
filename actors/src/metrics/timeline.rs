//! The times at which each stage worked on each version: the last few thousand spans.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::failure::Stage;

/// The maximum number of spans kept.
const SPANS_MAX: usize = 8192;

/// The time that a stage worked on a version.
///
/// ```
/// use trunkline::{Span, Stage};
/// let span = Span { stage: Stage::Tree, version: 7, begun_us: 1_000, ended_us: 4_500, operations: 20_000,
///     bytes: 900_000 };
/// assert_eq!(serde_json::to_string(&span).unwrap(),
///     r#"{"stage":"tree","version":7,"begun_us":1000,"ended_us":4500,"operations":20000,"bytes":900000}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The stage.
    pub stage: Stage,
    /// The version.
    pub version: u64,
    /// The time at which the stage took up the version, microseconds since the engine was opened.
    pub begun_us: u64,
    /// The time at which the stage had finished it, microseconds since the engine was opened.
    pub ended_us: u64,
    /// The operations of the version.
    pub operations: u64,
    /// The bytes of their keys and values. Older runs do not have it.
    #[serde(default)]
    pub bytes: u64,
}

/// The last spans, oldest first.
#[derive(Debug, Default)]
pub struct Timeline {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: VecDeque<Span>,
    /// The number of spans that were dropped.
    dropped: u64,
}

impl Timeline {
    /// Returns the bytes that the spans take in memory.
    pub fn memory_bytes(&self) -> usize {
        self.kept.lock().spans.capacity() * size_of::<Span>()
    }

    /// Adds a span, and drops the oldest one if there are too many.
    pub fn push(&self, span: Span) {
        let mut kept = self.kept.lock();
        if kept.spans.len() == SPANS_MAX {
            kept.spans.pop_front();
            kept.dropped += 1;
        }
        kept.spans.push_back(span);
    }

    /// Returns the spans that ended at this time or later, oldest first.
    pub fn since(&self, ended_us: u64) -> Vec<Span> {
        let kept = self.kept.lock();
        let ended = kept.spans.iter().filter(|span| span.ended_us >= ended_us);
        ended.copied().collect()
    }

    /// Returns the spans from a position on, in the order in which they were added, and the position after the last.
    pub fn read_from(&self, place: u64) -> (Vec<Span>, u64) {
        let kept = self.kept.lock();
        let skipped = usize::try_from(place.saturating_sub(kept.dropped)).unwrap_or(usize::MAX);
        let spans = kept.spans.iter().skip(skipped).copied().collect();
        (spans, kept.dropped + kept.spans.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_spans_are_dropped() {
        let timeline = Timeline::default();
        for version in 0..SPANS_MAX as u64 + 10 {
            timeline.push(Span {
                stage: Stage::Hash,
                version,
                begun_us: version,
                ended_us: version + 1,
                operations: 1,
                bytes: 10,
            });
        }
        let spans = timeline.since(0);
        assert_eq!((spans.len(), spans[0].version), (SPANS_MAX, 10));
        assert_eq!(timeline.since(SPANS_MAX as u64 + 10).len(), 1);

        let end = SPANS_MAX as u64 + 10;
        assert_eq!(timeline.read_from(0), (spans.clone(), end));
        assert_eq!(
            timeline.read_from(end - 2),
            (spans[SPANS_MAX - 2..].to_vec(), end)
        );
        assert_eq!(timeline.read_from(end + 1), (Vec::new(), end));
    }
}
