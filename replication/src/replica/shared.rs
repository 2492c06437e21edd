//! The state that the tasks of a replica share.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use trunkline::Replica;

use super::follow::{LOST_SIGHTINGS, STALE};
use super::{Archive, Status};
use crate::carrier::Carrier;
use crate::member::{self, Options, StreamError};
use crate::memory::{Memory, MemoryFile};
use crate::protocol::{Follower, Pinned};

/// The state that the tasks of a replica share.
pub(super) struct Shared<C> {
    pub(super) replica: Replica,
    pub(super) carrier: Arc<C>,
    pub(super) options: Options,
    pub(super) verifier: Pinned,
    pub(super) memory: MemoryFile,
    pub(super) remembered: Mutex<Memory>,
    pub(super) archive: Option<Arc<dyn Archive>>,
    /// Locked while a message is taken, so that nothing refused is applied after the refusal.
    pub(super) follower: Mutex<Follower<Pinned>>,
    pub(super) status: watch::Sender<Status>,
    pub(super) stop: watch::Receiver<bool>,
}

impl<C: Carrier> Shared<C> {
    pub(super) async fn open(
        replica: Replica,
        carrier: Arc<C>,
        options: Options,
        archive: Option<Arc<dyn Archive>>,
        status: watch::Sender<Status>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, StreamError> {
        options.check()?;
        let tree_id = replica.params().tree_id();
        let verifier = Pinned {
            tree_id,
            keys: options.keys.clone(),
        };
        let memory = MemoryFile::new(&options.memory_file, tree_id);
        let remembered = memory.read()?;
        let resume = remembered.resume;
        let mut resumed = member::resume_point(&*carrier, resume).await;
        for _ in 0..LOST_SIGHTINGS {
            // Servers that choose a leader do not answer, and one that just joined may know less than there is.
            if !matches!(
                resumed,
                Err(StreamError::Follow(_) | StreamError::Carrier(_))
            ) {
                break;
            }
            tokio::time::sleep(STALE).await;
            resumed = member::resume_point(&*carrier, resume).await;
        }
        let (next, replaced) = match resumed {
            Ok((next, _)) => (next, None),
            // It then does not follow, but answers requests to refuse epochs.
            Err(StreamError::Follow(replaced)) => (carrier.ends().await?.first, Some(replaced)),
            Err(error) => return Err(error),
        };
        let refuses_below = remembered.refuses_below;
        let position = replica.last_taken();
        let follower = Follower::new(verifier.clone(), next, position, refuses_below);
        status.send_modify(|status| {
            status.refuses_below = refuses_below;
            status.failure = replaced.map(|replaced| Arc::new(replaced.into()));
        });
        Ok(Self {
            follower: Mutex::new(follower),
            remembered: Mutex::new(remembered),
            replica,
            carrier,
            options,
            verifier,
            memory,
            archive,
            status,
            stop,
        })
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Writes the memory, if it has changed.
    pub(super) async fn remember(&self, change: impl FnOnce(&mut Memory)) -> std::io::Result<()> {
        let mut remembered = self.remembered.lock().await;
        let mut changed = *remembered;
        change(&mut changed);
        if changed != *remembered {
            self.memory.write(changed).await?;
            *remembered = changed;
        }
        Ok(())
    }
}
