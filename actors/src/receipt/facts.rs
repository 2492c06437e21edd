//! The states that a submission reaches, and the facts that are known in each.

use trunkline_core::hash::Digest;
use trunkline_core::outcome::Outcome;

use crate::failure::EngineFailure;
use crate::metrics::State as Reached;

/// The durability of a version when it was acknowledged. `durability.mode` of the configuration sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The version was synced first: it survives a power loss.
    Sync,
    /// The version was handed to the operating system, which survives the end of the process. It is synced after
    /// `durability.interval_ms`, or as soon afterwards as the disk allows. A power loss may lose the versions since the
    /// last sync.
    Interval,
    /// The version was handed to the operating system, which survives the end of the process, and is written to the
    /// disk when the system chooses.
    Os,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
            Self::Os => "os",
        })
    }
}

/// A submission that is part of a version with digests.
///
/// ```
/// use trunkline::{Batch, Requirement};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let mut create = Batch::new();
/// create.require("alice", Requirement::Absent).put("alice", "10");
/// let first = engine.submit_blocking(create.clone())?.hashed_blocking()?;
/// let second = engine.submit_blocking(create)?.hashed_blocking()?;
/// // Both are part of a version; the second was refused, since the key is there already.
/// assert!(first.outcome.is_applied() && !second.outcome.is_applied());
/// assert!(first.version <= second.version);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The version that the submission is part of.
    pub version: u64,
    /// Commit id of the version.
    pub commit_id: Digest,
    /// Digest of the whole state at the version.
    pub state_digest: Digest,
    /// The outcome of the submission: applied or refused.
    pub outcome: Outcome,
}

/// A KZG root that covers a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootReady {
    /// The version of the root: that of the submission, or a later one if its root was skipped (commit mode
    /// `coalesce`).
    pub version: u64,
    /// The KZG commitment to the slots of that version.
    pub kzg_root: [u8; 48],
}

/// A submission that is as durable as the configuration requires. It survives a restart of the process;
/// [`Self::durability`] says whether it also survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The version that the submission is part of.
    pub version: u64,
    /// Commit id of the version.
    pub commit_id: Digest,
    /// Digest of the whole state at the version.
    pub state_digest: Digest,
    /// KZG root of the version, if it was computed by then. A repeat ([`is_repeat`](crate::receipt::Receipt::is_repeat)) of a submission whose version
    /// is no longer kept has none; [`root_ready`](crate::receipt::Receipt::root_ready) returns one that covers it.
    pub kzg_root: Option<[u8; 48]>,
    /// The outcome of the submission: applied or refused.
    pub outcome: Outcome,
    /// The durability of the version.
    pub durability: Durability,
}

/// The facts about the submissions of one version that are known so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) version: Option<VersionFacts>,
    pub(super) root_ready: Option<RootReady>,
    pub(super) durable: Option<DurableFacts>,
    pub(super) failed: Option<EngineFailure>,
    /// The facts that someone is waiting for, or has waited for.
    pub(super) awaited: [bool; Reached::COUNT],
}

/// The facts that are known once a version has digests.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionFacts {
    pub(super) number: u64,
    pub(super) commit_id: Digest,
    pub(super) state_digest: Digest,
}

/// The facts that are known once a version is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurableFacts {
    pub(super) kzg_root: Option<[u8; 48]>,
    pub(super) durability: Durability,
}

impl Facts {
    pub(super) fn hashed(&self, outcome: Outcome) -> Option<Hashed> {
        let version = self.version?;
        Some(Hashed {
            version: version.number,
            commit_id: version.commit_id,
            state_digest: version.state_digest,
            outcome,
        })
    }

    pub(super) fn durable(&self, outcome: Outcome) -> Option<Durable> {
        let (version, durable) = (self.version?, self.durable?);
        Some(Durable {
            version: version.number,
            commit_id: version.commit_id,
            state_digest: version.state_digest,
            kzg_root: durable.kzg_root,
            outcome,
            durability: durable.durability,
        })
    }
}
