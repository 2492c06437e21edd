//! Takes the terminal, draws on it, reads keys, and gives it back however the view ends.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use trunkline_load::Progress;

use super::view::draw;

/// An error of the live view.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScreenError {
    #[error(
        "--tui needs a terminal on standard input and output; without --tui progress is printed as lines"
    )]
    NoTerminal,
    #[error("the terminal cannot be used for --tui; run without it")]
    Terminal(#[from] io::Error),
}

/// Whether the terminal is taken.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back if it is taken. Needed before the process ends without unwinding; otherwise drop the
/// [`Screen`]. After a panic, ratatui's hook gives it back before the message is printed.
pub(crate) fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        ratatui::restore();
    }
}

/// The whole terminal, until it is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Checks that there is a terminal.
    pub(crate) fn check() -> Result<(), ScreenError> {
        match io::stdin().is_terminal() && io::stdout().is_terminal() {
            true => Ok(()),
            false => Err(ScreenError::NoTerminal),
        }
    }

    /// Takes the terminal.
    pub(crate) fn take() -> Result<Self, ScreenError> {
        Self::check()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        let terminal = ratatui::try_init().inspect_err(|_| give_back())?;
        Ok(Self { terminal })
    }

    /// Shows the progress. Returns whether the user asked to stop since the last call.
    pub(crate) fn show(&mut self, step: &Progress<'_>) -> Result<bool, ScreenError> {
        self.terminal.draw(|frame| draw(frame, step))?;
        let mut asked_to_end = false;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                asked_to_end |= ends(&key);
            }
        }
        Ok(asked_to_end)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Returns whether a key stops the run. A raw terminal delivers Ctrl-C as a key.
fn ends(key: &KeyEvent) -> bool {
    let is_control_c =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release && (key.code == KeyCode::Char('q') || is_control_c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_control_c_end_the_run() {
        let key = |character, modifiers| KeyEvent::new(KeyCode::Char(character), modifiers);
        assert!(ends(&key('q', KeyModifiers::NONE)));
        assert!(ends(&key('c', KeyModifiers::CONTROL)));
        assert!(!ends(&key('c', KeyModifiers::NONE)));
        assert!(!ends(&key('x', KeyModifiers::CONTROL)));
    }
}
