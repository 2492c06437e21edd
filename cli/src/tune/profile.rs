//! Writes the results of a search as a configuration file, with the measurements in its comments.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml_edit::Value;
use trunkline::config::SettingChange;
use trunkline_load::{Machine, Plan, error_chain};

use super::judge::{Aim, CHANCE_TIMES_MIN, GAIN_MIN, Gain, Tried, chance, rounds_needed};
use super::search::{Found, Search, Step, Stopped};
use crate::output::{counted, escaped_line, grouped, micros};
use crate::trial::Stop;

pub(super) fn text(
    plan: &Plan,
    search: &Search<'_>,
    machine: &Machine,
    given: &[SettingChange],
    found: &Found,
) -> String {
    let mut text = head(plan, search, machine);
    text += &untried(found);
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let replaced = |key: &str| {
        let mut steps = found.steps.iter();
        steps.any(|step| step.key == key && step.kept > 0)
    };
    for change in given.iter().filter(|change| !replaced(&change.key)) {
        let (section, key) = change.key.split_once('.').unwrap_or(("", &change.key));
        let line = format!("# Given by the user.\n{key} = {}\n", change.to);
        *sections.entry(section).or_default() += &line;
    }
    for step in &found.steps {
        let (section, key) = step.key.split_once('.').unwrap_or(("", &step.key));
        *sections.entry(section).or_default() += &entry(key, search.aim, step);
    }
    for (section, entries) in sections {
        let _ = write!(text, "\n[{section}]\n{entries}");
    }
    text
}

/// Beginning of every profile.
pub(super) const HEAD: &str = "# Found by \"trunkline tune\"";

/// Returns a comment about the keys whose trials did not finish.
fn untried(found: &Found) -> String {
    if found.untried.is_empty() {
        return String::new();
    }
    let untried = found.untried.join(", ");
    let why = match &found.stopped {
        None => "Not finished".to_owned(),
        Some(Stopped { at, why }) => match why {
            Stop::Interrupted => "Interrupted".to_owned(),
            Stop::Failed(error) => {
                let why = escaped_line(&error_chain(error)).into_owned();
                format!("A trial with {at} failed ({why})")
            }
        },
    };
    format!("# {why}, before these keys were tried to the end: {untried}.\n")
}

/// Operations whose latency is compared.
const LATENCY: &str = "of writes until they are durable, or of reads if nothing is written";

fn head(plan: &Plan, search: &Search<'_>, machine: &Machine) -> String {
    let (aim, compared) = match search.aim {
        Aim::Throughput { target_us } => {
            let target = micros(target_us as u64);
            (
                format!("the most throughput with a 99th percentile ({LATENCY}) within {target}"),
                format!("operations a second, times {target} over the 99th percentile where that is greater"),
            )
        }
        Aim::Latency => (
            format!("the least 99th percentile ({LATENCY}) at the plan's rate"),
            "99th percentiles, the lower the better; where less than 97 % of the rate was achieved, divided by the \
             fourth power of the achieved share"
                .to_owned(),
        ),
    };
    let plan = plan.to_toml();
    let plan = plan
        .lines()
        .map(|line| format!("#   {line}").trim_end().to_owned() + "\n");
    let rounds = u64::from(search.rounds);
    let paragraphs = [
        "Keys were tried one after the other, each with the values kept of the keys before it. Gains that need two keys \
         together are not found."
            .to_owned(),
        format!(
            "{} of all values of a key, forward and back, each round beginning with the next value: {} trials of each \
             value. Rates and latencies are medians of the trials.",
            counted(rounds, "round"),
            2 * rounds
        ),
        format!(
            "\"Times as good\" compares {compared}. Each value is compared with the first one of the list, by round \
             (geometric mean of forward and back): least, median and greatest of the rounds. Where the machine drifts \
             from round to round, the medians of the trials may say the opposite."
        ),
        rule(search.rounds.into()),
        "Controllers were off (control.mode = \"fixed\"). With \"adaptive\", group.operations_max is the initial value."
            .to_owned(),
        "Settings that are not set here keep their defaults: see default.toml.".to_owned(),
    ];
    [
        comment(&format!("{}: {aim}.", &HEAD[2..])),
        comment(&format!(
            "Measured on {} cores ({}, {}) with this plan:",
            machine.cores, machine.processor, machine.system,
        )),
        "#\n".to_owned(),
        plan.collect(),
        "#\n".to_owned(),
        paragraphs
            .iter()
            .map(|paragraph| comment(paragraph))
            .collect(),
    ]
    .concat()
}

