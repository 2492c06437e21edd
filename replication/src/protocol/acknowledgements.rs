//! Computes which versions are `replicated`, and which are `followed(k)`.

use std::collections::BTreeMap;

/// Counts the acknowledgements of the carrier and the replicas.
///
/// ```
/// use trunkline_replication::protocol::Acknowledgements;
/// let mut acknowledgements = Acknowledgements::new(["a", "b"].map(String::from));
/// acknowledgements.followed_by("a", 7);
/// acknowledgements.followed_by("b", 5);
/// acknowledgements.followed_by("stranger", 9);
/// assert_eq!(acknowledgements.followed(1), 7);
/// assert_eq!(acknowledgements.followed(2), 5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Acknowledgements {
    replicated: u64,
    versions: BTreeMap<String, u64>,
}

impl Acknowledgements {
    /// Counts only the replicas with these names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            replicated: 0,
            versions: names.into_iter().map(|name| (name, 0)).collect(),
        }
    }

    /// Returns the names of the replicas.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str)
    }

    /// Returns each replica with the last version that it is known to have synced, or 0.
    pub fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        let versions = self.versions.iter();
        versions.map(|(name, version)| (name.as_str(), *version))
    }

    /// Notes that the carrier has stored all versions up to this one.
    pub fn replicated_to(&mut self, version: u64) {
        self.replicated = self.replicated.max(version);
    }

    /// Notes that a replica has synced all versions of the primary's own chain up to this one. Returns whether that is
    /// new.
    pub fn followed_by(&mut self, name: &str, version: u64) -> bool {
        match self.versions.get_mut(name) {
            Some(synced) if *synced < version => {
                *synced = version;
                true
            }
            _ => false,
        }
    }

    /// Returns the last version that a replica has synced, or 0.
    pub fn synced(&self, name: &str) -> u64 {
        self.versions.get(name).copied().unwrap_or(0)
    }

    /// Returns the last version that the carrier has stored.
    pub fn replicated(&self) -> u64 {
        self.replicated
    }

    /// Returns the last version that `k` replicas have synced. For 0 that is the highest possible version.
    pub fn followed(&self, k: usize) -> u64 {
        let mut versions: Vec<u64> = self.versions.values().copied().collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        match k {
            0 => u64::MAX,
            _ => versions.get(k - 1).copied().unwrap_or(0),
        }
    }
}
