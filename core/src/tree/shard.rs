//! Applying a submission in shards: ranges of slots, each for one thread at a time.
//!
//! Slots are independent of one another, so shards run in any order. Whether the submission takes effect is
//! known only when all of them are done. A lock is held within the work of one shard, never while a thread
//! waits for other shards. Not here: how many shards (the engine decides), and cutting a version that is
//! hashed (`hasher`).

use std::ops::Range;

use super::dirty::{Dirty, Mark};
use super::update::Update;
use super::{Shared, write};
use crate::batch::Write;
use crate::outcome::Refusal;
use crate::parallel::{Threads, each};
use crate::params::{WIDTH, slot_of};

/// The minimum number of writes that is worth waking a thread.
const THREAD_WRITES_MIN: usize = 256;

/// The part of a submission that changes some of the slots.
pub(super) struct Shard<'a> {
    shared: &'a Shared,
    pub(super) update: Update<'a>,
    /// The range of its writes among those of the submission.
    range: Range<usize>,
    dirty: &'a mut Dirty,
    /// The state of `dirty` before the submission.
    mark: Mark,
    /// The number of leaves added, minus those removed.
    pub(super) gained: i64,
    /// The slots whose directory was resized.
    pub(super) resized: Vec<usize>,
    refusal: Option<Refusal>,
}

impl<'a> Shard<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        update: Update<'a>,
        range: Range<usize>,
        dirty: &'a mut Dirty,
    ) -> Self {
        Self {
            shared,
            update,
            range,
            mark: dirty.mark(),
            dirty,
            gained: 0,
            resized: Vec::new(),
            refusal: None,
        }
    }

    /// Applies the writes up to the first refused one.
    fn apply(&mut self) {
        for (slot, range) in slots_of(self.update.writes, self.range.clone()) {
            let mut cells = write(&self.shared.slots[slot].cells);
            let before = cells.leaves();
            let outcome = cells.apply(&mut self.update, range, self.dirty);
            self.gained += cells.leaves() as i64 - before as i64;
            if let Err(refusal) = outcome {
                self.refusal = Some(refusal);
                return;
            }
        }
    }

    /// Accepts the submission: slot by slot, its records become those of the version, and directories that have become
    /// too full double.
    fn accept(&mut self) {
        for (slot, _) in slots_of(self.update.writes, self.range.clone()) {
            let mut cells = write(&self.shared.slots[slot].cells);
            cells.accept();
            if cells.resize(self.update.version) {
                self.resized.push(slot);
            }
        }
    }

    /// Undoes the changes. Since the fold does not depend on history, restoring the leaves restores every digest.
    fn roll_back(&mut self) {
        for (slot, _) in slots_of(self.update.writes, self.range.clone()) {
            write(&self.shared.slots[slot].cells).roll_back(self.update.version);
        }
        self.dirty.truncate(self.mark);
    }
}

/// Applies a submission atomically: all its shards take effect, or the first refusal in path order is returned. Uses
/// the threads of a pool if that is worthwhile.
pub(super) fn apply(shards: &mut [Shard<'_>], threads: Option<Threads<'_>>) -> Result<(), Refusal> {
    let writes: usize = shards.iter().map(|shard| shard.range.len()).sum();
    let threads = threads.filter(|_| writes >= 2 * THREAD_WRITES_MIN);
    each(threads, shards, Shard::apply);
    let refusal = shards.iter().find_map(|shard| shard.refusal);
    let end = match refusal {
        None => Shard::accept,
        Some(_) => Shard::roll_back,
    };
    each(threads, shards, end);
    refusal.map_or(Ok(()), Err)
}

/// Returns the first slot of a shard, given the number of shards.
fn first_slot(shard: usize, shards: usize) -> usize {
    shard * WIDTH / shards
}

/// Returns the shard that a slot belongs to.
pub(super) fn shard_of(slot: usize, shards: usize) -> usize {
    ((slot + 1) * shards - 1) / WIDTH
}

/// Returns the writes of each shard.
pub(super) fn bounds(writes: &[Write], shards: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |shard: usize| {
        let first = first_slot(shard, shards);
        writes.partition_point(|write| slot_of(&write.key_hash) < first)
    };
    (0..shards).map(move |shard| start(shard)..start(shard + 1))
}

/// Returns a part of the sorted writes, grouped by slot.
pub(super) fn slots_of(
    writes: &[Write],
    range: Range<usize>,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let rest = &writes[start..range.end];
        let slot = slot_of(&rest.first()?.key_hash);
        let mine = rest.partition_point(|write| slot_of(&write.key_hash) == slot);
        let range = start..start + mine;
        start += mine;
        Some((slot, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_belongs_to_one_piece_of_any_number() {
        for shards in 1..=WIDTH {
            for shard in 0..shards {
                let slots = first_slot(shard, shards)..first_slot(shard + 1, shards);
                assert!(!slots.is_empty());
                assert!(
                    slots
                        .into_iter()
                        .all(|slot| shard_of(slot, shards) == shard)
                );
            }
            assert_eq!(first_slot(shards, shards), WIDTH);
        }
    }
}
