//! The claims of a valid proof, owned, and in their form for C.
//!
//! Claims of other proofs are never exposed.

use trunkline_core::proof::{self, Verified};

/// The kind of a claim about a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// The key has no value.
    TrunklineAbsent = 0,
    /// The key has the value that the claim shows.
    TrunklinePresent = 1,
    /// The key has a value of which the claim shows only the hash.
    TrunklinePresentHash = 2,
}

/// A key with its proven claim. Its pointers are valid until the claims are freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The key, without a terminating zero. Never null.
    pub key: *const u8,
    /// Length of the key.
    pub key_bytes: usize,
    /// The proven claim.
    pub kind: ClaimKind,
    /// The value, without a terminating zero, if the kind is `TRUNKLINE_PRESENT`; otherwise null.
    pub value: *const u8,
    /// Length of the value. A present value may be empty.
    pub value_bytes: usize,
    /// BLAKE3 of the value; zeros if the key is absent.
    pub value_hash: [u8; 32],
}

/// A handle to the claims of a valid proof.
#[derive(Debug)]
pub struct Claims {
    entries: Vec<proof::Entry>,
    /// The value hash of each entry; zeros if the key is absent.
    value_hashes: Vec<[u8; 32]>,
    /// Indices of the entries, ascending by key.
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
