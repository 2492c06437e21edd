//! Reports the engine's own figures of the measured time: without fill, calibration, warm-up and the wait at the end.
//! Pure.
//!
//! Windows hold quantiles, which cannot be added up. The report shows the median of the windows, weighted by their number
//! of values, and the worst window. Service times of stages come from the run's histograms and are exact.

use trunkline::decisions::Window;
use trunkline::{Quantiles, Stage};
use trunkline_load::{Histogram, IntervalLog, IntervalLogError};

use crate::output::{grouped, micros};
use crate::table::Table;

/// A figure over several windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Over {
    count: u64,
    /// Weighted median of the windows.
    p50: u64,
    p99: u64,
    /// The 99th percentile of the worst window.
    p99_worst: u64,
    max: u64,
}

impl Over {
    fn of<'a>(quantiles: impl Iterator<Item = &'a Quantiles>) -> Self {
        let all: Vec<&Quantiles> = quantiles.filter(|quantiles| quantiles.count > 0).collect();
        let greatest = |figure: fn(&Quantiles) -> u64| {
            let figures = all.iter().map(|quantiles| figure(quantiles));
            figures.max().unwrap_or(0)
        };
        Self {
            count: all.iter().map(|quantiles| quantiles.count).sum(),
            p50: in_the_middle(&all, |quantiles| quantiles.p50),
            p99: in_the_middle(&all, |quantiles| quantiles.p99),
            p99_worst: greatest(|quantiles| quantiles.p99),
            max: greatest(|quantiles| quantiles.max),
        }
    }

    fn row(&self, name: &str, text: fn(u64) -> String) -> Vec<String> {
        let figures = [self.p50, self.p99, self.p99_worst, self.max];
        let head = [name.to_owned(), grouped(self.count)];
        head.into_iter().chain(figures.map(text)).collect()
    }
}

/// Returns the median of a figure, each window weighted by its number of values.
fn in_the_middle(all: &[&Quantiles], figure: fn(&Quantiles) -> u64) -> u64 {
    let mut figures: Vec<(u64, u64)> = all
        .iter()
        .map(|quantiles| (figure(quantiles), quantiles.count))
        .collect();
    figures.sort_unstable();
    let half = figures.iter().map(|(_, count)| count).sum::<u64>() / 2;
    let mut before = 0;
    let middle = figures.iter().find(|(_, count)| {
        before += count;
        before > half
    });
    middle.map_or(0, |(figure, _)| *figure)
}

/// Reports batches and groups over the windows.
pub(super) fn batches(windows: &[Window]) -> String {
    if windows.is_empty() {
        return "measured: no whole window of the engine lies in the run; use a longer --duration or a shorter control.window_ms\n"
            .to_owned();
    }
    let over = |figure: fn(&Window) -> &Quantiles| Over::of(windows.iter().map(figure));
    let mut table = Table::new(["measured", "count", "p50", "p99", "worst p99", "max"]);
    table.row(over(|window| &window.seal_wait_us).row("batch until sealed", micros));
    table.row(over(|window| &window.durable_us).row("batch until durable", micros));
    table.row(over(|window| &window.group_operations).row("group, operations", grouped));
    format!(
        "{table}(p50 and p99 are medians of {} windows)\n",
        windows.len()
    )
}

/// Reports the service time of each stage, its queue wait and its utilization.
pub(super) fn stages(log: &IntervalLog, windows: &[Window]) -> Result<Table, IntervalLogError> {
    let mut table = Table::new([
        "measured: stage",
        "busy",
        "wait p50",
        "p99",
        "max",
        "versions",
        "service p50",
        "p99",
        "max",
    ]);
    for (place, stage) in Stage::ALL.into_iter().enumerate() {
        let of_stage = || windows.iter().filter_map(|window| window.stages.get(place));
        let waits = Over::of(of_stage().map(|stage| &stage.queue_wait_us));
        let busy_us: u64 = of_stage().map(|stage| stage.busy_us).sum();
        let length_us: u64 = windows.iter().map(|window| window.length_us).sum();
        let busy = (100 * busy_us).checked_div(length_us);
        let mut row = vec![stage.name().to_owned()];
        row.push(busy.map_or("-".to_owned(), |percent| format!("{} %", percent.min(100))));
        row.extend([waits.p50, waits.p99, waits.max].map(micros));
        row.extend(services(log, stage)?);
        table.row(row);
    }
    Ok(table)
}

