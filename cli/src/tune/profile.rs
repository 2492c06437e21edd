//! A configuration file with what was found, and in its comments what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;

use trunkline::config::SettingChange;
use trunkline::load::{Machine, Plan};

use super::Step;
use super::judge::{Aim, Tried};
use crate::output::{grouped, micros};

pub(super) fn text(
    plan: &Plan,
    aim: Aim,
    rounds: u8,
    machine: &Machine,
    given: &[SettingChange],
    steps: &[Step],
    untried: &[String],
) -> String {
    let mut text = head(plan, aim, rounds, machine);
    if !untried.is_empty() {
        let untried = untried.join(", ");
        let _ = writeln!(
            text,
            "# Interrupted, before these were tried to the end: {untried}."
        );
    }
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let replaced = |key: &str| steps.iter().any(|step| step.key == key && step.kept > 0);
    for change in given.iter().filter(|change| !replaced(&change.key)) {
        let (section, key) = change.key.split_once('.').unwrap_or(("", &change.key));
        let line = format!("# Given.\n{key} = {}\n", change.to);
        *sections.entry(section).or_default() += &line;
    }
    for step in steps {
        let (section, key) = step.key.split_once('.').unwrap_or(("", &step.key));
        *sections.entry(section).or_default() += &entry(key, aim, step);
    }
    for (section, entries) in sections {
        let _ = write!(text, "\n[{section}]\n{entries}");
    }
    text
}

/// Whose latency it is.
const LATENCY: &str = "of writes until they are durable, of reads where nothing is written";

fn head(plan: &Plan, aim: Aim, rounds: u8, machine: &Machine) -> String {
    let looked_for = match aim {
        Aim::Throughput { target_us } => {
            let target = micros(target_us as u64);
            format!("the most throughput whose 99th percentile ({LATENCY}) is within {target}")
        }
        Aim::Latency => format!("the least 99th percentile ({LATENCY}) at the plan's rate"),
    };
    let mut text = format!(
        "# Found by \"trunkline tune\": {looked_for}, medians of {rounds} rounds.\n# Measured on {} cores ({}, {}) with this plan:\n#\n",
        machine.cores, machine.processor, machine.system,
    );
    for line in plan.to_toml().lines() {
        let _ = writeln!(text, "{}", format!("#   {line}").trim_end());
    }
    text + "#\n# Keys were tried one after the other, each with what was kept of those before it: what two of them do only\n# together is not found.\n# Nothing was moved meanwhile (control.mode = \"fixed\"): with \"adaptive\" group.operations_max is where the\n# engine begins.\n# What is not set here keeps its default: see default.toml.\n"
}

/// The lines of one key: the values tried under comments, and the one that is kept, if it is not what was before.
fn entry(key: &str, aim: Aim, step: &Step) -> String {
    let mut text = String::new();
    let Some(first) = step.tried.first() else {
        return text;
    };
    for (place, tried) in step.tried.iter().enumerate() {
        let kept = if place == step.kept { ", kept" } else { "" };
        let against = match place {
            0 => String::new(),
            _ => format!(", {:.2} times as good", tried.gain(aim, first).0),
        };
        let _ = writeln!(
            text,
            "# {key} = {}: {}{against}{kept}",
            tried.value,
            figures(tried)
        );
    }
    match step.tried.get(step.kept) {
        Some(kept) if step.kept > 0 => {
            let _ = writeln!(text, "{key} = {}", as_toml(&kept.value));
        }
        _ => {}
    }
    text
}

fn figures(tried: &Tried) -> String {
    let median = tried.median();
    format!(
        "{} operations/s, p50 {}, p99 {}",
        grouped(median.achieved_per_second as u64),
        micros(median.p50_us as u64),
        micros(median.p99_us as u64),
    )
}

/// Numbers and truth values as they are, everything else as a text.
fn as_toml(value: &str) -> String {
    let is_bare = value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok();
    match is_bare {
        true => value.to_owned(),
        false => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use trunkline::Config;

    use super::*;
    use crate::trial::Figures;

    fn step(key: &str, values: &[&str], kept: usize) -> Step {
        let tried = values.iter().map(|value| Tried {
            value: (*value).to_owned(),
            rounds: vec![Figures::default(); 3],
        });
        Step {
            key: key.to_owned(),
            tried: tried.collect(),
            kept,
        }
    }

    #[test]
    fn a_profile_is_a_configuration_that_sets_what_was_kept() {
        let steps = [
            step("group.operations_max", &["20000", "5000"], 1),
            step("commit.mode", &["eager", "coalesce"], 1),
            step("group.linger_ms", &["0", "1"], 0),
        ];
        let mut base = Config::default();
        base.versions.retain_versions = 7;
        let given = Config::default().changes(&base).unwrap();
        let aim = Aim::Throughput { target_us: 1e5 };
        let plan = Plan {
            name: "a\nb = 1".to_owned(),
            ..Plan::default()
        };
        let untried = ["checkpoint.nice".to_owned()];
        let text = text(&plan, aim, 3, &Machine::here(), &given, &steps, &untried);
        let config = Config::layers()
            .text("profile.toml", &text)
            .unwrap()
            .build()
            .unwrap();
        let mut expected = base;
        expected.group.operations_max = 5000;
        expected.commit.mode = trunkline::config::CommitMode::Coalesce;
        assert_eq!(config, expected);
        assert!(
            text.contains("# linger_ms = 0: 0 operations/s, p50 0 µs, p99 0 µs, kept\n"),
            "{text}"
        );
        assert!(
            text.contains("# Interrupted, before these were tried to the end: checkpoint.nice.\n")
        );
    }
}
