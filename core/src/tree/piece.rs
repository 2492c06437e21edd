//! A submission cut by ranges of slots, each for one thread at a time.
//!
//! Slots know nothing of one another, so pieces need no order among them; whether the submission takes
//! effect is known only when all of them are through. A lock is held within one piece's work, never
//! while a thread waits for other pieces. Not here: how many pieces (whoever drives the tree says so),
//! and cutting a version that is hashed (`hasher`).

use std::ops::Range;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::dirty::{Dirty, Mark};
use super::update::Update;
use super::{Shared, write};
use crate::batch::Write;
use crate::outcome::Refusal;
use crate::params::{WIDTH, slot_of};

/// Writes that are worth waking a thread for.
const THREAD_WRITES_MIN: usize = 256;

/// What a submission does to some of the slots.
pub(super) struct Piece<'a> {
    shared: &'a Shared,
    pub(super) update: Update<'a>,
    /// Its writes among those of the submission.
    range: Range<usize>,
    dirty: &'a mut Dirty,
    /// How far the version had come before.
    mark: Mark,
    /// Leaves that came, less those that went.
    pub(super) gained: i64,
    /// Slots whose directory was resized.
    pub(super) resized: Vec<usize>,
    refusal: Option<Refusal>,
}

impl<'a> Piece<'a> {
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

    /// Applies the writes up to the first that is refused.
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

    /// The submission takes effect: slot by slot, its records settle and directories that have become
    /// too full double.
    fn settle(&mut self) {
        for (slot, _) in slots_of(self.update.writes, self.range.clone()) {
            let mut cells = write(&self.shared.slots[slot].cells);
            cells.settle();
            if cells.resize(self.update.version) {
                self.resized.push(slot);
            }
        }
    }

    /// Puts back what was changed. Since the fold does not depend on history, restoring the leaves
    /// restores every digest.
    fn roll_back(&mut self) {
        for (slot, _) in slots_of(self.update.writes, self.range.clone()) {
            write(&self.shared.slots[slot].cells).roll_back(self.update.version);
        }
        self.dirty.truncate(self.mark);
    }
}

/// Takes a submission through all its pieces, by threads of a pool if there are several: all of it takes
/// effect, or none and the refusal that comes first in path order is returned.
pub(super) fn drive(pieces: &mut [Piece<'_>], pool: Option<&ThreadPool>) -> Result<(), Refusal> {
    let writes: usize = pieces.iter().map(|piece| piece.range.len()).sum();
    let threads = pieces.len().min(writes / THREAD_WRITES_MIN);
    match pool {
        Some(pool) if threads > 1 => {
            let together = pieces.len().div_ceil(threads);
            pool.install(|| apply(pieces, Some(together)))
        }
        _ => apply(pieces, None),
    }
}

/// By threads of the pool that this runs in, so many pieces together at least; or one piece after the
/// other.
fn apply(pieces: &mut [Piece<'_>], together: Option<usize>) -> Result<(), Refusal> {
    each(pieces, together, Piece::apply);
    match pieces.iter().find_map(|piece| piece.refusal) {
        None => {
            each(pieces, together, Piece::settle);
            Ok(())
        }
        Some(refusal) => {
            each(pieces, together, Piece::roll_back);
            Err(refusal)
        }
    }
}

fn each<'a>(
    pieces: &mut [Piece<'a>],
    together: Option<usize>,
    work: impl Fn(&mut Piece<'a>) + Send + Sync,
) {
    match together {
        Some(together) => pieces.par_iter_mut().with_min_len(together).for_each(work),
        None => pieces.iter_mut().for_each(work),
    }
}

/// Where the slots of a piece begin, of so many pieces.
fn first_slot(piece: usize, pieces: usize) -> usize {
    piece * WIDTH / pieces
}

/// The piece that a slot belongs to.
pub(super) fn piece_of(slot: usize, pieces: usize) -> usize {
    ((slot + 1) * pieces - 1) / WIDTH
}

/// The writes of each piece.
pub(super) fn bounds(writes: &[Write], pieces: usize) -> impl Iterator<Item = Range<usize>> {
    let start = move |piece: usize| {
        let first = first_slot(piece, pieces);
        writes.partition_point(|write| slot_of(&write.key_hash) < first)
    };
    (0..pieces).map(move |piece| start(piece)..start(piece + 1))
}

/// Some of the sorted writes by slot.
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
        for pieces in 1..=WIDTH {
            for piece in 0..pieces {
                let slots = first_slot(piece, pieces)..first_slot(piece + 1, pieces);
                assert!(!slots.is_empty());
                assert!(
                    slots
                        .into_iter()
                        .all(|slot| piece_of(slot, pieces) == piece)
                );
            }
            assert_eq!(first_slot(pieces, pieces), WIDTH);
        }
    }
}
