//! The thresholds of a run: those of its plan, overridden by typed ones, as a table and as an exit code.

use trunkline_load::{Threshold, ThresholdResult};

use crate::Exit;
use crate::table::Table;

/// Applies typed thresholds over those of a plan: each replaces the plan's thresholds of the same metric.
pub(crate) fn lay_over(typed: &[Threshold], thresholds: &mut Vec<Threshold>) {
    let is_typed = |threshold: &Threshold| {
        let mut typed = typed.iter();
        typed.any(|typed| typed.metric() == threshold.metric())
    };
    thresholds.retain(|threshold| !is_typed(threshold));
    thresholds.extend(typed);
}

/// Returns the exit code of a command whose other checks hold.
pub(crate) fn exit(results: &[ThresholdResult]) -> Exit {
    match results.iter().all(|result| result.holds) {
        true => Exit::Done,
        false => Exit::Threshold,
    }
}

/// Returns whether a threshold is met, as a word that is easy to find in a long log.
pub(crate) fn verdict(result: &ThresholdResult) -> &'static str {
    if result.holds { "passed" } else { "FAILED" }
}

/// Returns the results as a table; nothing if there are none.
pub(crate) fn text(results: &[ThresholdResult]) -> String {
    if results.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["threshold", "measured", ""]);
    for result in results {
        table.row([
            result.threshold.to_string(),
            result.measured_text(),
            verdict(result).to_owned(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(texts: &[&str]) -> Vec<Threshold> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_typed_threshold_replaces_those_of_the_same_metric() {
        let mut of_plan = thresholds(&["update.p99<50ms", "update.p99>1ms", "failed<1"]);
        lay_over(
            &thresholds(&["update.p99<70ms", "throughput>1k"]),
            &mut of_plan,
        );
        assert_eq!(
            of_plan,
            thresholds(&["failed<1", "update.p99<70ms", "throughput>1k"])
        );
    }
}
