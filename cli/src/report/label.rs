//! Figures as texts that are short enough for plots, and the names of things in them.

use trunkline::control::{Change, Phase, Work};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Micros,
    Count,
    PerSecond,
    Bytes,
    Percent,
    /// How many times rarer than everything: 100 is the 99th percentile.
    Rarity,
}

impl Unit {
    /// What ticks up to a value are round multiples of.
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

/// At most three digits that matter, without zeros behind the point.
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

/// A time since 1970 in UTC, to the second.
pub(super) fn date_time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = date(seconds / 86_400);
    let second = seconds % 86_400;
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// The Gregorian date so many days after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// A change in a line.
pub(crate) fn change(change: &Change) -> String {
    let numbers = |what: &str, from: u64, to: u64| {
        format!("{what} {} → {}", compact(from as f64), compact(to as f64))
    };
    match change {
        Change::GroupOperationsMax { from, to } => numbers("group cap", *from, *to),
        Change::InFlightOperationsMax { from, to } => numbers("admission", *from, *to),
        Change::Pieces { work, from, to } => {
            numbers(&format!("pieces of {}", work_name(*work)), *from, *to)
        }
        Change::ValueCacheBytes { from, to } => {
            let (from, to) = (bytes(*from as f64), bytes(*to as f64));
            format!("cache of values {from} → {to}")
        }
        Change::HotPrefixes { prefixes } => format!("{} parts kept in memory", prefixes.len()),
        Change::Phase { from, to } => {
            format!("phase {} → {}", phase_name(*from), phase_name(*to))
        }
        Change::Setting { key, from, to } => format!("{key} {from} → {to}"),
        Change::ReloadRefused { message } => format!("reload refused: {message}"),
    }
}

fn work_name(work: Work) -> &'static str {
    match work {
        Work::Tree => "tree",
        Work::Hash => "hash",
        Work::Proof => "proof",
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::ReadHeavy => "read-heavy",
        Phase::WriteHeavy => "write-heavy",
        Phase::Mixed => "mixed",
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
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date_time(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(date_time(1_767_225_599_999), "2025-12-31 23:59:59 UTC");
    }
}
