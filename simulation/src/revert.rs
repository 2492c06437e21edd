//! Reverts of a caller: to some version, which may be gone.

use rand::RngExt;
use rand::rngs::SmallRng;
use trunkline::{Outcome, RevertError, RevertOptions, SnapshotError, SubmitError};

use crate::caller::{Caller, Ended};
use crate::ensure;
use crate::plan::Await;

impl Caller {
    /// Reverts to a version that is kept, held by a snapshot, archived or long gone, and waits for a state of the revert.
    pub(crate) fn revert(&mut self, awaited: Await, random: &mut SmallRng) -> Result<(), Ended> {
        let (engine, world) = (&self.life.engine, &self.life.world);
        let newest = engine.snapshot().version();
        let back = self.life.limits.borrow().retain + 3;
        let version = match self.held.first() {
            Some(held) if random.random_ratio(1, 3) => held.version(),
            // Archived, perhaps.
            _ if random.random_ratio(1, 4) => random.random_range(0..=newest),
            _ => newest.saturating_sub(random.random_range(0..back)),
        };
        let old = engine.snapshot_at(version).ok();
        let metadata = match random.random_ratio(1, 4) {
            true => random.random::<u64>().to_le_bytes().to_vec(),
            false => Vec::new(),
        };
        let options = RevertOptions {
            metadata: metadata.clone().into(),
            ..RevertOptions::default()
        };
        let receipt = match engine.revert_to_with_blocking(version, options) {
            Ok(receipt) => receipt,
            Err(RevertError::Submit(SubmitError::Engine(failure))) => {
                return Err(self.ended(&failure));
            }
            Err(RevertError::Version(SnapshotError::Expired { oldest, .. })) => {
                ensure!(version < oldest, "version {version} is kept");
                return Ok(());
            }
            Err(RevertError::Version(SnapshotError::Past(error))) => {
                return self.past_failed(version, &error);
            }
            Err(RevertError::TooLarge { .. }) => {
                ensure!(version + back < newest, "version {version} is too far back");
                return Ok(());
            }
            Err(RevertError::Read(error)) => {
                return match &old {
                    Some(old) => self.expired(old, &error),
                    None => self.unread(&error),
                };
            }
            // A stage that fails gives permits back a moment before it says so. Otherwise nothing can come between.
            Err(RevertError::Submit(error @ SubmitError::Overtaken { .. })) => {
                return match engine.drain_blocking() {
                    Err(failure) => Err(self.ended(&failure)),
                    Ok(()) => crate::scheduler::fail(format!("no revert: {error}")),
                };
            }
            Err(error) => crate::scheduler::fail(format!("no revert: {error}: {error:?}")),
        };
        // It was kept when the revert began, and so it was when the snapshot was taken.
        let Some(old) = old else {
            crate::scheduler::fail(format!("a revert to version {version}, which is gone"));
        };
        let (sequence, root) = (receipt.sequence(), receipt.provisional_root());
        let mut truth = world.truth.borrow_mut();
        let last = truth.see(&old);
        truth.revert(sequence, root, (old.commit_id(), last), metadata);
        drop(truth);
        world.counts.borrow_mut().reverts += 1;
        world
            .simulation
            .note(|| format!("{sequence} reverts to {version}"));
        if let (Await::Hashed | Await::Durable, Ok(hashed)) = (awaited, receipt.hashed_blocking()) {
            let commit_id = old.commit_id();
            ensure!(
                hashed.outcome == Outcome::Reverted { commit_id },
                "the outcome of revert {sequence} is {:?}",
                hashed.outcome
            );
        }
        self.wait_and_keep(Some(receipt), awaited)
    }
}
