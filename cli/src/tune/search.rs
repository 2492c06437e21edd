//! One key after the other, each with what was kept of those before it: pure but for the trials, which are handed in.
//!
//! Nothing that was measured is lost: a value that does not go with what was kept is left out and named, and a trial
//! that fails ends the search with what there is.

use trunkline::config::Layers;

use crate::error::{self, CommandError};
use crate::sweep::Varied;
use crate::trial::{self, Choice, Figures};

use super::judge::{Aim, Tried, better};

/// A trial with certain settings; nothing if the user had enough.
pub(super) type Measure<'a> = dyn FnMut(&[Choice]) -> Result<Option<Figures>, CommandError> + 'a;

/// What is looked for, and from where.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) aim: Aim,
    pub(super) rounds: u8,
    /// The user's settings.
    pub(super) layers: &'a Layers,
    /// The same as TOML of the library's own, every key of it.
    pub(super) before: &'a str,
}

/// A key, and what came of trying its values.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: String,
    /// The value before, then those that were tried.
    pub(super) tried: Vec<Tried>,
    /// Values that were not, and why.
    pub(super) skipped: Vec<(String, String)>,
    /// Place in `tried` of what is kept.
    pub(super) kept: usize,
}

/// How a search ended.
#[derive(Debug, Default)]
pub(super) enum Ended {
    #[default]
    Whole,
    Interrupted,
    /// A trial failed.
    Failed {
        /// The setting that it was to try.
        at: String,
        error: CommandError,
    },
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    /// Keys that were not tried to the end; the first may have a step all the same, which keeps what was before.
    pub(super) untried: Vec<String>,
    pub(super) ended: Ended,
}

impl Search<'_> {
    /// Tells what was found after each key.
    pub(super) fn run(
        &self,
        varied: &[Varied],
        measure: &mut Measure<'_>,
        mut tell: impl FnMut(&Found),
    ) -> Found {
        let mut found = Found {
            untried: varied.iter().map(|varied| varied.key.clone()).collect(),
            ..Found::default()
        };
        let mut chosen: Vec<Choice> = Vec::new();
        for varied in varied {
            let mut step = self.step(varied, &chosen);
            found.ended = self.try_all(&mut step, &chosen, measure);
            let is_whole = matches!(found.ended, Ended::Whole);
            if is_whole {
                step.kept = better(self.aim, &step.tried);
                chosen.extend(step.choice().filter(|_| step.kept > 0));
                found.untried.retain(|key| *key != varied.key);
            }
            found.steps.push(step);
            if !is_whole {
                return found;
            }
            tell(&found);
        }
        found
    }

    /// What is to be tried of a key: the value before, and the others that go with what was kept.
    fn step(&self, varied: &Varied, chosen: &[Choice]) -> Step {
        let mut step = Step {
            key: varied.key.clone(),
            tried: Vec::new(),
            skipped: Vec::new(),
            kept: 0,
        };
        let before = value_of(self.before, &varied.key);
        for value in std::iter::once(&before).chain(&varied.values) {
            let choices = with(chosen, &step.key, value);
            let built = trial::configuration(self.layers, &choices);
            match built.and_then(|config| Ok(config.to_toml()?)) {
                Ok(config) => step.add(value_of(&config, &step.key)),
                Err(error) => {
                    let why = error::line(&error);
                    eprintln!("{}={value} is left out: {why}", step.key);
                    step.skipped.push((value.clone(), why));
                }
            }
        }
        step
    }

    fn try_all(&self, step: &mut Step, chosen: &[Choice], measure: &mut Measure<'_>) -> Ended {
        if step.tried.len() < 2 {
            // There is nothing to compare.
            return Ended::Whole;
        }
        for round in 1..=self.rounds {
            for place in trial::there_and_back(step.tried.len(), round) {
                let Some(tried) = step.tried.get_mut(place) else {
                    continue;
                };
                let at = format!("{}={}", step.key, tried.value);
                eprintln!("round {round} of {}: {at}", self.rounds);
                match measure(&with(chosen, &step.key, &tried.value)) {
                    Ok(Some(figures)) => tried.trials.push(figures),
                    Ok(None) => return Ended::Interrupted,
                    Err(error) => return Ended::Failed { at, error },
                }
            }
        }
        Ended::Whole
    }
}

impl Step {
    /// One more value to try, as configurations spell it, unless it is there already.
    fn add(&mut self, value: String) {
        if self.tried.iter().any(|tried| tried.value == value) {
            return;
        }
        self.tried.push(Tried {
            value,
            trials: Vec::new(),
        });
    }

    fn choice(&self) -> Option<Choice> {
        let kept = self.tried.get(self.kept)?;
        Some(Choice {
            key: self.key.clone(),
            value: kept.value.clone(),
        })
    }
}

fn with(chosen: &[Choice], key: &str, value: &str) -> Vec<Choice> {
    let mut choices = chosen.to_vec();
    choices.push(Choice {
        key: key.to_owned(),
        value: value.to_owned(),
    });
    choices
}

