//! The figures as Markdown.

use std::fmt::Write;

use super::LargerRun;
use super::choice::Distribution;

/// Returns the table of all runs.
pub(crate) fn markdown(runs: &[LargerRun]) -> String {
    let mut text = String::from(
        "| engine | keys | memory limit MiB | budget MiB | opening s | uniform puts/s | reads/s | hot puts/s | zipf puts/s | \
         uniform: written B a put | uniform: p50 ms | peak of the group MiB | resident MiB | counted MiB | disk GB |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for run in runs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", row(run));
    }
    for run in runs {
        let owners = run.measured.counted_bytes.iter();
        let owners = owners.map(|(owner, bytes)| format!("{owner} {}", mib(*bytes)));
        let owners: Vec<String> = owners.collect();
        if !owners.is_empty() {
            let name = run.contender.name();
            let _ = writeln!(text, "\n{name}, memory in MiB: {}.", owners.join(", "));
        }
    }
    text
}

/// Returns one line of the table.
pub(super) fn row(run: &LargerRun) -> String {
    let measured = &run.measured;
    let puts = |distribution: Distribution| {
        let phases = measured.puts.iter();
        let mut found = phases.filter(move |puts| puts.distribution == distribution);
        found.next()
    };
    let rate = |distribution| puts(distribution).map_or(0.0, |puts| puts.per_second);
    let uniform = puts(Distribution::Uniform);
    format!(
        "| {} | {} | {} | {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {:.2} |",
        run.contender.name(),
        run.keys,
        mib(run.memory_max),
        mib(run.budget),
        measured.open_seconds,
        rate(Distribution::Uniform),
        measured.reads_per_second,
        rate(Distribution::Hot),
        rate(Distribution::Zipf),
        uniform.map_or(0.0, |puts| puts.written_bytes),
        uniform.map_or(0.0, |puts| puts.durable.p50_ms),
        mib(run.group_peak_bytes),
        mib(measured.resident_bytes),
        mib(measured.counted_bytes.iter().map(|owner| owner.1).sum()),
        measured.disk_bytes as f64 / 1e9,
    )
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
