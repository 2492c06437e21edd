//! How far a load is: on standard error, or on the whole terminal.

use std::time::Duration;

use trunkline::decisions::{Change, Decision};
use trunkline_load::{Progress as Step, StageName};

use crate::output::{duration, grouped, printable};
use crate::progress::{Progress, Unit};
use crate::tui::{Live, Screen, ScreenError};

/// Time between two lines about the run.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What the user wants of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    ToGoOn,
    ToEnd,
}

/// Where it is shown.
#[derive(Debug)]
pub(super) enum Watch {
    Lines(Lines),
    Whole(Whole),
}

impl Watch {
    pub(super) fn new(is_whole: bool) -> Result<Self, ScreenError> {
        Ok(match is_whole {
            false => Self::Lines(Lines::default()),
            true => Self::Whole(Whole {
                screen: Screen::take()?,
                failed: None,
            }),
        })
    }

    pub(super) fn show(&mut self, step: &Step<'_>) -> Asked {
        match self {
            Self::Lines(lines) => lines.show(step),
            Self::Whole(whole) => return whole.show(step),
        }
        Asked::ToGoOn
    }

    /// What was decided after the last look.
    pub(super) fn end(&mut self, decisions: &[Decision]) {
        if let Self::Lines(lines) = self {
            lines.bar = None;
            lines.tell_reloads(decisions);
        }
    }

    /// Gives the terminal back, and says what went wrong with it.
    pub(super) fn finish(self) -> Result<(), ScreenError> {
        match self {
            Self::Lines(_) => Ok(()),
            Self::Whole(whole) => whole.failed.map_or(Ok(()), Err),
        }
    }
}

/// The live view. A terminal that is gone ends the run.
#[derive(Debug)]
pub(super) struct Whole {
    screen: Screen,
    failed: Option<ScreenError>,
}

impl Whole {
    fn show(&mut self, step: &Step<'_>) -> Asked {
        if self.failed.is_some() {
            return Asked::ToEnd;
        }
        match self.screen.show(&Live::of(step)) {
            Ok(false) => Asked::ToGoOn,
            Ok(true) => Asked::ToEnd,
            Err(error) => {
                self.failed = Some(error);
                Asked::ToEnd
            }
        }
    }
}

/// A bar for each stage; for the run, a line every few seconds besides; and what became of a configuration file that
/// was changed.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stage: Option<StageName>,
    bar: Option<Progress>,
    shown: u64,
    lines: u32,
    /// Number of the last decision that was looked at.
    decision: u64,
}

impl Lines {
    fn show(&mut self, step: &Step<'_>) {
        if self.stage != Some(step.stage) {
            self.begin(step);
        }
        if let Some(bar) = &mut self.bar {
            bar.advance(step.operations.saturating_sub(self.shown));
        }
        self.shown = self.shown.max(step.operations);
        let due = LINE_INTERVAL * (self.lines + 1);
        if step.stage == StageName::Run && step.elapsed >= due {
            self.lines += 1;
            eprintln!("{}", line(step));
        }
        self.tell_reloads(step.decisions);
    }

    fn tell_reloads(&mut self, decisions: &[Decision]) {
        let news = decisions
            .iter()
            .filter(|decision| decision.number > self.decision);
        for text in news.filter_map(reload) {
            match &self.bar {
                Some(bar) => bar.say(&text),
                None => eprintln!("{text}"),
            }
        }
        self.decision = decisions.last().map_or(self.decision, |last| last.number);
    }

    fn begin(&mut self, step: &Step<'_>) {
        self.stage = Some(step.stage);
        self.shown = 0;
        let label = match step.stage {
            StageName::Fill => "fill",
            StageName::Calibrate => "calibrate",
            StageName::Run => "run",
        };
        // The one before is wiped off first.
        self.bar = None;
        let bar = || Progress::start(label, Unit::Operations, step.planned_operations);
        self.bar = (step.stage != StageName::Run).then(bar);
    }
}

/// What became of a configuration file that was changed.
fn reload(decision: &Decision) -> Option<String> {
    match &decision.change {
        Change::ReloadRefused { message } => Some(format!(
            "reload refused, the settings of before stay: {}",
            printable(message)
        )),
        Change::Setting { .. } => Some(format!(
            "reload taken over: {}",
            printable(&decision.change.to_string())
        )),
        _ => None,
    }
}

/// The last second that is over.
fn line(step: &Step<'_>) -> String {
    let elapsed = duration(Duration::from_secs(step.elapsed.as_secs()));
    let Some(second) = step.seconds.last() else {
        return format!("run: {elapsed}, warming up");
    };
    let mut text = format!(
        "run: {elapsed}, {} operations/s offered, {} achieved, {} dropped",
        grouped(second.offered),
        grouped(second.achieved),
        grouped(second.dropped),
    );
    for (kind, figures) in &second.operations {
        let p99 = duration(Duration::from_nanos((figures.latency.p99_us * 1e3) as u64));
        text += &format!(", {} p99 {p99}", kind.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use trunkline::decisions::{Reason, Seen};

    use super::*;

    fn decision(number: u64, change: Change) -> Decision {
        Decision {
            number,
            at_us: 0,
            window_us: 0,
            change,
            reason: Reason::Reloaded,
            seen: Seen::default(),
        }
    }

    #[test]
    fn what_became_of_a_changed_file_is_a_line_and_nothing_else_is() {
        let refused = Change::ReloadRefused {
            message: "a.toml:1: unknown key\u{1b}[2J".to_owned(),
        };
        let says = "reload refused, the settings of before stay: a.toml:1: unknown key[2J";
        assert_eq!(reload(&decision(1, refused)).as_deref(), Some(says));
        let taken = Change::Setting {
            key: "group.linger_ms".to_owned(),
            from: "0".to_owned(),
            to: "7".to_owned(),
        };
        let says = "reload taken over: group.linger_ms 0 → 7";
        assert_eq!(reload(&decision(2, taken)).as_deref(), Some(says));
        let cap = Change::GroupOperationsMax { from: 1, to: 2 };
        assert_eq!(reload(&decision(3, cap)), None);
    }

    #[test]
    fn a_decision_is_looked_at_once() {
        let mut lines = Lines::default();
        let cap = Change::GroupOperationsMax { from: 1, to: 2 };
        lines.tell_reloads(&[decision(7, cap)]);
        lines.tell_reloads(&[]);
        assert_eq!(lines.decision, 7);
    }
}
