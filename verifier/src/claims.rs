//! The claims of a proof that holds, owned, and as C sees them.
//!
//! Not here: claims of any other proof.

use trunkline_core::proof::{self, Verified};

/// The claim about a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// It has no value.
    TrunklineAbsent = 0,
    /// It has the value that the claim shows.
    TrunklinePresent = 1,
    /// It has a value of which the claim shows the hash alone.
    TrunklinePresentHash = 2,
}

/// A key and what is proven of it. What it points to lives until the claims are freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The key, not terminated. Never null.
    pub key: *const u8,
    /// Its length.
    pub key_bytes: usize,
    /// The proven claim.
    pub kind: ClaimKind,
    /// The value, not terminated, if the kind is `TRUNKLINE_PRESENT`; else null.
    pub value: *const u8,
    /// Its length. A present value may be empty.
    pub value_bytes: usize,
    /// BLAKE3 of the value; zeros if the key is absent.
    pub value_hash: [u8; 32],
}

/// The claims of a proof that holds: a handle.
#[derive(Debug)]
pub struct Claims {
    entries: Vec<proof::Entry>,
    /// Of each entry; zeros if it is absent.
    value_hashes: Vec<[u8; 32]>,
    /// Numbers of entries, ascending by key.
    by_key: Vec<usize>,
    version: Option<u64>,
}

impl Claims {
    pub(crate) fn of(verified: &Verified<'_>) -> Self {
        let entries = verified.entries.to_vec();
        let mut by_key: Vec<usize> = (0..entries.len()).collect();
        by_key.sort_unstable_by_key(|&index| &entries[index].key);
        let value_hash = |entry: &proof::Entry| entry.claim.value_hash().unwrap_or_default();
        Self {
            value_hashes: entries.iter().map(value_hash).collect(),
            by_key,
            entries,
            version: verified.trusted_version,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Claim> {
        let (entry, value_hash) = (self.entries.get(index)?, self.value_hashes.get(index)?);
        Some(shown(entry, value_hash))
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<Claim> {
        let key_of = |index: &usize| &self.entries[*index].key[..];
        let place = self.by_key.binary_search_by_key(&key, key_of).ok()?;
        self.get(self.by_key[place])
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.version
    }
}

fn shown(entry: &proof::Entry, value_hash: &[u8; 32]) -> Claim {
    let (kind, value) = match &entry.claim {
        proof::Claim::Absent => (ClaimKind::TrunklineAbsent, None),
        proof::Claim::Present(value) => (ClaimKind::TrunklinePresent, Some(value)),
        proof::Claim::PresentHash(_) => (ClaimKind::TrunklinePresentHash, None),
    };
    Claim {
        key: entry.key.as_ptr(),
        key_bytes: entry.key.len(),
        kind,
        value: value.map_or(std::ptr::null(), |value| value.as_ptr()),
        value_bytes: value.map_or(0, Vec::len),
        value_hash: *value_hash,
    }
}
