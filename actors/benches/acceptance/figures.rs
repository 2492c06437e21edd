//! From the windows of a run to its figures, and from figures to whether a criterion is met.
//!
//! Pure, and so are its tests, in `tests/load`. Not here: how runs are made, and how tables look.

use std::fmt::{self, Display, Formatter};
use std::iter::Sum;
use std::ops::Range;

use trunkline::control::Window;

/// Windows at the end of a run in which the cap should stay where it is.
pub(crate) const LAST_WINDOWS: usize = 20;
/// Windows among which changes of the cap's direction are counted.
pub(crate) const REVERSAL_WINDOWS: usize = 10;
/// Windows behind a shift in which the engine may find its place.
pub(crate) const SETTLING_WINDOWS: usize = 15;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) of: usize,
}

impl Share {
    /// Nothing of none.
    pub(crate) fn percent(self) -> Option<f64> {
        (self.of > 0).then(|| self.part as f64 * 100.0 / self.of as f64)
    }
}

impl Sum for Share {
    fn sum<I: Iterator<Item = Self>>(shares: I) -> Self {
        shares.fold(Self::default(), |sum, share| Self {
            part: sum.part + share.part,
            of: sum.of + share.of,
        })
    }
}

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.part, self.of)
    }
}

/// Least, middle and greatest of some figures; of an even number the upper middle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Nothing of none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Some(Self {
            least: *figures.first()?,
            middle: *figures.get(figures.len() / 2)?,
            greatest: *figures.last()?,
        })
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (digits, middle) = (f.precision().unwrap_or(2), self.middle);
        let (least, greatest) = (self.least, self.greatest);
        write!(
            f,
            "{least:.digits$} / **{middle:.digits$}** / {greatest:.digits$}"
        )
    }
}

/// A run under a load that stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rest {
    /// Updates that became durable.
    pub(crate) per_second: f64,
    /// From acceptance to durability, the middle one of the windows.
    pub(crate) p99_us: f64,
    /// Windows above the target.
    pub(crate) over: Share,
    /// How much larger the largest cap of the last windows is than the smallest.
    pub(crate) amplitude_percent: f64,
    /// Most changes of the cap's direction in so many successive ones of the last windows.
    pub(crate) reversals: usize,
}

impl Rest {
    /// From the windows that began after a time. Nothing if nothing became durable in them.
    pub(crate) fn of(windows: &[Window], from_us: u64, target_us: u64) -> Option<Self> {
        let windows = measured(windows, |window| {
            window.ended_us > from_us + window.length_us
        });
        let last = &windows[windows.len().saturating_sub(LAST_WINDOWS)..];
        let caps: Vec<u64> = last
            .iter()
            .map(|window| window.group_operations_max)
            .collect();
        let p99 = Spread::of(windows.iter().map(|window| window.durable_us.p99 as f64))?;
        Some(Self {
            per_second: per_second(&windows),
            p99_us: p99.middle,
            over: over(&windows, target_us),
            amplitude_percent: amplitude_percent(&caps)?,
            reversals: reversals(&caps),
        })
    }

    /// Its throughput in parts of the best of others that keep the target in their middle window.
    pub(crate) fn against_best<'a>(
        &self,
        others: impl Iterator<Item = &'a Self>,
        target_us: u64,
    ) -> Option<f64> {
        let keeping = others.filter(|other| other.p99_us <= target_us as f64);
        let best = Spread::of(keeping.map(|other| other.per_second))?.greatest;
        Some(self.per_second / best)
    }
}

/// A run whose load is another one from some time on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shift {
    /// Windows above the target before it.
    pub(crate) before: Share,
    /// Of the first windows behind it.
    pub(crate) settling: Share,
    /// Of those that follow.
    pub(crate) later: Share,
    /// Updates that became durable before it.
    pub(crate) per_second_before: f64,
    /// Later, the first windows left out.
    pub(crate) per_second_later: f64,
}

