//! A report as Markdown.

use std::fmt::Write;

use crate::catalog::{Part, RUNGS, Rung};
use crate::figures::Figures;
use crate::report::{Found, Report, Spread};

/// The factor up to which an optimisation counts as having no effect.
const NOTHING: f64 = 1.05;

/// Returns the table with the text around it.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = heading(report);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "| optimisation | promised, tier | how | of | factor, by round: least / middle / greatest | CPU factor of a commit | with | without | verdict |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for rung in RUNGS {
        line(&mut text, report, rung);
    }
    let _ = writeln!(text);
    for rung in RUNGS {
        remark(&mut text, report, rung);
    }
    for failed in &report.failed {
        let _ = writeln!(text, "- No factor: {failed}");
    }
    text
}

fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let rounds = report.samples.iter().map(|sample| sample.round + 1).max();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {}, {} cores, {:.0} GiB memory, Linux {}, disk {}. Allocator: {}. trunkline {}.",
        machine.date,
        machine.processor,
        machine.cores,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel,
        machine.disk,
        machine.allocator,
        machine.trunkline,
    );
    let _ = writeln!(
        text,
        "{} keys of 32 bytes with values of 32 bytes, then up to {} puts, half of them of fresh keys; the naive baseline starts with {} keys. {} rounds; in each, the two sides of a line run next to each other, by turns the one and the other first.\n",
        report.keys,
        report.operations,
        report.naive_keys,
        rounds.unwrap_or(0),
    );
    text
}

fn line(text: &mut String, report: &Report, rung: &Rung) {
    let found = report.found(rung);
    let Some(factor) = Spread::of(found.clone().map(|it| it.factor(rung.measure))) else {
        return;
    };
    let median = |side: fn((f64, f64)) -> f64| {
        let sides = found.clone().map(|it| side(it.sides(rung.measure)));
        Spread::of(sides).map_or(0.0, |spread| spread.median)
    };
    let unit = found.clone().next().map(|it| it.unit(rung.measure));
    let cpu = Spread::of(found.clone().filter_map(Found::cpu_factor));
    let cpu = match (rung.part, cpu, report.reckoned(rung)) {
        (Part::Whole, Some(spread), _) => times(spread.median),
        (_, _, Some(factor)) => format!("≈ {}", times(factor)),
        _ => "–".to_owned(),
    };
    let _ = writeln!(
        text,
        "| {}{} | {} | {} | {} | {} / **{}** / {} | {} | {} {} | {} | {} |",
        rung.name,
        if rung.in_engine { "" } else { " (not in use)" },
        rung.promise.label(),
        rung.off.kind().label(),
        rung.part.label(),
        times(factor.min),
        times(factor.median),
        times(factor.max),
        cpu,
        amount(median(|(with, _)| with)),
        unit.unwrap_or_default(),
        amount(median(|(_, without)| without)),
        verdict(rung, factor),
    );
}

fn remark(text: &mut String, report: &Report, rung: &Rung) {
    let Some(last) = report.found(rung).last() else {
        return;
    };
    let _ = write!(text, "- **{}**: {}", rung.name, rung.what);
    match last {
        Found::Comparison(comparison) if !comparison.remark.is_empty() => {
            let _ = write!(text, "; {}", comparison.remark);
        }
        Found::Comparison(_) => {}
        Found::Runs { with, without } => {
            let _ = write!(text, "; {}", both(with, without));
        }
    }
    let _ = writeln!(text, ".");
}

/// Returns the other figures in which the runs of the last round differ.
fn both(with: &Figures, without: &Figures) -> String {
    let pair = |name: &str, of: fn(&Figures) -> f64| {
        let (with, without) = (of(with), of(without));
        (with > 0.0 || without > 0.0)
            .then(|| format!("{name} {} against {}", amount(with), amount(without)))
    };
    let parts = [
        pair("durable p50 ms", |it| it.durable_p50_ms),
        pair("p99", |it| it.durable_p99_ms),
        pair("written B/put", |it| it.written_bytes_per_update),
        pair("resident MB", |it| it.resident_bytes as f64 / 1e6),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Compares the rounds with the promise.
fn verdict(rung: &Rung, factor: Spread) -> &'static str {
    let Spread { min, median, max } = factor;
    if let Part::Unused(_) = rung.part {
        return "nothing: the engine does not do this";
    }
    if median < 1.0 / NOTHING && max < 1.0 {
        return "costs";
    }
    if median < NOTHING || min < 1.0 {
        return "nothing that shows";
    }
    match rung.promise.factors() {
        None => "gains",
        Some((least, _)) if median < least => "less than promised",
        Some((_, greatest)) if median > greatest => "more than promised",
        Some(_) => "as promised",
    }
}

fn times(factor: f64) -> String {
    match factor {
        factor if factor >= 100.0 => format!("{factor:.0}×"),
        factor if factor >= 10.0 => format!("{factor:.1}×"),
        factor => format!("{factor:.2}×"),
    }
}

fn amount(figure: f64) -> String {
    match figure {
        figure if figure >= 1e6 => format!("{:.2}M", figure / 1e6),
        figure if figure >= 1e4 => format!("{:.0}k", figure / 1e3),
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure => format!("{figure:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Promise;

    #[test]
    fn verdicts_follow_the_rounds() {
        let rung = Rung {
            promise: Promise::Tier3,
            ..RUNGS[0]
        };
        let spread = |min, median, max| Spread { min, median, max };
        let of = |min, median, max| verdict(&rung, spread(min, median, max));
        assert_eq!(of(1.4, 1.6, 1.9), "as promised");
        assert_eq!(of(1.1, 1.2, 1.9), "less than promised");
        assert_eq!(of(2.0, 2.5, 3.0), "more than promised");
        assert_eq!(of(0.9, 1.2, 1.3), "nothing that shows");
        assert_eq!(of(0.9, 1.0, 1.1), "nothing that shows");
        assert_eq!(of(0.7, 0.8, 0.9), "costs");
    }
}
