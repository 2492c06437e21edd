//! Handles Ctrl-C and termination: the first one stops the command cleanly, the second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CommandError;
use crate::tui;

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. May be called once in a process.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let interrupt = Self::default();
        let flag = interrupt.0.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                tui::give_back();
                std::process::exit(130);
            }
            eprintln!("interrupted; stopping cleanly (interrupt again to stop at once)");
        })?;
        Ok(interrupt)
    }

    /// Asks to stop, as Ctrl-C would.
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
