//! Handles signals: the first interrupt, termination or hang-up stops the command in order. Another one counts as
//! insistence only a second later, since parents and terminals often send the same signal twice; it ends the command at
//! once. Either way the terminal is restored and temporary directories are removed. Signals that were ignored when the
//! process began, as under `nohup`, stay ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CommandError;

/// A flag that is set when the user asks to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. May be called once in a process. Call it after everything that may block outside of the
    /// command's control, such as opening a FIFO: until then signals have their default effect.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let interrupt = Self::default();
        signals::listen(interrupt.clone()).map_err(CommandError::Interrupts)?;
        Ok(interrupt)
    }

    /// Makes every signal that ends the process remove its temporary directories first: for commands that only read,
    /// and need no orderly stop. May be called once per process, instead of [`Self::listen`].
    pub(crate) fn clean_up_only() -> Result<(), CommandError> {
        signals::clean_up_only().map_err(CommandError::Interrupts)
    }

    /// Requests a stop, as Ctrl-C would.
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns the flag that is set by an interrupt.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(unix)]
mod signals {
    use std::ffi::c_int;
    use std::io;
    use std::thread;
    use std::time::{Duration, Instant};

    use signal_hook::consts::signal::{
        SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
    };
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use super::Interrupt;
    use crate::{output, tui};

    /// Time after the first signal from which another one counts as insistence.
    const INSISTENCE: Duration = Duration::from_secs(1);
    /// Signals that ask to stop in order.
    const STOPPING: [c_int; 3] = [SIGINT, SIGTERM, SIGHUP];
    /// Signals that end the process at once, after cleaning up.
    const ENDING: [c_int; 5] = [SIGQUIT, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM];

    pub(super) fn listen(interrupt: Interrupt) -> io::Result<()> {
        let mut first = None;
        on_signal(move |signal| hear(signal, &interrupt, &mut first))
    }

    pub(super) fn clean_up_only() -> io::Result<()> {
        on_signal(|signal| {
            if signal != SIGXFSZ {
                end(signal);
            }
        })
    }

    fn on_signal(mut hear: impl FnMut(c_int) + Send + 'static) -> io::Result<()> {
        let ignored = ignored();
        // A write beyond the limit on file sizes then returns an error.
        let all = STOPPING.into_iter().chain(ENDING).chain([SIGXFSZ]);
        let heard = all.filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = Signals::new(heard)?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(&mut hear))?;
        Ok(())
    }

    /// Cleans up, and ends the process as if no handler had been installed.
    fn end(signal: c_int) {
        clean_up();
        let _ = emulate_default_handler(signal);
    }

    fn hear(signal: c_int, interrupt: &Interrupt, first: &mut Option<Instant>) {
        if ENDING.contains(&signal) {
            end(signal);
        }
        if !STOPPING.contains(&signal) {
            return;
        }
        interrupt.request();
        match first {
            None => {
                *first = Some(Instant::now());
                output::tell(
                    "interrupted; stopping in order (interrupt again after a second to stop at once)",
                );
            }
            Some(first) if first.elapsed() < INSISTENCE => {}
            Some(_) => {
                clean_up();
                std::process::exit(130);
            }
        }
    }

    fn clean_up() {
        tui::give_back();
        trunkline::temporary::remove_own();
    }

    /// Returns the signals that this process ignored from its beginning, one bit each, the first signal lowest. Systems
    /// without `/proc` do not report them.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut fields = status.lines().filter_map(|line| line.split_once(':'));
        let mask = fields.find(|(name, _)| *name == "SigIgn");
        mask.and_then(|(_, mask)| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }
}

/// On other systems an interrupt ends the process. The files that it leaves are removed at the next start.
#[cfg(not(unix))]
mod signals {
    pub(super) fn listen(_interrupt: super::Interrupt) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn clean_up_only() -> std::io::Result<()> {
        Ok(())
    }
}
