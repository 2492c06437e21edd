//! How a load changes with time: the shape of its rate, and phases.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    InvalidPlan, PlanError, SECONDS_MAX, invalid, parse, read, validate_mix, whole, within,
};
use crate::operations::{Distribution, Shares, Workload};

/// Most phases.
const PHASES_MAX: usize = 1000;

/// How the rate changes with time: a factor of the plan's rate. Seconds count from the end of the warm-up.
///
/// ```
/// use trunkline_load::Shape;
/// let step = Shape::Step { at_s: 10.0, factor: 2.0 };
/// assert_eq!((step.factor(9.9), step.factor(10.0)), (1.0, 2.0));
/// let ramp = Shape::Ramp { from: 0.0, to: 2.0, over_s: 10.0 };
/// assert_eq!((ramp.factor(5.0), ramp.factor(20.0)), (1.0, 2.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// The rate itself.
    #[default]
    Constant,
    /// The rate, and a multiple of it from a time on.
    Step {
        /// From when on.
        at_s: f64,
        /// Multiple.
        factor: f64,
    },
    /// From one multiple evenly to another, and on with that.
    Ramp {
        /// Multiple at the beginning.
        from: f64,
        /// Multiple at the end.
        to: f64,
        /// How long it takes.
        over_s: f64,
    },
    /// Up and down around the rate.
    Sine {
        /// From one height to the next.
        period_s: f64,
        /// How far up and down, a share of the rate: 0 to 1.
        amplitude: f64,
    },
    /// The rate, and a multiple of it for a while, again and again.
    Bursts {
        /// From one beginning to the next; the first comes after one such time.
        every_s: f64,
        /// How long each takes.
        length_s: f64,
        /// Multiple.
        factor: f64,
    },
}

impl Shape {
    /// Multiple of the rate at a time.
    pub fn factor(self, at_s: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Step { at_s: from, factor } if at_s >= from => factor,
            Self::Step { .. } => 1.0,
            Self::Ramp { from, to, over_s } => from + (to - from) * (at_s / over_s).min(1.0),
            Self::Sine {
                period_s,
                amplitude,
            } => 1.0 + amplitude * (std::f64::consts::TAU * at_s / period_s).sin(),
            Self::Bursts {
                every_s,
                length_s,
                factor,
            } => match at_s >= every_s && at_s % every_s < length_s {
                true => factor,
                false => 1.0,
            },
        }
    }

    /// Up to when the multiple stays what it is at a time.
    pub(super) fn steady_until_s(self, at_s: f64) -> f64 {
        match self {
            Self::Step { at_s: from, .. } if at_s < from => from,
            Self::Ramp { over_s, .. } if at_s < over_s => at_s,
            Self::Sine { .. } => at_s,
            Self::Bursts {
                every_s, length_s, ..
            } => {
                let since_s = at_s % every_s;
                let is_burst = at_s >= every_s && since_s < length_s;
                at_s - since_s + if is_burst { length_s } else { every_s }
            }
            Self::Constant | Self::Step { .. } | Self::Ramp { .. } => f64::INFINITY,
        }
    }

    pub(super) fn validate(self) -> Result<(), InvalidPlan> {
        let factor = |key, value| within(key, value, 0.0, 1000.0);
        let seconds = |key, value| within(key, value, 0.001, SECONDS_MAX);
        match self {
            Self::Constant => Ok(()),
            Self::Step { at_s, factor: to } => {
                within("shape.at_s", at_s, 0.0, SECONDS_MAX)?;
                factor("shape.factor", to)
            }
            Self::Ramp { from, to, over_s } => {
                factor("shape.from", from)?;
                factor("shape.to", to)?;
                seconds("shape.over_s", over_s)
            }
            Self::Sine {
                period_s,
                amplitude,
            } => {
                seconds("shape.period_s", period_s)?;
                within("shape.amplitude", amplitude, 0.0, 1.0)
            }
            Self::Bursts {
                every_s,
                length_s,
                factor: to,
            } => {
                seconds("shape.every_s", every_s)?;
                within("shape.length_s", length_s, 0.001, every_s)?;
                factor("shape.factor", to)
            }
        }
    }
}

/// What is different from a time on, until the next phase.
///
/// ```
/// use trunkline_load::Plan;
/// let text = "[[phase]]\nat_s = 60\nrate_factor = 2.0\nmix = { read = 90, update = 10 }";
/// let plan = Plan::from_toml("typed", text)?;
/// assert_eq!(plan.phase[0].mix.map(|mix| (mix.read, mix.update)), Some((90, 10)));
/// # Ok::<(), trunkline_load::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// From when on, seconds from the end of the warm-up. In a closed loop by the clock.
    pub at_s: f64,
    /// Multiple of the rate.
    #[serde(default = "one")]
    pub rate_factor: f64,
    /// Another mix, one of those that have a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Other keys; with another workload those that go with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// Operations of each kind among 100, instead of the workload's: that of the phase, or else of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Shares>,
}

fn one() -> f64 {
    1.0
}

/// Phases and a shape alone, as a file of their own: what can be laid over any plan.
///
/// ```
/// use trunkline_load::{Phases, Shape};
/// let phases = Phases::from_toml("typed", "[shape]\nkind = \"step\"\nat_s = 5\nfactor = 3")?;
/// assert_eq!(phases.shape, Shape::Step { at_s: 5.0, factor: 3.0 });
/// # Ok::<(), trunkline_load::PlanError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phases {
    /// How the rate changes.
    pub shape: Shape,
    /// What changes when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase: Vec<Phase>,
}

impl Phases {
    /// From TOML; `name` is what errors call it.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, PlanError> {
        let phases: Self = parse(name, text)?;
        validate_phases(phases.shape, &phases.phase).map_err(|invalid| invalid.of(name))?;
        Ok(phases)
    }

    /// From a file.
    pub fn from_file(path: &Path) -> Result<Self, PlanError> {
        Self::from_toml(&path.display().to_string(), &read(path)?)
    }
}

pub(super) fn validate_phases(shape: Shape, phases: &[Phase]) -> Result<(), InvalidPlan> {
    shape.validate()?;
    whole(
        "the number of phases",
        phases.len() as u64,
        0,
        PHASES_MAX as u64,
    )?;
    let mut before_s = -1.0;
    for (place, phase) in phases.iter().enumerate() {
        let key = |name: &str| format!("phase[{place}].{name}");
        within(&key("at_s"), phase.at_s, 0.0, SECONDS_MAX)?;
        if phase.at_s <= before_s {
            let expected = format!("later than that of the phase before, {before_s}");
            return Err(invalid(&key("at_s"), &expected, phase.at_s));
        }
        within(&key("rate_factor"), phase.rate_factor, 0.0, 1000.0)?;
        validate_mix(&key("mix"), phase.mix)?;
        before_s = phase.at_s;
    }
    Ok(())
}