fn services(log: &IntervalLog, stage: Stage) -> Result<Vec<String>, IntervalLogError> {
    let whole = added_up(log.stage_by_second(stage)?.into_values());
    let whole = whole.as_ref();
    let at = |quantile| whole.map_or(0, |whole| whole.value_at_quantile(quantile));
    let nanos = [at(0.5), at(0.99), whole.map_or(0, Histogram::max)];
    let times = nanos.map(|nanos| micros(nanos / 1000));
    let count = grouped(whole.map_or(0, Histogram::len));
    Ok([count].into_iter().chain(times).collect())
}

fn added_up(mut seconds: impl Iterator<Item = Histogram<u64>>) -> Option<Histogram<u64>> {
    let mut whole = seconds.next()?;
    // A histogram that was read is only as large as its content requires.
    whole.auto(true);
    for second in seconds {
        let added = whole.add(&second);
        debug_assert!(added.is_ok(), "one that grows takes everything");
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use trunkline_load::{Run, Totals};

    use super::*;

    fn window(ended_us: u64, durable: (u64, u64)) -> Window {
        let (count, p99) = durable;
        let mut window = Window {
            ended_us,
            length_us: 500_000,
            durable_us: Quantiles {
                count,
                p99,
                max: 2 * p99,
                ..Quantiles::default()
            },
            ..Window::default()
        };
        window.stages[1].busy_us = 250_000;
        window
    }

    /// Returns a run that is measured from the second second of the engine on, for two seconds.
    fn run() -> Run {
        Run {
            begun_engine_us: 2_000_000,
            totals: Totals {
                scheduled_us: 2_000_000,
                ..Totals::default()
            },
            windows: vec![
                window(2_499_999, (1_000, 90_000_000)),
                window(2_500_000, (10, 20_000)),
                window(3_000_000, (10, 30_000)),
                window(3_500_000, (10, 40_000)),
                window(4_000_001, (1_000, 90_000_000)),
            ],
            ..Run::default()
        }
    }

    #[test]
    fn what_was_before_and_after_is_left_out() {
        let windows: Vec<Window> = run().measured_windows().copied().collect();
        let text = batches(&windows);
        let row = "batch until durable     30  0 µs  30.00 ms   40.00 ms  80.00 ms\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("medians of 3 windows)"), "{text}");
    }

    #[test]
    fn a_window_counts_as_often_as_it_has_values() {
        let quantiles = |count, p50| Quantiles {
            count,
            p50,
            ..Quantiles::default()
        };
        let all = [quantiles(1, 10), quantiles(1, 20), quantiles(7, 30)];
        assert_eq!(Over::of(all.iter()).p50, 30);
        assert_eq!(Over::of(all[..2].iter()).count, 2);
        assert_eq!(Over::of([Quantiles::default()].iter()), Over::default());
    }

    #[test]
    fn seconds_of_any_size_are_added_up() {
        let second = |largest: u64| {
            let mut second = Histogram::new_with_max(largest, 2).unwrap();
            second.record(largest).unwrap();
            second
        };
        let whole = added_up([second(1_000), second(1_000_000_000)].into_iter()).unwrap();
        assert_eq!(whole.len(), 2);
        assert!(whole.max() >= 1_000_000_000);
        assert!(added_up(std::iter::empty()).is_none());
    }

    #[test]
    fn a_stage_is_as_busy_as_in_the_windows_measured() {
        let log = IntervalLog::new(0);
        let windows: Vec<Window> = run().measured_windows().copied().collect();
        let text = stages(&log, &windows).unwrap().to_string();
        let tree = text.lines().find(|line| line.starts_with("tree")).unwrap();
        assert!(tree.contains(" 50 % "), "{text}");
        let text = stages(&log, &[]).unwrap().to_string();
        assert!(text.contains("tree     "), "{text}");
        assert!(batches(&[]).contains("no whole window"));
    }
}
