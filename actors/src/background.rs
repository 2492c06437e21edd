//! The keeper: a thread for what must happen at a time, or should not happen on a stage's thread.
//!
//! Deadlines live here because a busy mailbox starves the timers of its own actor. Freeing old
//! versions touches memory all over; here it stalls no commit. A deadline may come late by what is
//! just being freed, so nothing that must hold depends on one alone: persist looks at the clock itself
//! before it acknowledges anything without a sync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use actix::Recipient;
use trunkline_core::batch::PreparedBatch;

use crate::message::{LingerOver, SyncDue};
use crate::shared::State;
use crate::state::versions::Expired;

/// Something for the keeper to do.
pub enum Chore {
    /// Wake ingest at a time.
    Wake {
        at: Instant,
        wake: Recipient<LingerOver>,
    },
    /// Forget what no reader needs any more.
    Forget(Expired),
    /// Let go of batches that were applied: free what no layer holds.
    Free(Vec<(u64, Arc<PreparedBatch>)>),
}

/// Tells persist to sync, again and again.
pub struct Ticks {
    pub interval: Duration,
    pub persist: Recipient<SyncDue>,
}

/// Works until all senders of chores are gone.
pub fn run(chores: &Receiver<Chore>, state: &Arc<State>, ticks: Option<&Ticks>) {
    let mut next_wake: Option<(Instant, Recipient<LingerOver>)> = None;
    let mut next_tick = ticks.map(|ticks| Instant::now() + ticks.interval);
    loop {
        let wake_at = next_wake.as_ref().map(|(at, _)| *at);
        let deadline = [wake_at, next_tick].into_iter().flatten().min();
        let chore = match deadline {
            None => chores.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => chores.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match chore {
            // Ingest lingers over one group at a time.
            Ok(Chore::Wake { at, wake }) => next_wake = Some((at, wake)),
            Ok(Chore::Forget(expired)) => state.forget(expired),
            Ok(Chore::Free(batches)) => drop(batches),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        if let Some((_, wake)) = next_wake.take_if(|(at, _)| *at <= now) {
            wake.do_send(LingerOver);
        }
        if let (Some(ticks), Some(_)) = (ticks, next_tick.take_if(|at| *at <= now)) {
            ticks.persist.do_send(SyncDue);
            next_tick = Some(now + ticks.interval);
        }
    }
}
