//! The content of a file, and the effect of a crash on it.

use std::ops::Range;

use super::random::SplitMix64;

/// The bytes that a disk writes at once. A torn write ends at a multiple of this, or anywhere.
const SECTOR_BYTES: usize = 512;

/// A file, independent of its names.
pub(super) type FileNumber = u64;

#[derive(Default)]
pub(super) struct FileState {
    pub(super) content: Vec<u8>,
    /// The writes that may be lost, in order. Other ranges are durable.
    pub(super) unsynced: Vec<Unsynced>,
}

pub(super) struct Unsynced {
    range: Range<usize>,
    /// The former bytes; empty if the file ended at the range's start.
    before: Vec<u8>,
    /// True if a failed sync included the write: no later sync makes it durable.
    pub(super) abandoned: bool,
}

impl FileState {
    /// Returns a durable copy.
    pub(super) fn copy(&self) -> Self {
        Self {
            content: self.content.clone(),
            unsynced: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        let over = self.content.len().saturating_sub(start).min(bytes.len());
        let (over, behind) = bytes.split_at(over);
        let before = self.content[start..start + over.len()].to_vec();
        self.content[start..start + over.len()].copy_from_slice(over);
        self.note(start..start + over.len(), before);
        let end = self.content.len();
        self.content.extend_from_slice(behind);
        self.note(end..end + behind.len(), Vec::new());
    }

    fn note(&mut self, range: Range<usize>, before: Vec<u8>) {
        if range.is_empty() {
            return;
        }
        self.unsynced.push(Unsynced {
            range,
            before,
            abandoned: false,
        });
    }

    /// Makes all writes durable that no failed sync included. Removes the overwritten parts of the others.
    pub(super) fn synced(&mut self) {
        let (abandoned, synced): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|unsynced| unsynced.abandoned);
        self.unsynced = abandoned;
        for Unsynced { range, .. } in synced {
            let left = std::mem::take(&mut self.unsynced);
            self.unsynced = left.into_iter().flat_map(|u| u.without(&range)).collect();
        }
    }

    /// Keeps, tears, holes or drops all unsynced writes; the file ends at the last kept byte, or later in zeros.
    pub(super) fn crash(&mut self, random: &mut SplitMix64) {
        let (over, behind): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|unsynced| !unsynced.before.is_empty());
        for Unsynced { range, before, .. } in over {
            tear(&mut self.content, range, &before, random);
        }
        let Some(first) = behind.first() else {
            return;
        };
        let mut length = first.range.start;
        let last_end = self.content.len();
        let mut durable_from = length;
        for Unsynced { range, .. } in behind {
            if durable_from < range.start {
                length = range.start;
            }
            durable_from = range.end;
            if let Some(kept_end) = tear(&mut self.content, range, &[], random) {
                length = kept_end;
            }
        }
        if durable_from < last_end {
            length = last_end;
        }
        if random.below(4) == 0 {
            length += random.below((last_end - length) as u64 + 1) as usize;
        }
        self.content.truncate(length);
    }
}

impl Unsynced {
    /// Returns the parts of the write on both sides of a range.
    fn without(&self, range: &Range<usize>) -> impl Iterator<Item = Self> + use<> {
        let Range { start, end } = self.range;
        let sides = [start..range.start.min(end), range.end.max(start)..end];
        sides.map(|side| self.part(side)).into_iter().flatten()
    }

    fn part(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start;
        let before = |range: &Range<usize>| self.before.get(range.start - start..range.end - start);
        (!range.is_empty()).then(|| Self {
            before: before(&range).unwrap_or_default().to_vec(),
            range,
            abandoned: self.abandoned,
        })
    }
}

/// Decides on one unsynced write. Lost bytes become the former ones, or zeros. Returns the end of the kept bytes.
fn tear(
    content: &mut [u8],
    range: Range<usize>,
    before: &[u8],
    random: &mut SplitMix64,
) -> Option<usize> {
    let Range { start, end } = range;
    let bytes = (end - start) as u64;
    let kept_end = match random.below(5) {
        0 => start,
        1 => end,
        2 => start + random.below(bytes + 1) as usize,
        3 => {
            let torn = start + random.below(bytes + 1) as usize;
            (torn - torn % SECTOR_BYTES).max(start)
        }
        _ => return hole(content, start..end, before, random),
    };
    lose(content, kept_end..end, start, before);
    (kept_end > start).then_some(kept_end)
}

/// Keeps or loses each sector.
fn hole(
    content: &mut [u8],
    range: Range<usize>,
    before: &[u8],
    random: &mut SplitMix64,
) -> Option<usize> {
    let mut kept_end = None;
    let mut start = range.start;
    while start < range.end {
        let end = (start - start % SECTOR_BYTES + SECTOR_BYTES).min(range.end);
        if random.coin() {
            kept_end = Some(end);
        } else {
            lose(content, start..end, range.start, before);
        }
        start = end;
    }
    kept_end
}

/// Restores the former bytes, or zeros, in a part of a write that began at `start`.
fn lose(content: &mut [u8], lost: Range<usize>, start: usize, before: &[u8]) {
    match before.get(lost.start - start..lost.end - start) {
        Some(before) => content[lost].copy_from_slice(before),
        None => content[lost].fill(0),
    }
}
