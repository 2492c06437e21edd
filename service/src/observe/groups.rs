//! Spans of groups and their stages, made from the engine's timeline after the fact (decision 053).
//!
//! The engine's threads are not involved, so a slow or blocked subscriber delays no commit. Spans have the target
//! [`TARGET`] and the level debug. Their fields `begun_unix_us` and `ended_unix_us` state their times, which the
//! exporter uses as the times of the span.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{Level, debug, debug_span, span_enabled};
use trunkline::{Span, Stage};

use crate::observe::figures::Observed;
use crate::observe::table::{self, SpanLoss};

/// Target of the spans of groups and stages.
pub const TARGET: &str = "trunkline::group";
/// Most groups with unfinished stages. An engine has at most 1,024 in flight.
const OPEN_MAX: usize = 2048;

/// The work of each stage on a version.
type Stages = [Option<Span>; Stage::ALL.len()];

/// Combines the spans of stages into groups.
#[derive(Debug, Default)]
pub struct GroupSpans {
    open: BTreeMap<u64, Stages>,
    place: u64,
}

impl GroupSpans {
    /// Makes spans of the engine's work since the last call, if a subscriber wants any.
    pub fn look(&mut self, observed: &impl Observed) {
        if !span_enabled!(target: TARGET, Level::DEBUG) {
            return;
        }
        let (spans, place) = observed.spans_from(self.place);
        let lost = place
            .saturating_sub(self.place)
            .saturating_sub(spans.len() as u64);
        // Spans before the first call are not reported as missed.
        if self.place > 0 {
            table::spans_lost(SpanLoss::Timeline).increment(lost);
        }
        self.place = place;
        let groups = self.add(spans);
        emit(observed, groups);
    }

    /// Makes spans of groups that lack some stages.
    pub fn finish(&mut self, observed: &impl Observed) {
        let groups = std::mem::take(&mut self.open).into_values();
        emit(observed, groups.collect());
    }

    /// Returns the complete groups, and the oldest ones if too many are incomplete.
    fn add(&mut self, spans: Vec<Span>) -> Vec<Stages> {
        let mut complete = Vec::new();
        for span in spans {
            let stages = self.open.entry(span.version).or_default();
            stages[span.stage as usize] = Some(span);
            if stages.iter().all(Option::is_some) {
                complete.extend(self.open.remove(&span.version));
            } else if self.open.len() > OPEN_MAX {
                complete.extend(self.open.pop_first().map(|(_, stages)| stages));
            }
        }
        complete
    }
}

/// The time of the engine's clock at the beginning of 1970.
struct Epoch {
    uptime_us: u64,
    unix_us: u64,
}

impl Epoch {
    fn now(uptime_us: u64) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let unix_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Self { uptime_us, unix_us }
    }

    /// Returns a time of the engine's clock as microseconds since 1970.
    fn unix_us(&self, uptime_us: u64) -> i64 {
        let ago_us = self.uptime_us.saturating_sub(uptime_us);
        as_attribute(self.unix_us.saturating_sub(ago_us))
    }
}

/// Returns a number in the form of spans: OpenTelemetry's numbers are signed.
pub(super) fn as_attribute(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn emit(observed: &impl Observed, groups: Vec<Stages>) {
    if groups.is_empty() {
        return;
    }
    let epoch = Epoch::now(observed.uptime_us());
    for stages in groups {
        let stages: Vec<Span> = stages.into_iter().flatten().collect();
        emit_group(&epoch, &stages);
    }
}

fn emit_group(epoch: &Epoch, stages: &[Span]) -> Option<()> {
    let first = stages.first()?;
    let begun_us = stages.iter().map(|span| span.begun_us).min()?;
    let ended_us = stages.iter().map(|span| span.ended_us).max()?;
    let group = debug_span!(
        target: TARGET,
        parent: None,
        "group",
        version = as_attribute(first.version),
        operations = as_attribute(first.operations),
        bytes = as_attribute(first.bytes),
        duration_us = as_attribute(ended_us - begun_us),
        begun_unix_us = epoch.unix_us(begun_us),
        ended_unix_us = epoch.unix_us(ended_us),
    );
    for span in stages {
        let _made = debug_span!(
            target: TARGET,
            parent: &group,
            "stage",
            otel.name = span.stage.name(),
            stage = span.stage.name(),
            version = as_attribute(span.version),
            operations = as_attribute(span.operations),
            bytes = as_attribute(span.bytes),
            duration_us = as_attribute(span.ended_us.saturating_sub(span.begun_us)),
            begun_unix_us = epoch.unix_us(span.begun_us),
            ended_unix_us = epoch.unix_us(span.ended_us),
        );
    }
    let took_us = |stage| {
        let mut of_stage = stages.iter().filter(|span| span.stage == stage);
        of_stage
            .next()
            .map(|span| span.ended_us.saturating_sub(span.begun_us))
    };
    debug!(
        target: TARGET,
        parent: &group,
        ingest_us = took_us(Stage::Ingest),
        tree_us = took_us(Stage::Tree),
        hash_us = took_us(Stage::Hash),
        kzg_us = took_us(Stage::Kzg),
        persist_us = took_us(Stage::Persist),
        "group committed"
    );
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(stage: Stage, version: u64) -> Span {
        Span {
            stage,
            version,
            begun_us: version,
            ended_us: version + 1,
            operations: 1,
            bytes: 10,
        }
    }

    #[test]
    fn a_group_is_complete_with_its_five_stages_in_whatever_order() {
        let mut groups = GroupSpans::default();
        let [ingest, tree, hash, kzg, persist] = Stage::ALL;
        assert!(
            groups
                .add([ingest, tree, persist].map(|stage| span(stage, 1)).into())
                .is_empty()
        );
        assert!(groups.add(vec![span(ingest, 2), span(kzg, 1)]).is_empty());
        let complete = groups.add(vec![span(hash, 1)]);
        assert_eq!(complete, [Stage::ALL.map(|stage| Some(span(stage, 1)))]);
        assert_eq!(groups.open.len(), 1);
    }

    #[test]
    fn groups_that_never_end_are_bounded() {
        let mut groups = GroupSpans::default();
        let begun = (0..OPEN_MAX as u64 + 3).map(|version| span(Stage::Tree, version));
        let oldest = groups.add(begun.collect());
        assert_eq!((oldest.len(), groups.open.len()), (3, OPEN_MAX));
        assert_eq!(
            oldest[0][Stage::Tree as usize].map(|span| span.version),
            Some(0)
        );
    }
}
