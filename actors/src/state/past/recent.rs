//! Versions that memory no longer keeps, and no checkpoint has stored.

use std::collections::VecDeque;

use trunkline_core::store::past::{PastDigest, PastVersion};
use trunkline_core::tree::{ReplacedDigests, TreeReader};

/// The bytes of a version without its metadata, its outcomes and its digests.
const VERSION_BYTES: usize = size_of::<PastVersion>() + size_of::<ReplacedDigests>();

/// Versions in order, and the digests that they replaced.
#[derive(Debug)]
pub struct Recent {
    versions: VecDeque<PastVersion>,
    /// The digests that versions up to `captured` replaced, in ascending order.
    replaced: VecDeque<ReplacedDigests>,
    /// The tree may have forgotten the digests that versions up to this one replaced.
    captured: u64,
    bytes: usize,
}

impl Recent {
    /// Begins after a version, whose own replaced digests are not wanted.
    pub fn after(version: u64) -> Self {
        Self {
            versions: VecDeque::new(),
            replaced: VecDeque::new(),
            captured: version,
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next version.
    pub fn push(&mut self, version: PastVersion) {
        self.bytes += version_bytes(&version);
        self.versions.push_back(version);
    }

    /// Takes the digests that versions up to `oldest` replaced out of the tree, before it forgets them.
    pub fn capture(&mut self, reader: &TreeReader, oldest: u64) {
        if oldest <= self.captured {
            return;
        }
        for replaced in reader.replaced(self.captured + 1..=oldest) {
            self.bytes += replaced_bytes(&replaced);
            self.replaced.push_back(replaced);
        }
        self.captured = oldest;
    }

    /// Returns the version from which on the tree has all digests that were replaced.
    pub(super) fn captured(&self) -> u64 {
        self.captured
    }

    pub(super) fn get(&self, number: u64) -> Option<PastVersion> {
        let first = self.versions.front()?.record.version;
        let place = number.checked_sub(first)?;
        self.versions.get(usize::try_from(place).ok()?).cloned()
    }

    /// Returns the first version after these.
    pub(super) fn end(&self) -> u64 {
        let last = self.versions.back();
        last.map_or(0, |last| last.record.version + 1)
    }

    /// Returns the captured digests that versions after one replaced, the oldest first.
    pub(super) fn replaced_after(&self, version: u64) -> impl Iterator<Item = &ReplacedDigests> {
        let start = self
            .replaced
            .partition_point(|replaced| replaced.version <= version);
        self.replaced.range(start..)
    }

    /// Forgets the versions before one.
    pub(super) fn forget_before(&mut self, version: u64) {
        while let Some(first) = self.versions.front()
            && first.record.version < version
        {
            self.bytes -= version_bytes(first);
            self.versions.pop_front();
        }
        while let Some(first) = self.replaced.front()
            && first.version < version
        {
            self.bytes -= replaced_bytes(first);
            self.replaced.pop_front();
        }
    }
}

fn version_bytes(version: &PastVersion) -> usize {
    let outcomes = version.submissions.as_ref();
    VERSION_BYTES + version.record.metadata.len() + outcomes.map_or(0, |kept| kept.outcomes.len())
}

fn replaced_bytes(replaced: &ReplacedDigests) -> usize {
    replaced.tops.capacity() * size_of::<(u8, PastDigest)>()
        + replaced.nodes.capacity() * size_of::<(u8, u8, PastDigest)>()
}
