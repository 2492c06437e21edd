//! Thresholds: limits for a run's figures, such as `update.p99<50ms`. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::interval_log::Measure;
use super::run::{Latency, OperationKind, Totals};

/// Most thresholds of one plan.
pub const THRESHOLDS_MAX: usize = 100;

/// An error in the text of a threshold. Each message lists the valid choices.
///
/// ```
/// use trunkline_load::Threshold;
/// let error = "updates.p99<50ms".parse::<Threshold>().unwrap_err();
/// assert!(error.to_string().starts_with("updates.p99 is not a metric; write throughput, dropped, failed, missing,"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// The text has no comparison.
    #[error(
        "{0} is not a threshold; write a metric, one of < <= > >=, and a value, such as update.p99<50ms"
    )]
    Form(String),
    /// The metric is not known.
    #[error("{0} is not a metric; write {names}", names = ThresholdMetric::names())]
    Metric(String),
    /// The value is not a number.
    #[error(
        "{0} is not a value; write digits, with a decimal point if necessary, and then the unit"
    )]
    Value(String),
    /// The unit does not belong to the metric.
    #[error("{unit:?} is not a unit of {metric}; write {expected} after the number")]
    Unit {
        /// The metric.
        metric: String,
        /// The unit.
        unit: String,
        /// The units of the metric.
        expected: &'static str,
    },
}

/// A figure of latencies.
///
/// See [`ThresholdMetric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// 99.99th percentile.
    P9999,
    /// Largest.
    Max,
}

impl Statistic {
    const ALL: [Self; 7] = [
        Self::Mean,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::P9999,
        Self::Max,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::P9999 => "p99.99",
            Self::Max => "max",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Returns the figure in microseconds, if there is any latency.
    fn of(self, latency: &Latency) -> Option<f64> {
        let figure = match self {
            Self::Mean => latency.mean_us,
            Self::P50 => latency.p50_us,
            Self::P90 => latency.p90_us,
            Self::P99 => latency.p99_us,
            Self::P999 => latency.p999_us,
            Self::P9999 => latency.p9999_us,
            Self::Max => latency.max_us,
        };
        (latency.count > 0).then_some(figure)
    }
}

/// A figure of a run that a threshold is about.
///
/// ```
/// use trunkline_load::{Measure, OperationKind, Statistic, Threshold, ThresholdMetric};
/// let metric = "update.service.p99.9 < 5ms".parse::<Threshold>()?.metric();
/// let (kind, measure, statistic) = (OperationKind::Update, Measure::Service, Statistic::P999);
/// assert_eq!(metric, ThresholdMetric::Operation { kind, measure, statistic });
/// # Ok::<(), trunkline_load::ThresholdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdMetric {
    /// `throughput`: operations a second that ended while operations were due.
    Throughput,
    /// `dropped`: operations that were due and not started.
    Dropped,
    /// `failed`: operations that failed, and writes whose batch was refused.
    Failed,
    /// `missing`: reads that found nothing although their keys existed.
    Missing,
    /// `generator_late.p99` and so on: the delay with which the generator itself started operations.
    GeneratorLate(Statistic),
    /// `update.p99` (from the time at which it was due), `update.service.p99` (from its actual start) and so on.
    Operation {
        /// Kind of the operations.
        kind: OperationKind,
        /// The measured time.
        measure: Measure,
        /// The statistic of that time.
        statistic: Statistic,
    },
}

/// The dimension of a metric, which determines the units of its values.
#[derive(Clone, Copy, PartialEq)]
enum Dimension {
    Time,
    Rate,
    Count,
}

impl ThresholdMetric {
    const SIMPLE: [Self; 4] = [Self::Throughput, Self::Dropped, Self::Failed, Self::Missing];

    fn names() -> String {
        let list = |names: Vec<&str>| names.join(", ");
        format!(
            "throughput, dropped, failed, missing, generator_late.STATISTIC, KIND.STATISTIC or KIND.service.STATISTIC; \
             KIND is one of {}; STATISTIC is one of {}",
            list(OperationKind::ALL.map(OperationKind::name).to_vec()),
            list(Statistic::ALL.map(Statistic::name).to_vec()),
        )
    }