/// Returns the rule by which values are kept.
fn rule(rounds: usize) -> String {
    let times = |better| (1.0 / chance(better, rounds)).floor();
    match rounds_needed(rounds) {
        None => format!(
            "Nothing is kept after {}: a value without any effect is better in all of them once in {} times.",
            counted(rounds as u64, "round"),
            times(rounds)
        ),
        Some(needed) => format!(
            "A value is kept if it is at least {GAIN_MIN} times as good in the median, and better in at least {needed} \
             of {rounds} rounds. A value without any effect reaches that by chance once in {} times, so of many such \
             values one may be kept. Of several values the one with the greatest median is kept. Rounds with a warning \
             about either value, other than of dropped operations, do not count; of the remaining rounds enough are \
             needed for a chance of at most once in {CHANCE_TIMES_MIN} times.",
            times(needed)
        ),
    }
}

/// Longest line of a comment, characters.
const LINE_MAX: usize = 118;

/// Returns a paragraph in lines that begin with `#`.
fn comment(paragraph: &str) -> String {
    let mut text = String::new();
    let mut line = "#".to_owned();
    for word in paragraph.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > LINE_MAX {
            text += &line;
            text.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line += word;
    }
    text + &line + "\n"
}

/// Returns the lines of a key: a comment for each value, and the kept value unless it is the first one.
fn entry(key: &str, aim: Aim, step: &Step) -> String {
    let mut text = String::new();
    let Some(first) = step.tried.first() else {
        return text;
    };
    for (place, tried) in step.tried.iter().enumerate() {
        let kept = if place == step.kept { ", kept" } else { "" };
        let against = match place {
            0 => String::new(),
            _ => against(&tried.gain(aim, first)),
        };
        let _ = writeln!(
            text,
            "# {key} = {}: {}{against}{kept}",
            tried.value,
            figures(tried)
        );
        text += &warned(tried);
    }
    for (value, why) in &step.skipped {
        let why = escaped_line(why);
        let _ = writeln!(text, "# {key} = {value}: not tried: {why}");
    }
    match step.tried.get(step.kept) {
        Some(kept) if step.kept > 0 => {
            let _ = writeln!(text, "{key} = {}", as_toml(&kept.value));
        }
        _ => {}
    }
    text
}

/// Returns the ratios of the rounds.
fn against(gain: &Gain) -> String {
    let left_out = match gain.left_out {
        0 => String::new(),
        left_out => format!(" ({left_out} more did not count)"),
    };
    match gain.rounds {
        0 => format!("; no round counts{left_out}"),
        rounds => format!(
            "; {:.2}, {:.2}, {:.2} times as good, better in {} of {}{left_out}",
            gain.least,
            gain.median,
            gain.greatest,
            gain.better,
            counted(rounds as u64, "round")
        ),
    }
}

/// Returns the number of trials with a warning, and the first warning.
fn warned(tried: &Tried) -> String {
    let mut warnings = tried.trials.iter().map(|trial| &trial.warnings);
    let count = warnings.clone().filter(|all| !all.is_empty()).count();
    match warnings.find_map(|all| all.first()) {
        None => String::new(),
        Some(first) => format!(
            "#   {count} of {} had a warning, the first: {}\n",
            counted(tried.trials.len() as u64, "trial"),
            escaped_line(&first.to_string())
        ),
    }
}

fn figures(tried: &Tried) -> String {
    if tried.trials.is_empty() {
        return "not measured".to_owned();
    }
    let median = tried.median();
    format!(
        "{} operations/s, p50 {}, p99 {}",
        grouped(median.achieved_per_second as u64),
        micros(median.p50_us as u64),
        micros(median.p99_us as u64),
    )
}

