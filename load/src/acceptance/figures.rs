//! From what runs measured to their figures, and to what they are held against.
//!
//! Pure, and so are its tests, in `tests/load`. Not here: how runs are made, whether a figure is good enough
//! (`criteria`), and how tables look.

use std::fmt::{self, Display, Formatter};
use std::iter::Sum;
use std::ops::Range;

use crate::Totals;
use trunkline::decisions::Window;

use super::cap_at_rest::{amplitude, reversals};

/// Windows in which the cap may be searched for, from the first operation on.
pub const SEARCHING_WINDOWS: usize = 20;
/// Windows behind a shift in which the engine may find its place.
pub const SETTLING_WINDOWS: usize = 15;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub part: usize,
    pub of: usize,
}

impl Share {
    /// Nothing of none.
    pub fn percent(self) -> Option<f64> {
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
pub struct Spread {
    pub least: f64,
    pub middle: f64,
    pub greatest: f64,
}

impl Spread {
    /// Nothing of none.
    pub fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
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

/// What came out under one setting, round by round.
#[derive(Clone, Debug)]
pub struct Series<T> {
    pub name: String,
    pub rounds: Vec<T>,
}

impl<T> Series<T> {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rounds: Vec::new(),
        }
    }
}

/// A run under a load that stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest {
    /// Updates that became durable.
    pub per_second: f64,
    /// From acceptance to durability, the middle one of the windows.
    pub p99_us: f64,
    /// Windows above the target.
    pub over: Share,
    /// How much larger the largest cap of any twenty successive windows is than the smallest.
    pub amplitude_percent: f64,
    /// Most changes of the cap's direction in any ten successive windows.
    pub reversals: usize,
}

impl Rest {
    /// Nothing if nothing became durable in the windows.
    pub fn of(windows: &[Window], target_us: u64) -> Option<Self> {
        let windows = measured(windows, |_| true);
        let caps: Vec<u64> = windows
            .iter()
            .map(|window| window.group_operations_max)
            .collect();
        let p99 = Spread::of(windows.iter().map(|window| window.durable_us.p99 as f64))?;
        Some(Self {
            per_second: per_second(&windows),
            p99_us: p99.middle,
            over: over(&windows, target_us),
            amplitude_percent: amplitude(&caps) * 100.0,
            reversals: reversals(&caps),
        })
    }

    fn keeps(&self, target_us: u64) -> bool {
        self.p99_us <= target_us as f64
    }
}

impl Series<Option<Rest>> {
    pub fn spread(&self, figure: impl Fn(&Rest) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().map(figure))
    }

    pub fn over(&self) -> Share {
        self.rounds.iter().flatten().map(|rest| rest.over).sum()
    }

    fn round(&self, round: usize) -> Option<&Rest> {
        self.rounds.get(round)?.as_ref()
    }

    /// Round by round its throughput in parts of another one.
    pub fn against(&self, other: impl Fn(usize) -> Option<f64>) -> Vec<Option<f64>> {
        let ratio =
            |(round, rest): (usize, &Option<Rest>)| Some(rest.as_ref()?.per_second / other(round)?);
        self.rounds.iter().enumerate().map(ratio).collect()
    }

    /// Throughput of a round.
    pub fn per_second(&self, round: usize) -> Option<f64> {
        Some(self.round(round)?.per_second)
    }
}

/// Of settings that keep the target, the one with the most throughput, both by the middle of all rounds: so that it
/// owes its place to no lucky run.
pub fn best_by_middle(
    all: &[Series<Option<Rest>>],
    target_us: u64,
) -> Option<&Series<Option<Rest>>> {
    let keeping = all.iter().filter_map(|series| {
        let p99 = series.spread(|rest| rest.p99_us)?;
        let per_second = series.spread(|rest| rest.per_second)?;
        (p99.middle <= target_us as f64).then_some((series, per_second.middle))
    });
    let best = keeping.max_by(|one, other| one.1.total_cmp(&other.1))?;
    Some(best.0)
}

/// The most throughput of settings that keep the target in one round. Of several alike it is the luckiest one's.
pub fn best_of_round(all: &[Series<Option<Rest>>], round: usize, target_us: u64) -> Option<f64> {
    let rests = all.iter().filter_map(|series| series.round(round));
    let keeping = rests.filter(|rest| rest.keeps(target_us));
    Some(Spread::of(keeping.map(|rest| rest.per_second))?.greatest)
}

/// Windows behind those in which the cap may be searched for. They count from the first in which anything was
/// accepted, so that neither filling nor warming up is left out beside them.
pub fn searched(windows: &[Window]) -> &[Window] {
    let first = windows
        .iter()
        .position(|window| window.operations_accepted > 0);
    let from = first.map_or(windows.len(), |first| first + SEARCHING_WINDOWS);
    windows.get(from..).unwrap_or_default()
}

/// A run whose load is another one from some time on.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    /// Windows above the target before it.
    pub before: Share,
    /// Of the first windows behind it.
    pub settling: Share,
    /// Of those that follow.
    pub later: Share,
    /// Updates that became durable before it.
    pub per_second_before: f64,
    /// Later, the first windows left out.
    pub per_second_later: f64,
}

impl Shift {
    /// From the windows that ended within some time before the shift, and from a time on behind it.
    pub fn of(windows: &[Window], before: Range<u64>, behind_us: u64, target_us: u64) -> Self {
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

/// A run of some workload as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// Operations that ended while others were due.
    pub per_second: f64,
    /// Of the slowest kind of write, from the intended start; nothing if nothing was written.
    pub write_p99_us: Option<f64>,
}

impl Ran {
    pub fn of(totals: &Totals) -> Self {
        let writes = totals.operations.iter().filter(|(kind, _)| kind.is_write());
        let p99s = writes
            .filter(|(_, total)| total.achieved > 0)
            .map(|(_, total)| total.latency.p99_us);
        Self {
            per_second: totals.achieved_per_second(),
            write_p99_us: Spread::of(p99s).map(|p99s| p99s.greatest),
        }
    }
}

/// One workload under two settings by turns.
#[derive(Clone, Debug)]
pub struct Beside {
    pub name: &'static str,
    pub fixed: Vec<Ran>,
    pub adaptive: Vec<Ran>,
}

impl Beside {
    /// Round by round the throughput of the adaptive run in parts of that of the fixed one beside it.
    pub fn ratios(&self) -> Vec<Option<f64>> {
        let ratio = |(adaptive, fixed): (&Ran, &Ran)| {
            (fixed.per_second > 0.0).then(|| adaptive.per_second / fixed.per_second)
        };
        self.adaptive.iter().zip(&self.fixed).map(ratio).collect()
    }
}