    fn from_name(name: &str) -> Option<Self> {
        let simple = Self::SIMPLE
            .into_iter()
            .find(|metric| metric.to_string() == name);
        if simple.is_some() {
            return simple;
        }
        let (subject, rest) = name.split_once('.')?;
        if subject == "generator_late" {
            return Some(Self::GeneratorLate(Statistic::from_name(rest)?));
        }
        let (measure, statistic) = match rest.strip_prefix("service.") {
            Some(statistic) => (Measure::Service, statistic),
            None => (Measure::Latency, rest),
        };
        Some(Self::Operation {
            kind: OperationKind::from_name(subject)?,
            measure,
            statistic: Statistic::from_name(statistic)?,
        })
    }

    fn dimension(self) -> Dimension {
        match self {
            Self::Throughput => Dimension::Rate,
            Self::Dropped | Self::Failed | Self::Missing => Dimension::Count,
            Self::GeneratorLate(_) | Self::Operation { .. } => Dimension::Time,
        }
    }

    /// Returns the figure: microseconds, operations a second, or a count.
    fn of(self, totals: &Totals) -> Option<f64> {
        match self {
            Self::Throughput => Some(totals.achieved_per_second()),
            Self::Dropped => Some(totals.dropped as f64),
            Self::Failed => Some(totals.failed as f64),
            Self::Missing => Some(totals.missing as f64),
            Self::GeneratorLate(statistic) => statistic.of(&totals.generator_late),
            Self::Operation {
                kind,
                measure,
                statistic,
            } => {
                let figures = totals.operations.get(&kind)?;
                statistic.of(match measure {
                    Measure::Latency => &figures.latency,
                    Measure::Service => &figures.service,
                })
            }
        }
    }
}

impl fmt::Display for ThresholdMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throughput => f.write_str("throughput"),
            Self::Dropped => f.write_str("dropped"),
            Self::Failed => f.write_str("failed"),
            Self::Missing => f.write_str("missing"),
            Self::GeneratorLate(statistic) => write!(f, "generator_late.{}", statistic.name()),
            Self::Operation {
                kind,
                measure,
                statistic,
            } => {
                let service = match measure {
                    Measure::Latency => "",
                    Measure::Service => "service.",
                };
                write!(f, "{}.{service}{}", kind.name(), statistic.name())
            }
        }
    }
}

/// The comparison between a figure and the value of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    /// The comparisons, those of two characters first.
    const ALL: [(Self, &str); 4] = [
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
    ];

    /// Returns the comparison that a text begins with, and the rest.
    fn take(text: &str) -> Option<(Self, &str)> {
        let mut known = Self::ALL.into_iter();
        known.find_map(|(comparison, sign)| Some((comparison, text.strip_prefix(sign)?)))
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    fn holds(self, measured: f64, value: f64) -> bool {
        match self {
            Self::Less => measured < value,
            Self::AtMost => measured <= value,
            Self::Greater => measured > value,
            Self::AtLeast => measured >= value,
        }
    }
}

/// Unit of a value as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    /// A name, with its size in microseconds, in operations per second, or as a count.
    Size(&'static str, f64),
    /// Percent of the operations that were due.
    Percent,
}

impl Unit {
    const TIMES: &[Self] = &[
        Self::Size("ns", 1e-3),
        Self::Size("us", 1.0),
        Self::Size("µs", 1.0),
        Self::Size("ms", 1e3),
        Self::Size("s", 1e6),
    ];
    const RATES: &[Self] = &[
        Self::Size("", 1.0),
        Self::Size("k", 1e3),
        Self::Size("M", 1e6),
        Self::Size("/s", 1.0),
        Self::Size("k/s", 1e3),
        Self::Size("M/s", 1e6),
    ];
    const COUNTS: &[Self] = &[
        Self::Size("", 1.0),
        Self::Size("k", 1e3),
        Self::Size("M", 1e6),
        Self::Percent,
    ];

    /// Returns the units of a dimension, and a text that lists them.
    fn all(dimension: Dimension) -> (&'static [Self], &'static str) {
        match dimension {
            Dimension::Time => (Self::TIMES, "ns, us, ms or s"),
            Dimension::Rate => (Self::RATES, "nothing, k or M, and /s if you like,"),
            Dimension::Count => (
                Self::COUNTS,
                "nothing, k, M or % (of the operations that were due)",
            ),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Size(name, _) => name,
            Self::Percent => "%",
        }
    }

    /// Returns a figure in this unit.
    fn of(self, figure: f64, totals: &Totals) -> f64 {
        match self {
            Self::Size(_, size) => figure / size,
            Self::Percent => figure * 100.0 / totals.offered.max(1) as f64,
        }
    }
}

