//! Takes the terminal, draws on it, reads keys, and restores it however the view ends.

use std::io::{self, IsTerminal, Stdout};
use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
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

/// True while the terminal is taken.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
static PANIC_HOOK: Once = Once::new();

/// Restores the terminal if it is taken. Needed before the process ends without unwinding; otherwise drop the
/// [`Screen`].
pub(crate) fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs no restoring.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}

/// Restores the terminal before the message of a panic is written.
fn give_back_on_panic() {
    PANIC_HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            hook(info);
        }));
    });
}

/// The whole terminal, until it is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Never dropped: it would panic if the terminal and standard error are gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
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
        give_back_on_panic();
        IS_TAKEN.store(true, Ordering::SeqCst);
        let taken = || {
            enable_raw_mode()?;
            execute!(io::stdout(), EnterAlternateScreen)?;
            Terminal::new(CrosstermBackend::new(io::stdout()))
        };
        let terminal = taken().inspect_err(|_| give_back())?;
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
        })
    }

    /// Shows the progress. Returns whether the user asked to stop since the last call.
    pub(crate) fn show(&mut self, step: &Progress<'_>) -> Result<bool, ScreenError> {
        let asks_to_end = keys::ask_to_end()?;
        self.terminal.draw(|frame| draw(frame, step))?;
        Ok(asks_to_end)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Reads keys without crossterm, which reads for ever from a terminal that was hung up.
#[cfg(unix)]
mod keys {
    use std::io;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// The byte that a raw terminal sends for Ctrl-C.
    const CONTROL_C: u8 = 3;
    const KEYS_MAX: usize = 64;

    /// Returns whether a key that stops the run was pressed since the last call. Fails if the terminal is gone.
    pub(super) fn ask_to_end() -> io::Result<bool> {
        let stdin = io::stdin();
        let mut asked = false;
        loop {
            let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
            poll(&mut polled, Some(&Timespec::default()))?;
            let events = polled[0].revents();
            if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            if !events.contains(PollFlags::IN) {
                return Ok(asked);
            }
            let mut keys = [0; KEYS_MAX];
            let count = rustix::io::read(&stdin, &mut keys)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            asked |= stop(&keys[..count]);
        }
    }

    pub(super) fn stop(keys: &[u8]) -> bool {
        keys.iter().any(|key| matches!(*key, b'q' | CONTROL_C))
    }
}

#[cfg(not(unix))]
mod keys {
    use std::io;
    use std::time::Duration;

    use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};

    pub(super) fn ask_to_end() -> io::Result<bool> {
        let mut asked = false;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
                asked |= key.code == KeyCode::Char('q')
                    || (key.code == KeyCode::Char('c') && is_control);
            }
        }
        Ok(asked)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn q_and_control_c_end_the_run() {
        assert!(keys::stop(b"q") && keys::stop(b"x\x03"));
        assert!(!keys::stop(b"cxX\x1b[A"));
    }
}
