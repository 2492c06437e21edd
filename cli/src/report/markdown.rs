//! Formats a run as short Markdown for a pull request, next to a base run if there is one. All text of a run is
//! escaped.

use std::fmt::Write;

use trunkline_load::compare::{Comparison, Recorded, Settings, compare};
use trunkline_load::{Run, ThresholdResult, Warning};

use crate::compare::{change, figure, unlike};
use crate::output::{escaped_line, grouped};
use crate::thresholds;

use super::label::{compact, micros};
use super::page::name;
use super::text;

/// Beginning of every such text, so that no file of another kind is replaced, and the comment of an earlier run can be
/// found.
const HEAD: &str = "<!-- trunkline report, markdown -->\n";
/// Most doubts that are listed.
const DOUBTS_MAX: usize = 20;
/// Longest text of the run, in bytes.
const TEXT_MAX: usize = 500;

pub(super) fn markdown(recorded: &Recorded, base: Option<&Recorded>) -> String {
    let run = &recorded.run;
    let mut text = format!("{HEAD}\n## {}\n\n{}\n", code(name(run)), summary(run));
    text += &latencies(run);
    text += &judged(&run.thresholds);
    let mut doubts: Vec<String> = run.warnings.iter().map(Warning::to_string).collect();
    if let Some(base) = base {
        text += &compared(base, recorded, &mut doubts);
    }
    text += &listed(&doubts);
    text
}

fn summary(run: &Run) -> String {
    let totals = &run.totals;
    let kept = run.thresholds.iter().filter(|result| result.holds).count();
    let mut parts = vec![
        format!(
            "**{}/s** of {}/s offered",
            compact(totals.achieved_per_second()),
            compact(totals.offered_per_second())
        ),
        format!("{} dropped", grouped(totals.dropped)),
        format!("{} failed", grouped(totals.failed)),
        micros(totals.scheduled_us as f64),
    ];
    if !run.thresholds.is_empty() {
        let all = run.thresholds.len();
        let word = if kept == all { "passed" } else { "FAILED" };
        parts.insert(0, format!("**{word}**: {kept} of {all} thresholds hold"));
    }
    parts.extend(text::merged(run).map(|merged| format!("merged: {merged}")));
    if let Some(reason) = &run.ended_by {
        parts.push(format!("**broke off**: {}", code(reason)));
    }
    parts.join(" · ")
}

fn latencies(run: &Run) -> String {
    if run.totals.operations.is_empty() {
        return String::new();
    }
    let mut text =
        "\n| latency | count | p50 | p90 | p99 | p99.9 | max |\n|:--|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (kind, total) in &run.totals.operations {
        let latency = &total.latency;
        let figures = [
            latency.p50_us,
            latency.p90_us,
            latency.p99_us,
            latency.p999_us,
            latency.max_us,
        ];
        let figures = figures.map(micros).join(" | ");
        let _ = writeln!(
            text,
            "| {} | {} | {figures} |",
            kind.name(),
            grouped(latency.count)
        );
    }
    text
}

fn judged(results: &[ThresholdResult]) -> String {
    if results.is_empty() {
        return String::new();
    }
    let mut text = "\n| threshold | measured | |\n|:--|--:|:--|\n".to_owned();
    for result in results {
        let threshold = code(&result.threshold.to_string());
        let verdict = match result.holds {
            true => thresholds::verdict(result).to_owned(),
            false => format!("**{}**", thresholds::verdict(result)),
        };
        let _ = writeln!(
            text,
            "| {threshold} | {} | {verdict} |",
            result.measured_text()
        );
    }
    text
}

/// Compares with a base run, as `compare` does. A reason not to compare the two is listed as a doubt.
fn compared(base: &Recorded, recorded: &Recorded, doubts: &mut Vec<String>) -> String {
    let runs = [base.clone(), recorded.clone()];
    let unlike = unlike(&runs[..1], &runs[1..]);
    doubts.extend(
        unlike
            .into_iter()
            .map(|reason| format!("the base: {reason}")),
    );
    let settings = Settings::default();
    match compare(&[base.observed()], &[recorded.observed()], &settings) {
        Ok(comparison) => table(&base.run, &comparison),
        Err(error) => {
            doubts.push(format!("the base: {error}"));
            String::new()
        }
    }
}

fn table(base: &Run, comparison: &Comparison) -> String {
    let mut text = format!(
        "\n| | base {} | this run | change | verdict |\n|:--|--:|--:|--:|:--|\n",
        code(name(base))
    );
    for one in &comparison.metrics {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            one.metric,
            figure(one.metric, one.before),
            figure(one.metric, one.after),
            change(one.change),
            one.verdict,
        );
    }
    text
}

fn listed(doubts: &[String]) -> String {
    if doubts.is_empty() {
        return String::new();
    }
    let mut text = "\n**Doubts**\n\n".to_owned();
    for doubt in doubts.iter().take(DOUBTS_MAX) {
        let _ = writeln!(text, "- {}", code(doubt));
    }
    if doubts.len() > DOUBTS_MAX {
        let _ = writeln!(
            text,
            "- {} more are in `run.json`",
            doubts.len() - DOUBTS_MAX
        );
    }
    text
}

/// Returns text as code that means nothing in Markdown or HTML: no link, no mention, no cell, no element.
fn code(text: &str) -> String {
    let text = escaped_line(text);
    let end = text.floor_char_boundary(TEXT_MAX);
    let mut safe = String::from("<code>");
    for character in text[..end].chars() {
        let is_plain = !character.is_ascii_punctuation() || ".,-/%=+".contains(character);
        match is_plain {
            true => safe.push(character),
            false => safe += &format!("&#{};", u32::from(character)),
        }
    }
    if end < text.len() {
        safe.push('…');
    }
    safe + "</code>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_run_means_anything_in_markdown() {
        let hostile = "a|b\n<b>@team #1 [x](y) `c` *d* _e_ & 5.5 %";
        let safe = code(hostile);
        let inner = safe
            .strip_prefix("<code>")
            .and_then(|safe| safe.strip_suffix("</code>"));
        let inner = inner.unwrap();
        assert!(!inner.contains(['|', '\n', '<', '>', '@', '[', ']', '(', ')', '`', '*', '_']));
        assert!(inner.ends_with("&#38; 5.5 %"), "{inner}");
        // Only the entities have a number sign.
        assert_eq!(inner.matches('#').count(), inner.matches("&#").count());
        assert!(code(&"é".repeat(TEXT_MAX)).len() < TEXT_MAX + 30);
    }
}
