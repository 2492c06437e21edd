//! The figures of a running load in the text format of Prometheus (version 0.0.4). Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::load::{Progress, StageName};
use super::run::{Latency, OperationKind, Second};

/// Beginning of every text. See [`may_replace`](super::may_replace).
const HEAD: &str = "# HELP trunkline_load_stage ";

/// Sums of one kind of operation over the finished seconds.
#[derive(Clone, Debug, Default)]
struct Summed {
    achieved: u64,
    latency_us: f64,
    /// Latency in the last second in which any such operation ended.
    last: Latency,
}

/// The text about a load for Prometheus: counters over the finished seconds, quantiles of the last one, and the stage.
///
/// ```
/// use trunkline_load::{PrometheusText, Second};
/// let mut text = PrometheusText::new("nightly");
/// text.add(&Second { offered: 1000, achieved: 990, dropped: 10, ..Second::default() });
/// let text = text.to_string();
/// assert!(text.contains("trunkline_load_offered_operations_total{run=\"nightly\"} 1000\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PrometheusText {
    run: String,
    stage: Option<StageName>,
    next_second: u64,
    offered: u64,
    dropped: u64,
    failed: u64,
    generator_late_us: u64,
    operations: BTreeMap<OperationKind, Summed>,
}

impl PrometheusText {
    /// Bytes that every text begins with. See [`may_replace`](super::may_replace).
    pub const HEAD: &'static [u8] = HEAD.as_bytes();

    /// Begins the text of a run, whose name is the label `run` of every sample.
    pub fn new(run: &str) -> Self {
        Self {
            run: escaped(run),
            ..Self::default()
        }
    }

    /// Takes the progress of the load. Returns whether the text has changed, which happens once a second during the run
    /// itself.
    pub fn observe(&mut self, progress: &Progress<'_>) -> bool {
        let is_new_stage = self.stage != Some(progress.stage);
        self.stage = Some(progress.stage);
        if progress.stage != StageName::Run {
            return is_new_stage;
        }
        let begin = progress
            .seconds
            .partition_point(|second| second.second < self.next_second);
        let news = &progress.seconds[begin..];
        news.iter().for_each(|second| self.add(second));
        is_new_stage || !news.is_empty()
    }

    /// Adds a second of the run, unless it or a later one was added before.
    pub fn add(&mut self, second: &Second) {
        if second.second < self.next_second {
            return;
        }
        self.next_second = second.second + 1;
        self.offered += second.offered;
        self.dropped += second.dropped;
        self.failed += second.failed;
        self.generator_late_us = second.generator_late_us;
        for (kind, figures) in &second.operations {
            let sum = self.operations.entry(*kind).or_default();
            sum.achieved += figures.achieved;
            sum.latency_us += figures.latency.mean_us * figures.latency.count as f64;
            sum.last = figures.latency;
        }
    }

    fn stages(&self, text: &mut String) {
        let all = [StageName::Fill, StageName::Calibrate, StageName::Run];
        for stage in all {
            let is_it = u8::from(self.stage == Some(stage));
            let _ = writeln!(
                text,
                "trunkline_load_stage{{run=\"{}\",stage=\"{stage}\"}} {is_it}",
                self.run
            );
        }
    }

    fn achieved(&self, text: &mut String) {
        let name = "trunkline_load_achieved_operations_total";
        for (kind, sum) in &self.operations {
            let _ = writeln!(text, "{name}{} {}", self.labels(*kind, ""), sum.achieved);
        }
    }

    fn latencies(&self, text: &mut String) {
        let name = "trunkline_load_latency_seconds";
        for (kind, sum) in &self.operations {
            let last = &sum.last;
            let quantiles = [
                ("0.5", last.p50_us),
                ("0.9", last.p90_us),
                ("0.99", last.p99_us),
                ("0.999", last.p999_us),
            ];
            for (quantile, figure_us) in quantiles {
                let labels = self.labels(*kind, &format!(",quantile=\"{quantile}\""));
                let _ = writeln!(text, "{name}{labels} {}", figure_us / 1e6);
            }
            let labels = self.labels(*kind, "");
            let _ = writeln!(text, "{name}_sum{labels} {}", sum.latency_us / 1e6);
            let _ = writeln!(text, "{name}_count{labels} {}", sum.achieved);
        }
    }

    fn labels(&self, kind: OperationKind, more: &str) -> String {
        format!(
            "{{run=\"{}\",operation=\"{}\"{more}}}",
            self.run,
            kind.name()
        )
    }

    fn counter(&self, text: &mut String, name: &str, help: &str, value: u64) {
        head(text, name, "counter", help);
        let _ = writeln!(text, "{name}{{run=\"{}\"}} {value}", self.run);
    }
}