/// A limit for a figure of a run: a metric, a comparison, and a value with its unit.
///
/// ```
/// use trunkline_load::{Threshold, Totals};
/// let totals = Totals { scheduled_us: 1_000_000, ended_in_schedule: 90_000, offered: 100_000, dropped: 500, ..Totals::default() };
/// let result = |text: &str| Ok::<_, trunkline_load::ThresholdError>(text.parse::<Threshold>()?.check(&totals));
/// assert!(result("throughput >= 90k")?.holds);
/// let dropped = result("dropped<0.1%")?;
/// assert!(!dropped.holds);
/// assert_eq!(dropped.to_string(), "dropped<0.1% does not hold: 0.5%");
/// # Ok::<(), trunkline_load::ThresholdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Threshold {
    metric: ThresholdMetric,
    comparison: Comparison,
    value: f64,
    unit: Unit,
}

impl Threshold {
    /// Returns the metric that the threshold limits.
    pub fn metric(&self) -> ThresholdMetric {
        self.metric
    }

    /// Returns the kind of operation that it applies to, if it applies to one.
    pub fn kind(&self) -> Option<OperationKind> {
        match self.metric {
            ThresholdMetric::Operation { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Checks the figures of a run. A figure that was not measured does not meet the threshold.
    pub fn check(&self, totals: &Totals) -> ThresholdResult {
        let measured = self.metric.of(totals);
        let measured = measured.map(|figure| self.unit.of(figure, totals));
        ThresholdResult {
            threshold: *self,
            measured,
            holds: measured.is_some_and(|measured| self.comparison.holds(measured, self.value)),
        }
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let form = || ThresholdError::Form(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(form)?;
        let (name, rest) = text.split_at(at);
        let (comparison, limit) = Comparison::take(rest).ok_or_else(form)?;
        let name = name.trim();
        let metric = ThresholdMetric::from_name(name);
        let metric = metric.ok_or_else(|| ThresholdError::Metric(name.to_owned()))?;
        let (value, unit) = value_and_unit(metric, limit.trim())?;
        Ok(Self {
            metric,
            comparison,
            value,
            unit,
        })
    }
}

/// Parses the text after the comparison.
fn value_and_unit(metric: ThresholdMetric, text: &str) -> Result<(f64, Unit), ThresholdError> {
    let is_digit = |character: char| character.is_ascii_digit() || matches!(character, '.' | '_');
    let end = text
        .find(|character| !is_digit(character))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value = digits
        .replace('_', "")
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite());
    let value = value.ok_or_else(|| ThresholdError::Value(text.to_owned()))?;
    let unit = unit.trim();
    let (units, expected) = Unit::all(metric.dimension());
    let known = units.iter().find(|known| known.name() == unit);
    let unit = known.ok_or_else(|| ThresholdError::Unit {
        metric: metric.to_string(),
        unit: unit.to_owned(),
        expected,
    })?;
    Ok((value, *unit))
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, unit) = (self.comparison.sign(), self.unit.name());
        write!(f, "{}{sign}{}{unit}", self.metric, self.value)
    }
}

impl TryFrom<String> for Threshold {
    type Error = ThresholdError;

    fn try_from(text: String) -> Result<Self, ThresholdError> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> Self {
        threshold.to_string()
    }
}

/// The result of a threshold for a run.
///
/// See [`Threshold`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThresholdResult {
    /// The threshold, such as `update.p99<50ms`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub threshold: Threshold,
    /// The figure in the unit of the threshold; `None` if it was not measured.
    pub measured: Option<f64>,
    /// True if the run meets the threshold. A figure that was not measured meets none.
    pub holds: bool,
}

impl ThresholdResult {
    /// Returns the figure with its unit.
    pub fn measured_text(&self) -> String {
        let unit = self.threshold.unit.name();
        match self.measured {
            None => "not measured".to_owned(),
            Some(measured) if measured == measured.round() => format!("{measured}{unit}"),
            Some(measured) => format!("{}{unit}", significant(measured)),
        }
    }
}

