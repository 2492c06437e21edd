//! Channels of the standard library in a simulation. They notify no scheduler, so tasks poll them.

use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SendError, SyncSender, TryRecvError, TrySendError,
};
use std::time::Instant;

use super::{Scheduler, poll};

/// Pauses until a message arrives, or until the deadline.
pub(crate) fn receive<T>(
    scheduler: &dyn Scheduler,
    messages: &Receiver<T>,
    until: Option<Instant>,
) -> Result<T, RecvTimeoutError> {
    let received = poll(scheduler, "a channel", until, || {
        match messages.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvTimeoutError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        }
    });
    received.unwrap_or(Err(RecvTimeoutError::Timeout))
}

/// Pauses until there is space for a message, and sends it.
pub(crate) fn send<T>(
    scheduler: &dyn Scheduler,
    messages: &SyncSender<T>,
    message: T,
) -> Result<(), SendError<T>> {
    let mut unsent = Some(message);
    let sent = poll(scheduler, "room in a channel", None, || {
        match messages.try_send(unsent.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Disconnected(message)) => Some(Err(SendError(message))),
            Err(TrySendError::Full(message)) => {
                unsent = Some(message);
                None
            }
        }
    });
    sent.unwrap_or(Ok(()))
}
