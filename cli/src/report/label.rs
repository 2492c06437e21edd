//! Formats figures and decisions as text that is short enough for plots.

use trunkline::decisions::{Change, Decision};

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Micros,
    Count,
    PerSecond,
    Bytes,
    Percent,
    /// Number of all operations divided by the number of slower ones: 100 is the 99th percentile.
    Rarity,
}

impl Unit {
    /// Returns the unit whose multiples are round ticks up to a value.
    pub(super) fn size(self, value: f64) -> f64 {
        match self {
            Self::Bytes if value >= 1.0 => 1024f64.powf((value.ln() / 1024f64.ln()).floor()),
            _ => 1.0,
        }
    }

    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{} s", short(value)),
            Self::Micros => micros(value),
            Self::Count => compact(value),
            Self::PerSecond => format!("{}/s", compact(value)),
            Self::Bytes => bytes(value),
            Self::Percent => format!("{} %", short(value)),
            Self::Rarity => rarity(value),
        }
    }
}

/// Formats at most three significant digits, without trailing zeros.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let fitting = units.iter().find(|(size, _)| value.abs() >= size * 0.9995);
    match fitting {
        Some((size, name)) => format!("{}{name}", short(value / size)),
        None => short(value),
    }
}

pub(crate) fn compact(value: f64) -> String {
    scaled(value, &[(1e9, "G"), (1e6, "M"), (1e3, "k")])
}

pub(crate) fn micros(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    scaled(
        value,
        &[(1e6, " s"), (1e3, " ms"), (1.0, " µs"), (1e-3, " ns")],
    )
}

fn bytes(value: f64) -> String {
    let units =
        [(3, " GiB"), (2, " MiB"), (1, " KiB")].map(|(power, name)| (1024f64.powi(power), name));
    scaled(value, &units)
}

fn rarity(value: f64) -> String {
    let percent = 100.0 * (1.0 - 1.0 / value.max(1.0));
    let digits = (value.log10().round() as usize).saturating_sub(2).min(9);
    format!("{percent:.digits$} %")
}

/// Longest change that is shown, in bytes. The list of hot prefixes can be long.
const CHANGE_MAX: usize = 160;

/// Returns a change as one line.
pub(crate) fn change(change: &Change) -> String {
    let mut text = change.to_string();
    let end = text.floor_char_boundary(CHANGE_MAX);
    if end < text.len() {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Returns the reason for a decision, with its figures.
pub(super) fn why(decision: &Decision) -> String {
    match &decision.seen.evidence {
        Some(evidence) => format!("{}; {evidence}", decision.reason),
        None => decision.reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(Unit::PerSecond.text(1_234_567.0), "1.23M/s");
        assert_eq!(Unit::Count.text(20_000.0), "20k");
        assert_eq!(Unit::Count.text(200.0), "200");
        assert_eq!(Unit::Micros.text(1_500.0), "1.5 ms");
        assert_eq!(Unit::Micros.text(0.25), "250 ns");
        assert_eq!(Unit::Bytes.text(1_048_576.0), "1 MiB");
        assert_eq!(Unit::Seconds.text(-0.001), "0 s");
        assert_eq!(Unit::Rarity.text(1.0), "0 %");
        assert_eq!(Unit::Rarity.text(10.0), "90 %");
        assert_eq!(Unit::Rarity.text(100.0), "99 %");
        assert_eq!(Unit::Rarity.text(10_000.0), "99.99 %");
    }

    #[test]
    fn a_long_change_is_cut() {
        let long = Change::ReloadRefused {
            message: "é".repeat(1_000),
        };
        let text = change(&long);
        assert!(text.ends_with("é…") && text.len() < 170, "{text}");
        let short = Change::GroupOperationsMax { from: 1, to: 2 };
        assert_eq!(change(&short), "group.operations_max 1 → 2");
    }
}
