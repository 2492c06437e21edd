//! A decision: what was seen, what was changed, and why. As data, for the ring, files and reports.

use serde::{Deserialize, Serialize};

/// What the live mix of operations looks like.
///
/// ```
/// assert_eq!(trunkline::control::Phase::default(), trunkline::control::Phase::Idle);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Too little to tell.
    #[default]
    Idle,
    /// Mostly reads and proofs.
    ReadHeavy,
    /// Mostly puts and deletes.
    WriteHeavy,
    /// Both.
    Mixed,
}

/// What a decision changed, or reports.
///
/// ```
/// use trunkline::control::Change;
/// let change = Change::GroupOperationsMax { from: 20_000, to: 24_000 };
/// assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"what":"group_operations_max","from":20000,"to":24000}"#);
/// assert_eq!(change.to_string(), "group.operations_max 20000 → 24000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// Operations after which a group is sealed.
    GroupOperationsMax {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// Operations that may be accepted and not yet durable.
    InFlightOperationsMax {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// Pieces that a stage's work is cut into.
    Pieces {
        /// Which work.
        work: Work,
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// Bytes of the shared budget that the cache of values may take; the tree has the rest.
    ValueCacheBytes {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// Parts of the key space that are kept in memory because they are touched most.
    HotPrefixes {
        /// The first 14 bits of the paths, hottest first.
        prefixes: Vec<u16>,
    },
    /// Another phase was recognised.
    Phase {
        /// Before.
        from: Phase,
        /// Now.
        to: Phase,
    },
    /// A setting was reloaded.
    Setting {
        /// Section and key.
        key: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// A reloading was refused; everything stayed as it was.
    ReloadRefused {
        /// What is wrong, and where.
        message: String,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GroupOperationsMax { from, to } => {
                write!(formatter, "group.operations_max {from} → {to}")
            }
            Self::InFlightOperationsMax { from, to } => {
                write!(formatter, "submit.in_flight_operations_max {from} → {to}")
            }
            Self::Pieces { work, from, to } => {
                write!(formatter, "workers.{}_pieces {from} → {to}", work.name())
            }
            Self::ValueCacheBytes { from, to } => {
                write!(formatter, "cache.value_bytes_max {from} → {to}")
            }
            Self::HotPrefixes { prefixes } => {
                write!(formatter, "{} hot prefixes {prefixes:04x?}", prefixes.len())
            }
            Self::Phase { from, to } => write!(formatter, "phase {} → {}", from.name(), to.name()),
            Self::Setting { key, from, to } => write!(formatter, "{key} {from} → {to}"),
            Self::ReloadRefused { message } => write!(formatter, "reloading refused ({message})"),
        }
    }
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Idle, Self::ReadHeavy, Self::WriteHeavy, Self::Mixed];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ReadHeavy => "read-heavy",
            Self::WriteHeavy => "write-heavy",
            Self::Mixed => "mixed",
        }
    }
}

impl Work {
    /// Its name in keys of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Hash => "hash",
            Self::Proof => "proof",
        }
    }
}

/// Work that is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Applying a group to the tree.
    Tree,
    /// Folding digests.
    Hash,
    /// Proofs and reads of many keys.
    Proof,
}

/// Why.
///
/// ```
/// use trunkline::control::Reason;
/// assert_eq!(Reason::RoomBelowTarget.to_string(), "groups are full and the latency is below its target");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Groups hit the cap, and the latency leaves room.
    RoomBelowTarget,
    /// The latency of what was sealed under this cap is above its target.
    AboveTarget,
    /// The latency is above its target since work queues before it is sealed: smaller groups would make it worse.
    Saturated,
    /// The last change did not help, so it is taken back.
    NoGain,
    /// The last change helped, and another one like it is tried.
    Gain,
    /// A change is tried, to see whether it helps.
    Probe,
    /// A cache would gain more from the bytes than another one loses.
    MarginalHits,
    /// Other parts of the key space are touched most now.
    Skew,
    /// The mix of reads and writes changed.
    Mix,
    /// The configuration file changed, or the service asked for it.
    Reloaded,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::RoomBelowTarget => "groups are full and the latency is below its target",
            Self::AboveTarget => "the latency is above its target",
            Self::Saturated => {
                "work queues before it is sealed; smaller groups would make it worse"
            }
            Self::NoGain => "the last change did not help",
            Self::Gain => "the last change helped",
            Self::Probe => "trying whether it helps",
            Self::MarginalHits => "the bytes save more reads there",
            Self::Skew => "other parts of the key space are touched most",
            Self::Mix => "the mix of reads and writes changed",
            Self::Reloaded => "the configuration was reloaded",
        })
    }
}

/// The figures that a decision was made from: those of its window.
///
/// ```
/// assert_eq!(trunkline::control::Seen::default().durable_p99_us, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// 99th percentile of the latency from acceptance to durability, microseconds.
    pub durable_p99_us: u64,
    /// What it should be, microseconds.
    pub target_p99_us: u64,
    /// Samples that the percentile is taken from.
    pub samples: u64,
    /// Operations made durable, a second.
    pub operations_per_second: u64,
    /// Groups that were sealed because they were full, among a thousand.
    pub full_per_mille: u64,
    /// Time that the busiest stage worked, of a thousand.
    pub busiest_per_mille: u64,
}

/// One decision.
///
/// ```
/// use trunkline::control::{Change, Decision, Reason, Seen};
/// let decision = Decision {
///     number: 1,
///     at_us: 1_500_000,
///     window_us: 500_000,
///     change: Change::GroupOperationsMax { from: 20_000, to: 24_000 },
///     reason: Reason::RoomBelowTarget,
///     seen: Seen::default(),
/// };
/// let line = serde_json::to_string(&decision).unwrap();
/// assert_eq!(serde_json::from_str::<Decision>(&line).unwrap(), decision);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Counts from 1 since the engine was opened.
    pub number: u64,
    /// When the window ended, microseconds since the engine was opened.
    pub at_us: u64,
    /// How long the window was, microseconds.
    pub window_us: u64,
    /// What was changed.
    pub change: Change,
    /// Why.
    pub reason: Reason,
    /// What was seen.
    pub seen: Seen,
}