/// The value of a key in TOML of the library's own, as it would be typed.
fn value_of(toml: &str, key: &str) -> String {
    let (section, key) = key.split_once('.').unwrap_or(("", key));
    let head = format!("[{section}]");
    let mut lines = toml.lines().skip_while(|line| *line != head).skip(1);
    let start = format!("{key} = ");
    let value = lines.find_map(|line| line.strip_prefix(&start));
    value.map_or(String::new(), |value| value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use trunkline::Config;

    use super::*;
    use crate::sweep::parse_varied;

    const AIM: Aim = Aim::Throughput { target_us: 1e6 };

    fn found(
        varied: &[&str],
        mut measure: impl FnMut(&[Choice]) -> Result<Option<Figures>, CommandError>,
    ) -> Found {
        let layers = Config::layers();
        let before = Config::default().to_toml().unwrap();
        let search = Search {
            aim: AIM,
            rounds: 5,
            layers: &layers,
            before: &before,
        };
        let varied = varied.iter().map(|text| parse_varied(text).unwrap());
        let varied: Vec<Varied> = varied.collect();
        search.run(&varied, &mut measure, |_| ())
    }

    fn at(achieved_per_second: f64) -> Figures {
        Figures {
            achieved_per_second,
            ..Figures::default()
        }
    }

    /// The figures of the last choice: the greater its number, the better.
    fn more_is_better(choices: &[Choice]) -> Figures {
        let last = choices.last().unwrap();
        at(last.value.parse().unwrap())
    }

    #[test]
    fn a_value_that_does_not_go_with_what_was_kept_is_left_out_and_named() {
        let varied = [
            "checkpoint.bytes_max=268435456",
            "checkpoint.unflushed_bytes_max=134217728,1073741824",
        ];
        let found = found(&varied, |choices| Ok(Some(more_is_better(choices))));
        assert!(matches!(found.ended, Ended::Whole) && found.untried.is_empty());
        let [first, second] = &found.steps[..] else {
            panic!("{found:?}");
        };
        assert_eq!((first.kept, second.kept), (1, 1));
        assert_eq!(second.tried[1].value, "1073741824");
        let (value, why) = &second.skipped[0];
        assert_eq!(value, "134217728");
        assert!(why.contains("checkpoint.bytes_max"), "{why}");
    }

    #[test]
    fn values_are_tried_once_and_as_configurations_spell_them() {
        let varied = ["group.operations_max=20_000,30_000,30000"];
        let found = found(&varied, |choices| Ok(Some(more_is_better(choices))));
        let tried = found.steps[0].tried.iter();
        let values: Vec<&str> = tried.map(|tried| tried.value.as_str()).collect();
        assert_eq!(values, ["20000", "30000"]);
    }

    #[test]
    fn a_trial_that_fails_ends_it_with_what_there_is() {
        let mut left = 21;
        let varied = [
            "group.in_flight_max=8",
            "group.linger_ms=1",
            "checkpoint.nice=1",
        ];
        let found = found(&varied, |choices| {
            left -= 1;
            match left {
                0 => Err(CommandError::VariedTwice("a disk".to_owned())),
                _ => Ok(Some(more_is_better(choices))),
            }
        });
        let Ended::Failed { at, error } = &found.ended else {
            panic!("{found:?}");
        };
        assert_eq!(at, "group.linger_ms=0");
        assert!(error.to_string().contains("a disk"));
        assert_eq!(found.untried, ["group.linger_ms", "checkpoint.nice"]);
        let [first, second] = &found.steps[..] else {
            panic!("{found:?}");
        };
        assert_eq!((first.kept, second.kept), (1, 0));
    }

    #[test]
    fn each_round_goes_there_and_back_over_what_was_kept() {
        let mut tried = Vec::new();
        let varied = ["group.in_flight_max=8", "group.linger_ms=1"];
        let found = found(&varied, |choices| {
            tried.push(crate::sweep::name(choices));
            Ok(Some(more_is_better(choices)))
        });
        assert_eq!(tried.len(), 40);
        let one = |in_flight| format!("group.in_flight_max={in_flight}");
        assert_eq!(tried[..4], [4, 8, 8, 4].map(one));
        assert_eq!(tried[4..8], [8, 4, 4, 8].map(one));
        assert_eq!(tried[20], "group.in_flight_max=8 group.linger_ms=0");
        assert_eq!(found.steps[0].tried[1].trials.len(), 10);
    }

    #[test]
    fn an_interrupt_keeps_what_was_measured_and_chooses_nothing_from_it() {
        let mut left = 19;
        let found = found(&["group.in_flight_max=8"], |choices| {
            left -= 1;
            Ok((left > 0).then(|| more_is_better(choices)))
        });
        assert!(matches!(found.ended, Ended::Interrupted));
        assert_eq!(found.steps[0].kept, 0);
        let trials: usize = found.steps[0]
            .tried
            .iter()
            .map(|tried| tried.trials.len())
            .sum();
        assert_eq!(trials, 18);
    }

    #[test]
    fn a_value_is_found_as_it_would_be_typed() {
        let toml = Config::default().to_toml().unwrap();
        assert_eq!(value_of(&toml, "group.operations_max"), "20000");
        assert_eq!(value_of(&toml, "kzg.mode"), "eager");
        assert_eq!(value_of(&toml, "durability.mode"), "sync");
    }
}
