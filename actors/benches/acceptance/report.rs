//! From the figures of all rounds to what is printed: two tables, and a line for each criterion.
//!
//! Not here: how figures come about, and what decides whether a criterion is met (`figures`).

use std::fmt::{self, Display, Formatter};

use super::figures::{
    Aim, Criterion, Finding, LAST_WINDOWS, REVERSAL_WINDOWS, Rest, SETTLING_WINDOWS, Share, Shift,
    Spread,
};

/// What came out under one setting, round by round.
pub(crate) struct Series<T> {
    pub(crate) name: String,
    pub(crate) rounds: Vec<T>,
}

impl<T> Series<T> {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            rounds: Vec::new(),
        }
    }
}

impl Series<Option<Rest>> {
    fn spread(&self, figure: impl Fn(&Rest) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().map(figure))
    }

    fn over(&self) -> Share {
        self.rounds.iter().flatten().map(|rest| rest.over).sum()
    }
}

impl Series<Shift> {
    fn sum(&self, share: impl Fn(&Shift) -> Share) -> Share {
        self.rounds.iter().map(share).sum()
    }

    fn middle(&self, figure: impl Fn(&Shift) -> f64) -> String {
        let spread = Spread::of(self.rounds.iter().map(figure));
        spread.map_or(String::new(), |spread| thousands(spread.middle))
    }
}

/// Everything that was measured. As text it is the report.
pub(crate) struct Measured {
    pub(crate) fixed: Vec<Series<Option<Rest>>>,
    pub(crate) adaptive: Vec<Series<Option<Rest>>>,
    pub(crate) shifts: Vec<Series<Shift>>,
    pub(crate) target_ms: u64,
}

impl Measured {
    /// Throughput against the best static cap of the round that keeps the target.
    fn against_static(&self, adaptive: &Series<Option<Rest>>) -> Option<Spread> {
        let ratio = |(round, rest): (usize, &Option<Rest>)| {
            let fixed = self.fixed.iter();
            let fixed = fixed.filter_map(|series| series.rounds.get(round)?.as_ref());
            rest.as_ref()?.against_best(fixed, self.target_ms * 1000)
        };
        Spread::of(adaptive.rounds.iter().enumerate().filter_map(ratio))
    }

    fn static_caps(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| cap | updates/s, middle | p99, middle | windows above {} ms | against the best static cap of the round \
             that keeps the target, least / middle / greatest |\n| --- | --- | --- | --- | --- |",
            self.target_ms
        )?;
        for series in &self.fixed {
            writeln!(f, "{} |", rest_row(series))?;
        }
        for series in &self.adaptive {
            let ratio = self.against_static(series);
            writeln!(f, "{} {} |", rest_row(series), shown(ratio, 2))?;
        }
        Ok(())
    }

    fn shifting_loads(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| shift | windows above the target: before | first {SETTLING_WINDOWS} after | later | updates/s before / \
             after |\n| --- | --- | --- | --- | --- |"
        )?;
        for series in &self.shifts {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} / {} |",
                series.name,
                series.sum(|shift| shift.before),
                series.sum(|shift| shift.settling),
                series.sum(|shift| shift.later),
                series.middle(|shift| shift.per_second_before),
                series.middle(|shift| shift.per_second_later),
            )?;
        }
        Ok(())
    }

    fn criteria(&self) -> [Criterion; 5] {
        [
            self.throughput(),
            criterion(
                "windows above the target at rest".to_owned(),
                (Aim::AtMost(5.0), " %"),
                &self.adaptive,
                |series| within(series.over()),
            ),
            criterion(
                format!(
                    "amplitude of the cap over the last {LAST_WINDOWS} windows, the greatest of the rounds"
                ),
                (Aim::AtMost(20.0), " %"),
                &self.adaptive,
                |series| greatest(series.spread(|rest| rest.amplitude_percent)),
            ),
            criterion(
                format!(
                    "reversals of the cap in any {REVERSAL_WINDOWS} of them, the most of the rounds"
                ),
                (Aim::AtMost(1.0), ""),
                &self.adaptive,
                |series| greatest(series.spread(|rest| rest.reversals as f64)),
            ),
            criterion(
                format!("windows above the target after the {SETTLING_WINDOWS}th behind a shift"),
                (Aim::AtMost(5.0), " %"),
                &self.shifts,
                |series| within(series.sum(|shift| shift.later)),
            ),
        ]
    }

    fn throughput(&self) -> Criterion {
        criterion(
            "throughput against the best static cap of the round that keeps the target, the middle of the rounds"
                .to_owned(),
            (Aim::AtLeast(0.95), ""),
            &self.adaptive,
            |series| {
                let ratio = self.against_static(series);
                (ratio.map(|ratio| ratio.middle), shown(ratio, 2))
            },
        )
    }
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.static_caps(f)?;
        writeln!(f)?;
        self.shifting_loads(f)?;
        writeln!(f)?;
        for criterion in self.criteria() {
            writeln!(f, "{criterion}")?;
        }
        Ok(())
    }
}

/// A figure that an aim is held against, and how it is shown.
type Judged = (Option<f64>, String);

fn criterion<T>(
    what: String,
    (aim, unit): (Aim, &'static str),
    all: &[Series<T>],
    judge: impl Fn(&Series<T>) -> Judged,
) -> Criterion {
    let finding = |series: &Series<T>| {
        let (figure, shown) = judge(series);
        Finding {
            name: series.name.clone(),
            figure,
            shown,
        }
    };
    Criterion {
        what,
        aim,
        unit,
        findings: all.iter().map(finding).collect(),
    }
}

fn within(share: Share) -> Judged {
    let percent = share.percent();
    let in_percent = percent.map_or(String::new(), |percent| format!(" ({percent:.1} %)"));
    (percent, format!("{share}{in_percent}"))
}

fn greatest(spread: Option<Spread>) -> Judged {
    (spread.map(|spread| spread.greatest), shown(spread, 0))
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("–".to_owned(), |spread| format!("{spread:.digits$}"))
}

fn rest_row(series: &Series<Option<Rest>>) -> String {
    let middle = |spread: Option<Spread>, show: fn(f64) -> String| {
        spread.map_or("–".to_owned(), |spread| show(spread.middle))
    };
    let updates = middle(series.spread(|rest| rest.per_second), thousands);
    let p99 = middle(series.spread(|rest| rest.p99_us), millis);
    format!(
        "| {} | {updates} | {p99} | {} |",
        series.name,
        series.over()
    )
}

/// A run in a few words.
pub(crate) fn in_short(rest: Option<&Rest>) -> String {
    let words = |rest: &Rest| {
        let (updates, p99) = (thousands(rest.per_second), millis(rest.p99_us));
        format!("{updates} updates/s, p99 {p99}")
    };
    rest.map_or("nothing became durable".to_owned(), words)
}

fn thousands(figure: f64) -> String {
    format!("{:.0}k", figure / 1e3)
}

fn millis(micros: f64) -> String {
    format!("{:.0} ms", micros / 1e3)
}

/// A number below a million with a comma between its thousands.
pub(crate) fn grouped(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}
