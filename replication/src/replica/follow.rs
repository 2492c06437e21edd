//! Reading the stream and applying it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::FollowingFailure;
use super::fallback::fetch_or_wait;
use super::shared::Shared;
use crate::carrier::{Carried, Carrier};
use crate::member::{MESSAGES_AT_ONCE, RETRY};
use crate::memory::Memory;
use crate::protocol::{FollowError, ReadError, Step};

/// Number of times that a lost tail must be seen: a server that has just joined its peers again may not know all
/// messages.
pub(super) const LOST_SIGHTINGS: u32 = 5;
/// The wait for such a server before the stream is read again.
pub(super) const STALE: Duration = Duration::from_millis(500);
/// Number of times that a message of the stream may be missing.
const HOLES_MAX: u32 = 50;

pub(super) async fn follow<C: Carrier>(shared: Arc<Shared<C>>) {
    if shared.status.borrow().failure.is_some() {
        return;
    }
    if let Err(failure) = follow_until_stopped(&shared).await {
        let failure = Some(Arc::new(failure));
        shared.status.send_modify(|status| status.failure = failure);
    }
}

async fn follow_until_stopped<C: Carrier>(shared: &Shared<C>) -> Result<(), FollowingFailure> {
    let (mut holes, mut sightings, mut lacks) = (0, 0, 0);
    while !shared.is_stopped() {
        let next = shared.follower.lock().await.next();
        let Ok(messages) = shared.carrier.read(next, MESSAGES_AT_ONCE).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let is_end = messages.is_empty();
        match take_all(shared, messages).await {
            Ok(()) if is_end => {
                shared
                    .status
                    .send_modify(|status| status.ended_at = Some(Instant::now()));
                check_end(shared, &mut sightings).await?;
            }
            Ok(()) => (holes, sightings) = (0, 0),
            Err(FollowingFailure::Follow(FollowError::Gap { wanted, oldest })) => {
                fetch_or_wait(shared, wanted, oldest, &mut lacks).await?;
            }
            Err(FollowingFailure::Follow(FollowError::Read(ReadError::Hole {
                expected,
                found,
            }))) => {
                holes += 1;
                if holes > HOLES_MAX {
                    return Err(FollowError::from(ReadError::Hole { expected, found }).into());
                }
                skip_trimmed(shared).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

pub(super) async fn take_all<C: Carrier>(
    shared: &Shared<C>,
    messages: Vec<Carried>,
) -> Result<(), FollowingFailure> {
    for message in messages {
        let sequence = message.sequence;
        if !take(shared, message).await? {
            // The follower is held: nothing can be done until the next epoch begins.
            return look_ahead(shared, sequence).await;
        }
    }
    Ok(())
}

/// Takes a message. Returns false if it was held.
async fn take<C: Carrier>(shared: &Shared<C>, message: Carried) -> Result<bool, FollowingFailure> {
    let sequence = message.sequence;
    let mut follower = shared.follower.lock().await;
    let mut is_held = false;
    for step in follower.take(sequence, message.bytes)? {
        match step {
            Step::Apply(_, frame) => shared.replica.apply(frame).await?,
            Step::Held => is_held = true,
            step => note(shared, sequence, step),
        }
    }
    let (stream, epoch) = match follower.regime() {
        Some(regime) => (regime.tip.version, regime.epoch),
        None => (0, 0),
    };
    shared.replica.observe_primary(stream);
    let memory = Memory {
        refuses_below: follower.refuses_below(),
        resume: follower.resume(),
    };
    let resumable = Some((memory, follower.position().version));
    shared.status.send_modify(|status| {
        (status.stream, status.epoch, status.is_held) = (stream, epoch, is_held);
        status.sequence = follower.next() - 1;
        if memory.resume != status.resumable.and_then(|(memory, _)| memory.resume) {
            status.resumable = resumable;
        }
    });
    Ok(!is_held)
}

fn note<C, F>(shared: &Shared<C>, sequence: u64, step: Step<F>) {
    match step {
        Step::Beat(unix_ms) => shared.status.send_modify(|status| {
            status.primary_unix_ms = unix_ms;
            status.heard_at = Some(Instant::now());
        }),
        Step::Began => shared
            .status
            .send_modify(|status| status.heard_at = Some(Instant::now())),
        Step::Stray(stray) => shared.status.send_modify(|status| {
            status.strays += 1;
            status.last_stray = Some((sequence, stray));
        }),
        _ => {}
    }
}

/// Looks for the beginning of an epoch that is not refused. The messages before it may then be applied.
pub(super) async fn look_ahead<C: Carrier>(
    shared: &Shared<C>,
    from: u64,
) -> Result<(), FollowingFailure> {
    let (mut reader, below) = {
        let follower = shared.follower.lock().await;
        (follower.look_ahead(), follower.refuses_below())
    };
    let mut next = from;
    loop {
        let messages = shared.carrier.read(next, MESSAGES_AT_ONCE).await;
        let messages = messages.unwrap_or_default();
        if messages.is_empty() || shared.is_stopped() {
            tokio::time::sleep(RETRY).await;
            return Ok(());
        }
        for Carried { sequence, bytes } in messages {
            let read = reader.read(sequence, bytes);
            drop(read.map_err(FollowError::from)?);
            if reader.regime().is_some_and(|regime| regime.epoch >= below) {
                shared.follower.lock().await.license(sequence);
                return Ok(());
            }
        }
        next = reader.next();
    }
}

async fn check_end<C: Carrier>(
    shared: &Shared<C>,
    sightings: &mut u32,
) -> Result<(), FollowingFailure> {
    let Ok(ends) = shared.carrier.ends().await else {
        tokio::time::sleep(RETRY).await;
        return Ok(());
    };
    let checked = shared.follower.lock().await.check_end(ends.last);
    match checked {
        Ok(()) => *sightings = 0,
        Err(_) if *sightings < LOST_SIGHTINGS => {
            *sightings += 1;
            tokio::time::sleep(RETRY).await;
        }
        Err(lost) => return Err(lost.into()),
    }
    Ok(())
}

/// Reads from the first message on if the next one was trimmed.
pub(super) async fn skip_trimmed<C: Carrier>(shared: &Shared<C>) {
    tokio::time::sleep(RETRY).await;
    let Ok(ends) = shared.carrier.ends().await else {
        return;
    };
    let mut follower = shared.follower.lock().await;
    if follower.next() < ends.first {
        follower.read_again_from(ends.first);
    }
}
