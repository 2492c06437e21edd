//! Changes of a load with time: the shape of its rate, and its phases.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{InvalidPlan, PlanError, SECONDS_MAX, invalid, parse, read, validate_mix, within};
use crate::operations::{Distribution, Shares, Workload};

/// Most phases in a plan.
const PHASES_MAX: usize = 1000;
/// Allowed multiples of a rate.
const FACTORS: RangeInclusive<f64> = 0.0..=1000.0;

/// The change of the rate with time, as a factor of the plan's rate. Seconds count from the end of the warm-up.
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
    /// A constant rate.
    #[default]
    Constant,
    /// A multiple of the rate from a time on.
    Step {
        /// Time at which the multiple begins.
        at_s: f64,
        /// Multiple of the rate.
        factor: f64,
    },
    /// A linear change from one multiple to another, which then stays.
    Ramp {
        /// Multiple at the beginning.
        from: f64,
        /// Multiple at the end.
        to: f64,
        /// Duration of the change.
        over_s: f64,
    },
    /// A sine wave around the rate.
    Sine {
        /// Time between two peaks.
        period_s: f64,
        /// Height of the peaks as a share of the rate: 0 to 1.
        amplitude: f64,
    },
    /// A multiple of the rate for a short time, at regular intervals.
    Bursts {
        /// Time between the beginnings of two bursts. The first burst begins after this time.
        every_s: f64,
        /// Length of each burst.
        length_s: f64,
        /// Multiple of the rate.
        factor: f64,
    },
}

impl Shape {
    /// Returns the multiple of the rate at a time.
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

    /// Returns a time until which the multiple does not change.
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

    fn validate(self) -> Result<(), InvalidPlan> {
        let factor = |key, value| within(key, value, FACTORS);
        let seconds = |key, value, max| within(key, value, 0.001..=max);
        match self {
            Self::Constant => Ok(()),
            Self::Step { at_s, factor: to } => within("shape.at_s", at_s, 0.0..=SECONDS_MAX)
                .and_then(|()| factor("shape.factor", to)),
            Self::Ramp { from, to, over_s } => factor("shape.from", from)
                .and_then(|()| factor("shape.to", to))
                .and_then(|()| seconds("shape.over_s", over_s, SECONDS_MAX)),
            Self::Sine {
                period_s,
                amplitude,
            } => seconds("shape.period_s", period_s, SECONDS_MAX)
                .and_then(|()| within("shape.amplitude", amplitude, 0.0..=1.0)),
            Self::Bursts {
                every_s,
                length_s,
                factor: to,
            } => seconds("shape.every_s", every_s, SECONDS_MAX)
                .and_then(|()| seconds("shape.length_s", length_s, every_s))
                .and_then(|()| factor("shape.factor", to)),
        }
    }
}

/// A phase: changes that apply from a time until the next phase.
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
    /// The beginning of the phase, in seconds from the end of the warm-up. A closed loop uses the elapsed time.
    pub at_s: f64,
    /// Multiple of the rate.
    #[serde(default = "one")]
    pub rate_factor: f64,
    /// The mix of the phase, by name.
    pub workload: Option<Workload>,
    /// The distribution of keys. Default: that of the phase's workload, if it has one.
    pub distribution: Option<Distribution>,
    /// Operations of each kind out of 100, instead of those of the workload.
    pub mix: Option<Shares>,
}

fn one() -> f64 {
    1.0
}

/// A shape and phases in a separate file, which can be applied to any plan.
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
    /// Change of the rate with time.
    pub shape: Shape,
    /// Other changes with time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase: Vec<Phase>,
}

impl Phases {
    /// Parses phases from TOML. Errors use `name` for the text.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, PlanError> {
        parse(name, text, |phases: &Self| {
            validate(phases.shape, &phases.phase)
        })
    }

    /// Reads phases from a file.
    pub fn from_file(path: &Path) -> Result<Self, PlanError> {
        Self::from_toml(&path.display().to_string(), &read(path)?)
    }
}

pub(super) fn validate(shape: Shape, phases: &[Phase]) -> Result<(), InvalidPlan> {
    shape.validate()?;
    within("the number of phases", phases.len(), 0..=PHASES_MAX)?;
    let mut before_s = -1.0;
    for (number, phase) in phases.iter().enumerate() {
        let key = |name: &str| format!("phase[{number}].{name}");
        within(&key("at_s"), phase.at_s, 0.0..=SECONDS_MAX)?;
        if phase.at_s <= before_s {
            let expected = format!("later than that of the phase before, {before_s}");
            return Err(invalid(&key("at_s"), &expected, phase.at_s));
        }
        within(&key("rate_factor"), phase.rate_factor, FACTORS)?;
        validate_mix(&key("mix"), phase.mix)?;
        before_s = phase.at_s;
    }
    Ok(())
}
