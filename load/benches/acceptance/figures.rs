//! Figures of runs, and the figures that they are compared with.

use std::fmt::{self, Display, Formatter};
use std::iter::Sum;
use std::ops::Range;

use trunkline::decisions::Window;

use trunkline_load::Totals;
use trunkline_testkit::cap_at_rest::{amplitude, reversals};

/// Windows from the first operation on in which the engine may search for the cap.
pub(crate) const SEARCHING_WINDOWS: usize = 20;
/// Windows after a shift in which the engine may adapt.
pub(crate) const ADAPTING_WINDOWS: usize = 15;

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: usize,
    pub(crate) of: usize,
}

impl Share {
    /// Returns the share in percent, if the whole is not empty.
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

/// Minimum, median and maximum of figures. The median of an even number of figures is the upper one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Returns the spread of figures, if there are any.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Some(Self {
            least: *figures.first()?,
            median: *figures.get(figures.len() / 2)?,
            greatest: *figures.last()?,
        })
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let [least, median, greatest] = [self.least, self.median, self.greatest];
        write!(
            f,
            "{least:.digits$} / **{median:.digits$}** / {greatest:.digits$}"
        )
    }
}

/// Results under one setting, one per round.
#[derive(Clone, Debug)]
pub(crate) struct Series<T> {
    pub(crate) name: String,
    pub(crate) rounds: Vec<T>,
}

impl<T> Series<T> {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rounds: Vec::new(),
        }
    }
}

/// A run under a steady load.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rest {
    /// Updates per second that became durable.
    pub(crate) per_second: f64,
    /// Time from acceptance to durability: the median of the windows' 99th percentiles.
    pub(crate) p99_us: f64,
    /// Windows above the target.
    pub(crate) over: Share,
    /// [`amplitude`] in percent.
    pub(crate) amplitude_percent: f64,
    /// [`reversals`].
    pub(crate) reversals: usize,
}

