//! Searches key by key, each time with the kept values of earlier keys. Pure except for the trials, which are passed
//! in.
//!
//! No measurement is lost: a value that conflicts with kept values is skipped and named, and a trial that fails ends
//! the search with the measurements so far.

use toml_edit::DocumentMut;
use trunkline::Config;
use trunkline::config::Layers;

use crate::error::CommandError;
use crate::output;
use crate::sweep::Varied;
use crate::trial::{self, Choice, Figures, Stop};

use super::judge::{Aim, Tried, better};

/// Runs a trial with given settings. Returns nothing if the user interrupted it.
pub(super) type Measure<'a> = dyn FnMut(&[Choice]) -> Result<Option<Figures>, CommandError> + 'a;

/// A search with its starting point.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) aim: Aim,
    pub(super) rounds: u8,
    /// The user's settings.
    pub(super) layers: &'a Layers,
    /// The configuration of these settings.
    pub(super) before: &'a Config,
}

/// A key and the trials of its values.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: String,
    /// The original value, then the others.
    pub(super) tried: Vec<Tried>,
    /// Values that were not tried, each with the reason.
    pub(super) skipped: Vec<(String, String)>,
    /// Index in `tried` of the kept value.
    pub(super) kept: usize,
}

/// The reason why a search ended early.
#[derive(Debug)]
pub(super) struct Stopped {
    /// The setting of the trial that did not finish.
    pub(super) at: String,
    pub(super) why: Stop,
}

/// Results of a search so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    /// Keys whose trials did not finish. The first may have a step, which keeps the original value.
    pub(super) untried: Vec<String>,
    pub(super) stopped: Option<Stopped>,
}

impl Search<'_> {
    /// Tries the keys in order. Calls `tell` after each.
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
            if let Err(stopped) = self.try_all(&mut step, &chosen, measure) {
                found.steps.push(step);
                found.stopped = Some(*stopped);
                return found;
            }
            step.kept = better(self.aim, &step.tried);
            chosen.extend(step.choice().filter(|_| step.kept > 0));
            found.untried.retain(|key| *key != varied.key);
            found.steps.push(step);
            tell(&found);
        }
        found
    }

    /// Returns the values to try for a key: the original one, and those that do not conflict with kept values.
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
            match trial::configuration(self.layers, &choices) {
                Ok(config) => step.add(value_of(&config, &step.key)),
                Err(error) => {
                    let why = trunkline_load::error_chain(&error);
                    output::tell(format!("{}={value} is skipped: {why}", step.key));
                    step.skipped.push((value.clone(), why));
                }
            }
        }
        step
    }

    fn try_all(
        &self,
        step: &mut Step,
        chosen: &[Choice],
        measure: &mut Measure<'_>,
    ) -> Result<(), Box<Stopped>> {
        if step.tried.len() < 2 {
            // There is nothing to compare.
            return Ok(());
        }
        for round in 1..=self.rounds {
            for place in trial::there_and_back(step.tried.len(), round) {
                let tried = &mut step.tried[place];
                let at = format!("{}={}", step.key, tried.value);
                output::tell(format!("round {round} of {}: {at}", self.rounds));
                let measured = measure(&with(chosen, &step.key, &tried.value));
                let measured = measured.map_err(Stop::from);
                let figures = measured.and_then(|figures| figures.ok_or(Stop::Interrupted));
                tried
                    .trials
                    .push(figures.map_err(|why| Box::new(Stopped { at, why }))?);
            }
        }
        Ok(())
    }
}

impl Step {
    /// Adds a value to try, in the spelling of configurations, unless it is there already.
    fn add(&mut self, value: String) {
        if self.tried.iter().all(|tried| tried.value != value) {
            self.tried.push(Tried {
                value,
                trials: Vec::new(),
            });
        }
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

/// Returns the value of a setting in the form in which it is typed; nothing if it has none.
fn value_of(config: &Config, key: &str) -> String {
    let value = || {
        let document: DocumentMut = config.to_toml().ok()?.parse().ok()?;
        let (section, key) = key.split_once('.')?;
        let value = document.get(section)?.get(key)?;
        let text = value.as_str().map(str::to_owned);
        Some(text.unwrap_or_else(|| value.to_string().trim().to_owned()))
    };
    value().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::parse_varied;

    const AIM: Aim = Aim::Throughput { target_us: 1e6 };

    fn found(
        varied: &[&str],
        mut measure: impl FnMut(&[Choice]) -> Result<Option<Figures>, CommandError>,
    ) -> Found {
        let layers = Config::layers();
        let before = Config::default();
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

    /// Returns figures that are better, the greater the number of the last choice.
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
        assert!(found.stopped.is_none() && found.untried.is_empty());
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
        let Some(Stopped {
            at,
            why: Stop::Failed(error),
        }) = &found.stopped
        else {
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
            tried.push(trial::name(choices));
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
        let stopped = found.stopped.unwrap();
        assert!(matches!(stopped.why, Stop::Interrupted));
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
        let config = Config::default();
        assert_eq!(value_of(&config, "group.operations_max"), "20000");
        assert_eq!(value_of(&config, "kzg.mode"), "eager");
        assert_eq!(value_of(&config, "durability.mode"), "sync");
    }
}
