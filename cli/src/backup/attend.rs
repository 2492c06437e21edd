//! Runs work on an archive: shows its progress, and stops it when the user interrupts.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};
use trunkline_archive::Archive;

use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::progress::{Progress, Unit};

/// Time between two checks of the progress and of interrupts.
const LOOK: Duration = Duration::from_millis(100);

/// Runs work on an archive. Returns `None` if it is interrupted: everything written until then is complete, or is never
/// taken for complete.
pub(crate) fn attend<T>(
    label: &'static str,
    archive: &Archive,
    interrupt: &Interrupt,
    work: impl Future<Output = T>,
) -> Result<Option<T>, CommandError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Thread)?;
    let mut progress = Progress::start(label, Unit::Bytes, None);
    let mut shown = archive.transferred_bytes();
    Ok(runtime.block_on(async {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                _ = looks.tick() => {}
            }
            if interrupt.is_requested() {
                return None;
            }
            let bytes = archive.transferred_bytes();
            progress.advance(bytes.saturating_sub(std::mem::replace(&mut shown, bytes)));
        }
    }))
}