impl Shift {
    /// From the windows that ended within some time before the shift, and from a time on behind it.
    pub(crate) fn of(
        windows: &[Window],
        before: Range<u64>,
        behind_us: u64,
        target_us: u64,
    ) -> Self {
        let behind = measured(windows, |window| window.ended_us > behind_us);
        let before = measured(windows, |window| {
            before.start < window.ended_us && window.ended_us <= before.end
        });
        let (settling, later) = behind.split_at(behind.len().min(SETTLING_WINDOWS));
        Self {
            before: over(&before, target_us),
            settling: over(settling, target_us),
            later: over(later, target_us),
            per_second_before: per_second(&before),
            per_second_later: per_second(later),
        }
    }
}

/// Those in which anything became durable.
fn measured(windows: &[Window], is_counted: impl Fn(&Window) -> bool) -> Vec<&Window> {
    let windows = windows.iter();
    windows
        .filter(|window| window.durable_us.count > 0 && is_counted(window))
        .collect()
}

fn per_second(windows: &[&Window]) -> f64 {
    let durable: u64 = windows.iter().map(|window| window.operations_durable).sum();
    let length_us: u64 = windows.iter().map(|window| window.length_us).sum();
    durable as f64 * 1e6 / length_us.max(1) as f64
}

fn over(windows: &[&Window], target_us: u64) -> Share {
    let over = windows
        .iter()
        .filter(|window| window.durable_us.p99 > target_us);
    Share {
        part: over.count(),
        of: windows.len(),
    }
}

fn amplitude_percent(caps: &[u64]) -> Option<f64> {
    let (low, high) = (caps.iter().min()?, caps.iter().max()?);
    Some((*high as f64 / *low as f64 - 1.0) * 100.0)
}

/// Windows in which the cap stays are no change of direction.
fn reversals(caps: &[u64]) -> usize {
    let count = |caps: &[u64]| {
        let moves = caps.windows(2).filter(|pair| pair[0] != pair[1]);
        let upwards: Vec<bool> = moves.map(|pair| pair[0] < pair[1]).collect();
        upwards.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    let successive = caps.windows(caps.len().clamp(1, REVERSAL_WINDOWS));
    successive.map(count).max().unwrap_or(0)
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

impl Display for Aim {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// What was found under one setting or load.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) name: String,
    /// What the aim is held against; nothing if it was not measured.
    pub(crate) figure: Option<f64>,
    /// The figure, and what it stands among.
    pub(crate) shown: String,
}

/// What all findings must keep. As text it is a line that begins with whether they do.
#[derive(Clone, Debug)]
pub(crate) struct Criterion {
    pub(crate) what: String,
    pub(crate) aim: Aim,
    pub(crate) unit: &'static str,
    pub(crate) findings: Vec<Finding>,
}

impl Criterion {
    fn verdict(&self) -> String {
        let is_missed = |figure: f64| !self.aim.is_met_by(figure);
        let missing = self.names(|figure| figure.is_some_and(is_missed));
        if !missing.is_empty() {
            return format!("**missed** by {missing}");
        }
        let unmeasured = self.names(|figure| figure.is_none());
        if !unmeasured.is_empty() {
            return format!("**not measured** for {unmeasured}");
        }
        "**met**".to_owned()
    }

    fn names(&self, are_meant: impl Fn(Option<f64>) -> bool) -> String {
        let meant = self
            .findings
            .iter()
            .filter(|finding| are_meant(finding.figure));
        let names: Vec<&str> = meant.map(|finding| finding.name.as_str()).collect();
        names.join(", ")
    }
}

impl Display for Criterion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            aim,
            unit,
            findings,
        } = self;
        write!(f, "- {}: {what}, {aim}{unit}", self.verdict())?;
        for Finding { name, shown, .. } in findings {
            write!(f, "; {name}: {shown}")?;
        }
        Ok(())
    }
}
