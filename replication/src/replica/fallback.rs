//! Reading from an archive the versions that the stream no longer has.

use std::pin::Pin;
use std::time::Duration;

use trunkline_core::frame::Frame;
use trunkline_core::store::log::LogPosition;

use super::FollowingFailure;
use super::follow::look_ahead;
use super::shared::Shared;
use crate::carrier::Carrier;
use crate::protocol::{FollowError, Follower, Pinned};

/// The wait before an archive is read again.
const ARCHIVE_RETRY: Duration = Duration::from_secs(1);
/// The number of times that an archive may lack versions that the stream no longer has: it may be slightly behind.
const ARCHIVE_LACKS_MAX: u32 = 30;

/// A source of the versions that the stream no longer has.
pub trait Archive: Send + Sync + 'static {
    /// Returns frames from a version on, in order and without gaps, as many as the archive chooses. Returns none unless
    /// it has all versions up to `until`: a part of them could be from a primary that was replaced.
    fn frames(&self, from: u64, until: u64) -> ArchivedFrames<'_>;
}

/// Frames that an archive is about to return.
pub type ArchivedFrames<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Frame>, ArchiveError>> + Send + 'a>>;

/// The reason why an archive returned no frames.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the archive cannot be read: {cause}")]
pub struct ArchiveError {
    /// The cause, as stated by the archive.
    pub cause: String,
    /// True if the same call may succeed later.
    pub may_pass: bool,
}

/// Applies the versions that the stream no longer has, or waits before the archive is read again.
pub(super) async fn fetch_or_wait<C: Carrier>(
    shared: &Shared<C>,
    wanted: u64,
    oldest: u64,
    lacks: &mut u32,
) -> Result<(), FollowingFailure> {
    let fetched = fetch(shared, wanted, oldest).await;
    let failure = match fetched {
        Ok(()) => {
            *lacks = 0;
            None
        }
        Err(FollowingFailure::Archive(failure)) if failure.may_pass => Some(failure),
        Err(FollowingFailure::Follow(FollowError::Gap { .. }))
            if shared.archive.is_some() && *lacks < ARCHIVE_LACKS_MAX =>
        {
            *lacks += 1;
            Some(ArchiveError {
                cause: format!("it does not have all versions from {wanted} to {oldest}"),
                may_pass: true,
            })
        }
        Err(failure) => return Err(failure),
    };
    let has_failed = failure.is_some();
    shared
        .status
        .send_modify(|status| status.archive_failure = failure);
    if has_failed {
        let mut stop = shared.stop.clone();
        let _stopped = tokio::time::timeout(ARCHIVE_RETRY, stop.wait_for(|stop| *stop)).await;
    }
    Ok(())
}

/// Applies versions that the stream no longer has: some of those from `from` on, up to the tip of the beginning that
/// was read. That beginning is read again afterwards.
pub(super) async fn fetch<C: Carrier>(
    shared: &Shared<C>,
    wanted: u64,
    oldest: u64,
) -> Result<(), FollowingFailure> {
    if is_held(shared).await {
        let next = shared.follower.lock().await.next();
        look_ahead(shared, next).await?;
        shared.follower.lock().await.read_again();
        return Ok(());
    }
    let gap = || FollowError::Gap { wanted, oldest };
    let archive = shared.archive.as_ref().ok_or_else(gap)?;
    let mut stop = shared.stop.clone();
    let frames = tokio::select! {
        frames = archive.frames(wanted, oldest) => frames,
        Ok(_) = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let mut follower = shared.follower.lock().await;
    let result = match frames {
        Ok(frames) if frames.is_empty() => Err(gap().into()),
        // It was asked to refuse this epoch meanwhile.
        Ok(_) if follower.is_held() => Ok(()),
        Ok(frames) => apply_archived(shared, &mut follower, frames, oldest).await,
        Err(error) => Err(error.into()),
    };
    follower.read_again();
    result
}

/// Returns whether it waits for another epoch than that of the stream, and records that in the status.
async fn is_held<C>(shared: &Shared<C>) -> bool {
    let is_held = shared.follower.lock().await.is_held();
    shared.status.send_modify(|status| status.is_held = is_held);
    is_held
}

async fn apply_archived<C>(
    shared: &Shared<C>,
    follower: &mut Follower<Pinned>,
    frames: Vec<Frame>,
    oldest: u64,
) -> Result<(), FollowingFailure> {
    let wanted = frames
        .into_iter()
        .take_while(|frame| frame.entry.record.version <= oldest);
    for frame in wanted {
        follower.check_tip_of(&LogPosition::of(&frame.entry.record))?;
        shared.replica.apply(frame).await?;
    }
    follower.moved_to(shared.replica.last_taken());
    Ok(())
}