/// Returns a number with at least six significant digits, and with all digits before the decimal point.
fn significant(value: f64) -> String {
    let whole_digits = value.abs().max(1e-6).log10().floor() as i32 + 1;
    let digits = (6 - whole_digits).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

impl fmt::Display for ThresholdResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "holds" } else { "does not hold" };
        write!(f, "{} {verdict}: {}", self.threshold, self.measured_text())
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::OperationFigures;
    use super::*;

    fn parsed(text: &str) -> Threshold {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn totals() -> Totals {
        let latency = Latency {
            count: 10,
            p99_us: 50_000.0,
            p999_us: 61_234.5,
            ..Latency::default()
        };
        let figures = OperationFigures {
            achieved: 10,
            latency,
            ..OperationFigures::default()
        };
        Totals {
            scheduled_us: 2_000_000,
            ended_in_schedule: 200_000,
            offered: 200_000,
            dropped: 1_000,
            operations: [(OperationKind::Update, figures)].into(),
            ..Totals::default()
        }
    }

    #[test]
    fn a_threshold_is_written_as_it_is_read() {
        for text in [
            "throughput>100k",
            "throughput>=1.5M/s",
            "dropped<0.1%",
            "failed<=0",
            "missing<1",
            "generator_late.p99<5ms",
            "update.p99.99<50ms",
            "read_modify_write.service.mean<=250us",
            "multi_get.max<1s",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(
            parsed(" update.p99 <  1_000 us "),
            parsed("update.p99<1000us")
        );
    }

    #[test]
    fn every_metric_that_is_listed_is_known() {
        for kind in OperationKind::ALL {
            for statistic in Statistic::ALL {
                let of = |measure| format!("{}{measure}.{}<1ms", kind.name(), statistic.name());
                assert_eq!(parsed(&of("")).kind(), Some(kind));
                assert_eq!(parsed(&of(".service")).kind(), Some(kind));
            }
        }
    }

    #[test]
    fn a_typo_is_an_error_that_lists_what_may_be_written() {
        let says = |text: &str, part: &str| {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        says("", "one of < <= > >=");
        says("update.p99=5ms", "one of < <= > >=");
        says(
            "updates.p99<5ms",
            "updates.p99 is not a metric; write throughput,",
        );
        says("update.p95<5ms", "p90, p99, p99.9");
        says("update<5ms", "read_modify_write");
        says("update.p99<ms", "ms is not a value");
        says("update.p99<1.2.3ms", "is not a value");
        says("update.p99<-1ms", "is not a value");
        says("update.p99<<1ms", "is not a value");
        says(
            "update.p99<5",
            "\"\" is not a unit of update.p99; write ns, us, ms or s",
        );
        says("throughput>5ms", "nothing, k or M");
        says("throughput>5%", "nothing, k or M");
        says("dropped<1x", "nothing, k, M or %");
    }

    #[test]
    fn values_are_compared_in_the_unit_of_the_threshold() {
        let totals = totals();
        let holds = |text: &str| parsed(text).check(&totals).holds;
        assert!(holds("update.p99<=50ms") && !holds("update.p99<50ms"));
        assert!(holds("update.p99<0.0501s") && holds("update.p99>=50000us"));
        assert!(holds("throughput>=100k") && !holds("throughput>100k/s"));
        assert!(holds("dropped<1%") && holds("dropped<=1k") && !holds("dropped<0.5%"));
        assert!(holds("failed<=0") && holds("missing<1"));
    }

    #[test]
    fn a_figure_that_was_not_measured_keeps_no_threshold() {
        for text in [
            "read.p99<1s",
            "read.p99>0s",
            "update.service.p99<1s",
            "generator_late.p99<1s",
        ] {
            let result = parsed(text).check(&totals());
            assert_eq!((result.measured, result.holds), (None, false), "{text}");
            assert!(result.to_string().ends_with("does not hold: not measured"));
        }
    }

    #[test]
    fn a_result_says_what_was_measured_in_the_same_unit() {
        let text = |threshold: &str| parsed(threshold).check(&totals()).to_string();
        assert_eq!(
            text("update.p99.9<50ms"),
            "update.p99.9<50ms does not hold: 61.2345ms"
        );
        assert_eq!(text("throughput>1k"), "throughput>1k holds: 100k");
        assert_eq!(text("update.p99.9<1s"), "update.p99.9<1s holds: 0.0612345s");
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let result = parsed("update.p99.9<50ms").check(&totals());
        let json = serde_json::to_string(&result).unwrap();
        assert_eq!(
            json,
            r#"{"threshold":"update.p99.9<50ms","measured":61.2345,"holds":false}"#
        );
        assert_eq!(
            serde_json::from_str::<ThresholdResult>(&json).unwrap(),
            result
        );
    }
}