impl Rest {
    /// Returns the figures of windows, if anything became durable in them.
    pub(crate) fn of(windows: &[Window], target_us: u64) -> Option<Self> {
        let windows = measured(windows, |_| true);
        let caps = windows.iter().map(|window| window.group_operations_max);
        let caps: Vec<u64> = caps.collect();
        let p99 = Spread::of(windows.iter().map(|window| window.durable_us.p99 as f64))?;
        Some(Self {
            per_second: durable_per_second(&windows),
            p99_us: p99.median,
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
    pub(crate) fn spread(&self, figure: impl Fn(&Rest) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().map(figure))
    }

    pub(crate) fn over(&self) -> Share {
        self.rounds.iter().flatten().map(|rest| rest.over).sum()
    }

    fn round(&self, round: usize) -> Option<&Rest> {
        self.rounds.get(round)?.as_ref()
    }

    /// Returns the throughput of each round as a multiple of another one.
    pub(crate) fn against(&self, other: impl Fn(usize) -> Option<f64>) -> Vec<Option<f64>> {
        let ratio =
            |(round, rest): (usize, &Option<Rest>)| Some(rest.as_ref()?.per_second / other(round)?);
        self.rounds.iter().enumerate().map(ratio).collect()
    }

    /// Returns the throughput of a round.
    pub(crate) fn per_second(&self, round: usize) -> Option<f64> {
        Some(self.round(round)?.per_second)
    }
}

/// Returns the setting with the highest throughput among those that meet the target. Both are medians over all rounds,
/// so a lucky run does not count.
pub(crate) fn best_by_median(
    all: &[Series<Option<Rest>>],
    target_us: u64,
) -> Option<&Series<Option<Rest>>> {
    let keeping = all.iter().filter_map(|series| {
        let p99 = series.spread(|rest| rest.p99_us)?;
        let per_second = series.spread(|rest| rest.per_second)?;
        (p99.median <= target_us as f64).then_some((series, per_second.median))
    });
    let best = keeping.max_by(|one, other| one.1.total_cmp(&other.1))?;
    Some(best.0)
}

/// Returns the highest throughput in a round among the settings that meet the target in it. Among similar settings that
/// is the luckiest one.
pub(crate) fn best_of_round(
    all: &[Series<Option<Rest>>],
    round: usize,
    target_us: u64,
) -> Option<f64> {
    let rests = all.iter().filter_map(|series| series.round(round));
    let keeping = rests.filter(|rest| rest.keeps(target_us));
    Some(Spread::of(keeping.map(|rest| rest.per_second))?.greatest)
}

/// Returns the windows after those in which the engine may search for the cap. The search begins with the first window
/// in which anything was accepted, in the fill or the warm-up.
pub(crate) fn searched(windows: &[Window]) -> &[Window] {
    let first = windows
        .iter()
        .position(|window| window.operations_accepted > 0);
    let from = first.map_or(windows.len(), |first| first + SEARCHING_WINDOWS);
    windows.get(from..).unwrap_or_default()
}

/// A run whose load changes at some time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shift {
    /// Windows above the target before the shift.
    pub(crate) before: Share,
    /// Windows above the target among the first ones after it, in which the engine may adapt.
    pub(crate) adapting: Share,
    /// Windows above the target among the following ones.
    pub(crate) later: Share,
    /// Updates per second that became durable before the shift.
    pub(crate) per_second_before: f64,
    /// Updates per second that became durable in the windows after the first ones.
    pub(crate) per_second_later: f64,
}

impl Shift {
    /// Returns the figures of the windows that ended in a range before the shift, and of those from a time on after it.
    pub(crate) fn of(
        windows: &[Window],
        before: Range<u64>,
        after_us: u64,
        target_us: u64,
    ) -> Self {
        let after = measured(windows, |window| window.ended_us > after_us);
        let before = measured(windows, |window| {
            before.start < window.ended_us && window.ended_us <= before.end
        });
        let (adapting, later) = after.split_at(after.len().min(ADAPTING_WINDOWS));
        Self {
            before: over(&before, target_us),
            adapting: over(adapting, target_us),
            later: over(later, target_us),
            per_second_before: durable_per_second(&before),
            per_second_later: durable_per_second(later),
        }
    }
}

/// Returns the windows in which anything became durable.
fn measured(windows: &[Window], is_counted: impl Fn(&Window) -> bool) -> Vec<&Window> {
    let windows = windows.iter();
    windows
        .filter(|window| window.durable_us.count > 0 && is_counted(window))
        .collect()
}

fn durable_per_second(windows: &[&Window]) -> f64 {
    let durable = windows.iter().map(|window| window.operations_durable);
    let length_us = windows.iter().map(|window| window.length_us);
    let (operations, length_us): (u64, u64) = (durable.sum(), length_us.sum());
    operations as f64 * 1e6 / length_us.max(1) as f64
}

fn over(windows: &[&Window], target_us: u64) -> Share {
    let is_over = |window: &&&Window| window.durable_us.p99 > target_us;
    Share {
        part: windows.iter().filter(is_over).count(),
        of: windows.len(),
    }
}

/// A run of a workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ran {
    /// Operations per second that ended before the schedule did.
    pub(crate) per_second: f64,
    /// 99th percentile of the latency of the slowest kind of write, if anything was written.
    pub(crate) write_p99_us: Option<f64>,
}

impl Ran {
    pub(crate) fn of(totals: &Totals) -> Self {
        let operations = totals.operations.iter();
        let writes = operations.filter(|(kind, all)| kind.is_write() && all.achieved > 0);
        let p99s = writes.map(|(_, all)| all.latency.p99_us);
        Self {
            per_second: totals.achieved_per_second(),
            write_p99_us: Spread::of(p99s).map(|p99s| p99s.greatest),
        }
    }
}

/// One workload under two settings, in turns.
#[derive(Clone, Debug)]
pub(crate) struct Alternated {
    pub(crate) name: &'static str,
    pub(crate) fixed: Vec<Ran>,
    pub(crate) adaptive: Vec<Ran>,
}

impl Alternated {
    /// Returns the throughput of the adaptive run in each round as a multiple of the fixed one.
    pub(crate) fn ratios(&self) -> Vec<Option<f64>> {
        let ratio = |(adaptive, fixed): (&Ran, &Ran)| {
            (fixed.per_second > 0.0).then(|| adaptive.per_second / fixed.per_second)
        };
        self.adaptive.iter().zip(&self.fixed).map(ratio).collect()
    }
}