/// Returns a typed value as TOML, as a string unless it is another kind of value.
fn as_toml(value: &str) -> Value {
    value.parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use trunkline::Config;

    use super::*;
    use crate::trial::Figures;

    fn step(key: &str, values: &[&str], kept: usize) -> Step {
        let tried = values.iter().map(|value| Tried {
            value: (*value).to_owned(),
            trials: vec![Figures::default(); 10],
        });
        Step {
            key: key.to_owned(),
            tried: tried.collect(),
            skipped: Vec::new(),
            kept,
        }
    }

    fn profile(rounds: u8, base: &Config, found: &Found) -> String {
        let search = Search {
            aim: Aim::Throughput { target_us: 1e5 },
            rounds,
            layers: &Config::layers(),
            before: base,
        };
        let given = Config::default().changes(base).unwrap();
        let plan = Plan {
            name: "a\nb = 1".to_owned(),
            ..Plan::default()
        };
        text(&plan, &search, &Machine::here(), &given, found)
    }

    fn read(text: &str) -> Config {
        let layers = Config::layers().text("profile.toml", text).unwrap();
        layers.build().unwrap()
    }

    /// Returns the text as one line, without comment marks.
    fn flat(text: &str) -> String {
        text.replace("\n# ", " ")
    }

    #[test]
    fn a_profile_is_a_configuration_that_sets_what_was_kept() {
        let mut base = Config::default();
        base.versions.retain_versions = 7;
        let found = Found {
            steps: vec![
                step("group.operations_max", &["20000", "5000"], 1),
                step("kzg.mode", &["eager", "coalesce"], 1),
                step("group.linger_ms", &["0", "1"], 0),
            ],
            untried: vec!["checkpoint.nice".to_owned()],
            stopped: Some(Stopped {
                at: "checkpoint.nice=1".to_owned(),
                why: Stop::Interrupted,
            }),
        };
        let text = profile(5, &base, &found);
        let mut expected = base;
        expected.group.operations_max = 5000;
        expected.kzg.mode = trunkline::config::KzgMode::Coalesce;
        assert_eq!(read(&text), expected);
        assert!(
            text.contains("# linger_ms = 0: 0 operations/s, p50 0 µs, p99 0 µs, kept\n"),
            "{text}"
        );
        assert!(text.contains(
            "# Interrupted, before these keys were tried to the end: checkpoint.nice.\n"
        ));
    }

    #[test]
    fn the_ratios_of_the_rounds_stand_beside_the_medians() {
        let mut step = step("group.linger_ms", &["0", "1"], 0);
        for (trial, rate) in [100.0, 100.0, 50.0, 50.0, 80.0, 80.0].iter().enumerate() {
            step.tried[0].trials[trial].achieved_per_second = *rate;
            step.tried[1].trials[trial].achieved_per_second = 90.0;
        }
        step.tried
            .iter_mut()
            .for_each(|tried| tried.trials.truncate(6));
        step.tried[0].trials[4].warnings = vec![trunkline_load::Warning::Failed {
            operations: 3,
            first: "late\n= 1".to_owned(),
        }];
        step.skipped.push(("9".to_owned(), "too\nmuch".to_owned()));
        let found = Found {
            steps: vec![step],
            ..Found::default()
        };
        let text = profile(5, &Config::default(), &found);
        let expected = "# linger_ms = 1: 90 operations/s, p50 0 µs, p99 0 µs; 0.90, 1.27, 1.80 times as good, \
                        better in 1 of 2 rounds (1 more did not count)\n# linger_ms = 9: not tried: too\\nmuch\n";
        assert!(text.contains(expected), "{text}");
        let warning = "#   1 of 6 trials had a warning, the first: 3 operations failed, the first with: late\\n= \
                       1\n";
        assert!(text.contains(warning), "{text}");
        assert_eq!(read(&text), Config::default());
    }

    #[test]
    fn a_failure_is_named_with_its_cause() {
        let error = crate::error::CommandError::file("make", "here")(std::io::Error::other("a\nb"));
        let found = Found {
            untried: vec!["group.linger_ms".to_owned()],
            stopped: Some(Stopped {
                at: "group.linger_ms=1".to_owned(),
                why: Stop::Failed(error),
            }),
            ..Found::default()
        };
        let text = profile(5, &Config::default(), &found);
        let expected = "# A trial with group.linger_ms=1 failed (cannot make here: a b), before these keys were tried to \
                        the end: group.linger_ms.\n";
        assert!(text.contains(expected), "{text}");
        assert_eq!(read(&text), Config::default());
    }

    #[test]
    fn the_head_says_how_many_rounds_are_needed() {
        let head = |rounds| flat(&profile(rounds, &Config::default(), &Found::default()));
        let says = "better in at least 5 of 5 rounds. A value without any effect reaches that by chance once in 32 times";
        assert!(head(5).contains(says), "{}", head(5));
        let says = "better in at least 8 of 9 rounds. A value without any effect reaches that by chance once in 51 times";
        assert!(head(9).contains(says), "{}", head(9));
        let says = "Nothing is kept after 3 rounds: a value without any effect is better in all of them once in 8 times.";
        assert!(head(3).contains(says), "{}", head(3));
        assert!(head(1).contains("1 round of all values of a key, forward and back"));
        assert!(
            head(5)
                .lines()
                .all(|line| line.starts_with('#') || line.is_empty())
        );
    }
}
