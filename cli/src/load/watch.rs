//! Shows the progress of a load, on standard error or on the whole terminal.

use std::time::Duration;

use trunkline::decisions::{Change, Decision};
use trunkline_load::{Progress as Step, StageName};

use crate::output::{self, duration, grouped};
use crate::progress::{Progress, Unit};
use crate::tui::{Screen, ScreenError};

/// Time between two lines about the run.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows the progress as lines, or on the whole terminal.
#[derive(Debug, Default)]
pub(super) struct Watch {
    screen: Option<Screen>,
    lines: Lines,
}

impl Watch {
    pub(super) fn new(is_whole: bool) -> Result<Self, ScreenError> {
        Ok(Self {
            screen: is_whole.then(Screen::take).transpose()?,
            ..Self::default()
        })
    }

    /// Shows the progress. Returns whether the user asked to end the run. If the terminal fails, the run continues and
    /// its progress is written as lines.
    pub(super) fn show(&mut self, step: &Step<'_>) -> bool {
        if let Some(screen) = &mut self.screen {
            match screen.show(step) {
                Ok(asks_to_end) => return asks_to_end,
                Err(error) => {
                    self.screen = None;
                    output::tell_error("warning", &error);
                }
            }
        }
        self.lines.show(step);
        false
    }

    /// Restores the terminal, and reports the reloads since the last update.
    pub(super) fn end(mut self, decisions: &[Decision]) {
        if self.screen.take().is_none() {
            self.lines.bar = None;
            self.lines.tell_reloads(decisions);
        }
    }
}

/// A bar for each stage before the run, a line every few seconds of the run, and lines about reloads.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stage: Option<StageName>,
    bar: Option<Progress>,
    shown: u64,
    lines: u32,
    /// Number of the last decision that was seen.
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
            output::tell(line(step));
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
                None => output::tell(&text),
            }
        }
        self.decision = decisions.last().map_or(self.decision, |last| last.number);
    }

    fn begin(&mut self, step: &Step<'_>) {
        self.stage = Some(step.stage);
        self.shown = 0;
        // The previous stage's bar is cleared first.
        self.bar = None;
        let label = match step.stage {
            StageName::Fill => "fill",
            StageName::Calibrate => "calibrate",
            StageName::Run => return,
        };
        self.bar = Some(Progress::start(
            label,
            Unit::Operations,
            step.planned_operations,
        ));
    }
}

/// Returns a line about a changed configuration file, if the decision is about one.
fn reload(decision: &Decision) -> Option<String> {
    let (what, text) = match &decision.change {
        Change::ReloadRefused { message } => (
            "reload refused, the previous settings stay",
            message.clone(),
        ),
        change @ Change::Setting { .. } => ("reloaded", change.to_string()),
        _ => return None,
    };
    Some(format!("{what}: {text}"))
}

/// Returns a line about the last complete second.
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
        let says = "reload refused, the previous settings stay: a.toml:1: unknown key\u{1b}[2J";
        assert_eq!(reload(&decision(1, refused)).as_deref(), Some(says));
        let taken = Change::Setting {
            key: "group.linger_ms".to_owned(),
            from: "0".to_owned(),
            to: "7".to_owned(),
        };
        let says = "reloaded: group.linger_ms 0 → 7";
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