impl std::fmt::Display for PrometheusText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        head(
            &mut text,
            "trunkline_load_stage",
            "gauge",
            "1 for the stage that the load is in.",
        );
        self.stages(&mut text);
        let counters = [
            (
                "offered",
                "Operations that were due by the schedule.",
                self.offered,
            ),
            (
                "dropped",
                "Operations that were due but not started.",
                self.dropped,
            ),
            ("failed", "Operations that failed.", self.failed),
        ];
        for (name, help, value) in counters {
            let name = format!("trunkline_load_{name}_operations_total");
            self.counter(&mut text, &name, help, value);
        }
        if !self.operations.is_empty() {
            let name = "trunkline_load_achieved_operations_total";
            head(&mut text, name, "counter", "Operations that ended.");
            self.achieved(&mut text);
            let help =
                "Time from when an operation was due to its end; quantiles are of the last second.";
            head(&mut text, "trunkline_load_latency_seconds", "summary", help);
            self.latencies(&mut text);
        }
        let name = "trunkline_load_generator_late_seconds";
        head(
            &mut text,
            name,
            "gauge",
            "Greatest lateness of the generator in the last second.",
        );
        let late_s = self.generator_late_us as f64 / 1e6;
        let _ = writeln!(text, "{name}{{run=\"{}\"}} {late_s}", self.run);
        f.write_str(&text)
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Returns the escaped value of a label.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::run::OperationFigures;
    use super::*;

    fn second(number: u64) -> Second {
        let latency = Latency {
            count: 10,
            mean_us: 1_500.0,
            p50_us: 1_000.0,
            p99_us: 9_000.0 + number as f64,
            ..Latency::default()
        };
        let figures = OperationFigures {
            achieved: 10,
            latency,
            ..OperationFigures::default()
        };
        Second {
            second: number,
            offered: 12,
            achieved: 10,
            dropped: 1,
            failed: 1,
            generator_late_us: 30,
            operations: [(OperationKind::Update, figures)].into(),
        }
    }

    fn progress(seconds: &[Second], stage: StageName, then: impl FnOnce(&Progress<'_>)) {
        then(&Progress {
            stage,
            elapsed: std::time::Duration::ZERO,
            planned: None,
            operations: 0,
            planned_operations: None,
            is_warm_up: false,
            rate: None,
            current: &Second::default,
            seconds,
            windows: &[],
            decisions: &[],
            spans: &[],
        });
    }

    #[test]
    fn counters_add_up_and_quantiles_are_those_of_the_last_second() {
        let mut text = PrometheusText::new("a\"\\\nb");
        text.add(&second(0));
        text.add(&second(1));
        // A second counts once.
        text.add(&second(1));
        let expected = r#"# HELP trunkline_load_stage 1 for the stage that the load is in.
# TYPE trunkline_load_stage gauge
trunkline_load_stage{run="RUN",stage="fill"} 0
trunkline_load_stage{run="RUN",stage="calibrate"} 0
trunkline_load_stage{run="RUN",stage="run"} 0
# HELP trunkline_load_offered_operations_total Operations that were due by the schedule.
# TYPE trunkline_load_offered_operations_total counter
trunkline_load_offered_operations_total{run="RUN"} 24
# HELP trunkline_load_dropped_operations_total Operations that were due but not started.
# TYPE trunkline_load_dropped_operations_total counter
trunkline_load_dropped_operations_total{run="RUN"} 2
# HELP trunkline_load_failed_operations_total Operations that failed.
# TYPE trunkline_load_failed_operations_total counter
trunkline_load_failed_operations_total{run="RUN"} 2
# HELP trunkline_load_achieved_operations_total Operations that ended.
# TYPE trunkline_load_achieved_operations_total counter
trunkline_load_achieved_operations_total{run="RUN",operation="update"} 20
# HELP trunkline_load_latency_seconds Time from when an operation was due to its end; quantiles are of the last second.
# TYPE trunkline_load_latency_seconds summary
trunkline_load_latency_seconds{run="RUN",operation="update",quantile="0.5"} 0.001
trunkline_load_latency_seconds{run="RUN",operation="update",quantile="0.9"} 0
trunkline_load_latency_seconds{run="RUN",operation="update",quantile="0.99"} 0.009001
trunkline_load_latency_seconds{run="RUN",operation="update",quantile="0.999"} 0
trunkline_load_latency_seconds_sum{run="RUN",operation="update"} 0.03
trunkline_load_latency_seconds_count{run="RUN",operation="update"} 20
# HELP trunkline_load_generator_late_seconds Greatest lateness of the generator in the last second.
# TYPE trunkline_load_generator_late_seconds gauge
trunkline_load_generator_late_seconds{run="RUN"} 0.00003
"#;
        assert_eq!(text.to_string(), expected.replace("RUN", r#"a\"\\\nb"#));
        assert!(
            text.to_string()
                .as_bytes()
                .starts_with(PrometheusText::HEAD)
        );
    }

    #[test]
    fn a_load_changes_the_text_with_each_stage_and_each_second_of_the_run() {
        let mut text = PrometheusText::new("");
        let seconds = [second(0), second(1)];
        progress(&[], StageName::Fill, |progress| {
            assert!(text.observe(progress));
            assert!(!text.observe(progress));
        });
        // The seconds of the search for a rate are not those of the run.
        progress(&seconds, StageName::Calibrate, |progress| {
            assert!(text.observe(progress));
            assert!(!text.observe(progress));
        });
        assert!(
            text.to_string()
                .contains("offered_operations_total{run=\"\"} 0\n")
        );
        progress(&seconds, StageName::Run, |progress| {
            assert!(text.observe(progress));
            assert!(!text.observe(progress));
        });
        assert!(
            text.to_string()
                .contains("offered_operations_total{run=\"\"} 24\n")
        );
        assert!(text.to_string().contains("stage=\"run\"} 1\n"));
    }
}
