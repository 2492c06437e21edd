//! Names of objects. Numbers have a fixed width, so that a listing is sorted by version and shows gaps.

use std::fmt;

use super::{BASES_FOLDER, SEGMENTS_FOLDER};

/// The name of a base: its version, and the open epoch of that version's record.
///
/// ```
/// use trunkline_core::store::archive::BaseName;
/// let name = BaseName { version: 17, open_epoch: 2 };
/// assert_eq!(name.to_string(), "bases/00000000000000000017-0000000002");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseName {
    /// The version.
    pub version: u64,
    /// The open epoch in the record of the version.
    pub open_epoch: u64,
}

/// The name of a part below the name of its base.
///
/// ```
/// use trunkline_core::store::archive::{BaseName, PartName};
/// let base = BaseName { version: 17, open_epoch: 2 };
/// let path = format!("{base}/{}", PartName::Leaves(3));
/// assert_eq!(path, "bases/00000000000000000017-0000000002/leaves-000003");
/// assert_eq!(PartName::parse(&path), Some((base, PartName::Leaves(3))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartName {
    /// Leaves, in the order of their key hashes.
    Leaves(u32),
    /// Commit ids, in the order of their versions.
    CommitIds(u32),
    /// Submissions that are remembered by their idempotency keys, in their order.
    IdempotencyKeys(u32),
    /// The manifest.
    Manifest,
}

/// The name of a segment: its versions and their open epoch.
///
/// ```
/// use trunkline_core::store::archive::SegmentName;
/// let name = SegmentName { first_version: 17, last_version: 40, open_epoch: 2 };
/// let path = name.to_string();
/// assert_eq!(path, "segments/00000000000000000017-00000000000000000040-0000000002");
/// assert_eq!(SegmentName::parse(&path), Some(name));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The first version, from 1.
    pub first_version: u64,
    /// The last version.
    pub last_version: u64,
    /// The open epoch in the records of all versions of the segment.
    pub open_epoch: u64,
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, epoch) = (self.version, self.open_epoch);
        write!(f, "{BASES_FOLDER}/{version:020}-{epoch:010}")
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaves(index) => write!(f, "leaves-{index:06}"),
            Self::CommitIds(index) => write!(f, "commit-ids-{index:06}"),
            Self::IdempotencyKeys(index) => write!(f, "idempotency-keys-{index:06}"),
            Self::Manifest => write!(f, "manifest"),
        }
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last, epoch) = (self.first_version, self.last_version, self.open_epoch);
        write!(f, "{SEGMENTS_FOLDER}/{first:020}-{last:020}-{epoch:010}")
    }
}

impl PartName {
    /// Reads a path below an archive's prefix; `None` if it is not the path of a part of a base.
    pub fn parse(path: &str) -> Option<(BaseName, Self)> {
        let (base, part) = path.rsplit_once('/')?;
        let (version, open_epoch) = base
            .strip_prefix(BASES_FOLDER)?
            .strip_prefix('/')?
            .split_once('-')?;
        let base = BaseName {
            version: version.parse().ok()?,
            open_epoch: open_epoch.parse().ok()?,
        };
        let part = match part.rsplit_once('-') {
            Some(("leaves", index)) => Self::Leaves(index.parse().ok()?),
            Some(("commit-ids", index)) => Self::CommitIds(index.parse().ok()?),
            Some(("idempotency-keys", index)) => Self::IdempotencyKeys(index.parse().ok()?),
            _ => Self::Manifest,
        };
        // Names have only one form.
        (format!("{base}/{part}") == path).then_some((base, part))
    }
}

impl SegmentName {
    /// Reads a path below an archive's prefix; `None` if it is not the path of a segment.
    pub fn parse(path: &str) -> Option<Self> {
        let name = path.strip_prefix(SEGMENTS_FOLDER)?.strip_prefix('/')?;
        let (first_version, rest) = name.split_once('-')?;
        let (last_version, open_epoch) = rest.split_once('-')?;
        let name = Self {
            first_version: first_version.parse().ok()?,
            last_version: last_version.parse().ok()?,
            open_epoch: open_epoch.parse().ok()?,
        };
        let is_range = (1..=name.last_version).contains(&name.first_version);
        (is_range && name.to_string() == path).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_that_is_written_is_read() {
        let base = "bases/00000000000000000017-0000000002";
        for part in [
            "leaves-3",
            "leaves-+00003",
            "Manifest",
            "manifest/",
            "",
            "commit-ids-",
        ] {
            assert_eq!(PartName::parse(&format!("{base}/{part}")), None, "{part}");
        }
        let manifest = PartName::parse(&format!("{base}/manifest"));
        assert_eq!(manifest.map(|(_, part)| part), Some(PartName::Manifest));
        assert_eq!(PartName::parse("bases/17-2/manifest"), None);
        for segment in [
            "segments/00000000000000000000-00000000000000000001-0000000001",
            "segments/00000000000000000002-00000000000000000001-0000000001",
            "segments/1-2-1",
            "segments/00000000000000000001-00000000000000000001",
        ] {
            assert_eq!(SegmentName::parse(segment), None, "{segment}");
        }
    }
}
