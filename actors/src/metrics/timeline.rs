//! When each stage worked on which version: the last few thousand spans.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::failure::Stage;

/// Largest number of spans kept.
const SPANS_MAX: usize = 8192;

/// The time that a stage worked on a version.
///
/// ```
/// use trunkline::{Span, Stage};
/// let span = Span { stage: Stage::Tree, version: 7, begun_us: 1_000, ended_us: 4_500, operations: 20_000 };
/// assert_eq!(serde_json::to_string(&span).unwrap(),
///     r#"{"stage":"tree","version":7,"begun_us":1000,"ended_us":4500,"operations":20000}"#);
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
    /// Operations of the version.
    pub operations: u64,
}

/// The last spans, oldest first.
#[derive(Debug, Default)]
pub struct Timeline {
    spans: Mutex<VecDeque<Span>>,
}

impl Timeline {
    /// Adds a span, and drops the oldest one if there are too many.
    pub fn push(&self, span: Span) {
        let mut spans = self.spans.lock();
        if spans.len() == SPANS_MAX {
            spans.pop_front();
        }
        spans.push_back(span);
    }

    /// Returns the spans that ended at this time or later, oldest first.
    pub fn since(&self, ended_us: u64) -> Vec<Span> {
        let spans = self.spans.lock();
        let ended = spans.iter().filter(|span| span.ended_us >= ended_us);
        ended.copied().collect()
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
            });
        }
        let spans = timeline.since(0);
        assert_eq!((spans.len(), spans[0].version), (SPANS_MAX, 10));
        assert_eq!(timeline.since(SPANS_MAX as u64 + 10).len(), 1);
    }
}
