//! Shows progress on standard error: a bar on a terminal, otherwise a line every few seconds.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::output::{self, byte_size, grouped, rate};

/// Time between two lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Unit of a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Operations,
    Bytes,
}

/// The progress of some work. Dropping it clears its bar from the terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    label: &'static str,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    started: Instant,
    printed: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(label: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            label,
            unit,
            total,
            done: 0,
            started: now,
            printed: now,
            bar: std::io::stderr()
                .is_terminal()
                .then(|| bar(label, unit, total)),
        }
    }

    /// Adds to the finished work.
    pub(crate) fn advance(&mut self, count: u64) {
        self.done += count;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            return;
        }
        if self.printed.elapsed() >= PLAIN_INTERVAL {
            self.printed = Instant::now();
            output::tell(self.line());
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::tell(text)),
            None => output::tell(text),
        }
    }

    /// Ends the progress. Returns the finished work and the time it took.
    pub(crate) fn finish(self) -> (u64, Duration) {
        (self.done, self.started.elapsed())
    }

    fn line(&self) -> String {
        let show = match self.unit {
            Unit::Operations => grouped,
            Unit::Bytes => byte_size,
        };
        let per_second = show(rate(self.done, self.started.elapsed()));
        match self.total {
            Some(total) => {
                let (label, done, total) = (self.label, show(self.done), show(total));
                format!("{label}: {done} of {total}, {per_second}/s")
            }
            None => format!("{}: {}, {per_second}/s", self.label, show(self.done)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(label: &'static str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let template = match (unit, total) {
        (Unit::Operations, Some(_)) => "{msg} {wide_bar} {human_pos}/{human_len} {rate} {eta}",
        (Unit::Operations, None) => "{msg} {spinner} {human_pos} {rate}",
        (Unit::Bytes, Some(_)) => {
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
        }
        (Unit::Bytes, None) => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style.with_key(
        "rate",
        |state: &ProgressState, text: &mut dyn fmt::Write| {
            // A bar that cannot be drawn shows nothing.
            let _ = write!(text, "{}/s", grouped(state.per_sec() as u64));
        },
    );
    bar.with_style(style).with_message(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_far_it_is() {
        let mut progress = Progress::start("load", Unit::Operations, Some(2000));
        progress.advance(1000);
        assert!(progress.line().starts_with("load: 1,000 of 2,000, "));
        let mut progress = Progress::start("import", Unit::Bytes, None);
        progress.advance(2048);
        assert!(progress.line().starts_with("import: 2.0 KiB, "));
    }
}
