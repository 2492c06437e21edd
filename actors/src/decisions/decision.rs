//! A decision: what was seen, what was changed, and why.

use serde::{Deserialize, Serialize};

/// What a decision changed, or reports.
///
/// ```
/// use trunkline_actors::decisions::Change;
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
    /// Shards that a stage's work is cut into.
    Parallelism {
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
            Self::Parallelism { work, from, to } => {
                write!(formatter, "workers.{}_shards {from} → {to}", work.name())
            }
            Self::ValueCacheBytes { from, to } => {
                write!(formatter, "cache.value_bytes_max {from} → {to}")
            }
            Self::HotPrefixes { prefixes } => {
                write!(formatter, "{} hot prefixes {prefixes:04x?}", prefixes.len())
            }
            Self::Setting { key, from, to } => write!(formatter, "{key} {from} → {to}"),
            Self::ReloadRefused { message } => write!(formatter, "reloading refused ({message})"),
        }
    }
}

impl Work {
    /// Returns its name in keys of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Hash => "hash",
            Self::Proof => "proof",
        }
    }
}

/// Work that is cut into shards.
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
/// use trunkline_actors::decisions::Reason;
/// assert_eq!(Reason::RoomBelowTarget.to_string(), "groups are full and the latency is below its target");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Groups hit the cap, and the latency leaves room: larger ones are tried.
    RoomBelowTarget,
    /// The latency of what was sealed under this cap is above its target.
    AboveTarget,
    /// The latency is above its target since work queues before it is sealed: smaller groups would make it worse, so
    /// larger ones are tried.
    Saturated,
    /// More is in flight than is done within the target: fewer operations are let in, in groups that still overlap.
    TooManyInFlight,
    /// The latency has left room for a while: more operations are let in, in groups to match.
    RoomForMore,
    /// The last change did not help, so it is taken back.
    NoGain,
    /// The load or another setting moved while a change was tried, so that nothing can be said of it: it is taken
    /// back.
    BrokenOff,
    /// The last change helped, and another one like it is tried.
    Gain,
    /// A change is tried, to see whether it helps.
    Probe,
    /// A cache would gain more from the bytes than another one loses.
    MarginalHits,
    /// Other parts of the key space are touched most now.
    Skew,
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
            Self::TooManyInFlight => "more is in flight than is done within the target",
            Self::RoomForMore => "the latency leaves room for more in flight",
            Self::BrokenOff => "something else moved while it was tried",
            Self::NoGain => "the last change did not help",
            Self::Gain => "the last change helped",
            Self::Probe => "trying whether it helps",
            Self::MarginalHits => "the bytes save more reads there",
            Self::Skew => "other parts of the key space are touched most",
            Self::Reloaded => "the configuration was reloaded",
        })
    }
}

/// What a controller judged by, in addition to the figures that every decision shows.
///
/// ```
/// use trunkline_actors::decisions::Evidence;
/// let evidence = Evidence::Touched { samples: 900, listed: 450 };
/// assert_eq!(serde_json::to_string(&evidence).unwrap(), r#"{"of":"touched","samples":900,"listed":450}"#);
/// assert_eq!(evidence.to_string(), "450 of 900 samples");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// A change that was tried and judged: the one that is taken back, or the one that was kept before this one.
    Trial {
        /// Operations made durable, a second, before.
        rate_before: u64,
        /// The same with the change.
        rate_after: u64,
        /// 99th percentile of the latency before, microseconds.
        p99_before_us: u64,
        /// The same with the change.
        p99_after_us: u64,
    },
    /// What is in flight, against what should be.
    InFlight {
        /// Operations in flight, on average (Little's law).
        operations: u64,
        /// Operations made durable, a second, over the windows that were judged.
        rate: u64,
        /// 99th percentile of the latency over them, microseconds.
        p99_us: u64,
    },
    /// Shards that were tried: operations made durable a second, or keys proven where it is the shards of proofs.
    Parallelism {
        /// The better one of before and after.
        rate_without: u64,
        /// With the other number of shards.
        rate_with: u64,
    },
    /// Reads of the store that each side of a shared budget would have saved.
    Bytes {
        /// Reads that more room for values would have saved.
        near_misses: u64,
        /// How much more room that is, bytes.
        near_bytes: u64,
        /// Cells of leaves that were read again.
        cells_restored: u64,
        /// Bytes that the tree may take.
        tree_bytes: u64,
    },
    /// Samples of what is touched; what is longer ago counts less.
    Touched {
        /// All over the key space.
        samples: u64,
        /// Those that surely fell on the prefixes of the list.
        listed: u64,
    },
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trial {
                rate_before,
                rate_after,
                p99_before_us,
                p99_after_us,
            } => write!(
                formatter,
                "{rate_before} → {rate_after} operations/s, p99 {p99_before_us} → {p99_after_us} µs"
            ),
            Self::InFlight {
                operations,
                rate,
                p99_us,
            } => write!(
                formatter,
                "{operations} in flight at {rate} operations/s, p99 {p99_us} µs"
            ),
            Self::Parallelism {
                rate_without,
                rate_with,
            } => write!(
                formatter,
                "{rate_without} without it, {rate_with} with it, a second"
            ),
            Self::Bytes {
                near_misses,
                near_bytes,
                cells_restored,
                tree_bytes,
            } => write!(
                formatter,
                "{near_misses} near misses in {near_bytes} bytes, {cells_restored} cells restored in {tree_bytes}"
            ),
            Self::Touched { samples, listed } => {
                write!(formatter, "{listed} of {samples} samples")
            }
        }
    }
}

/// What a controller wants changed.
///
/// ```
/// use trunkline_actors::decisions::{Change, Move, Reason};
/// let wanted = Move::new(Change::GroupOperationsMax { from: 20_000, to: 40_000 }, Reason::Probe);
/// assert_eq!(wanted.evidence, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What to change.
    pub change: Change,
    /// Why.
    pub reason: Reason,
    /// What it was judged by, beside the window's figures.
    pub evidence: Option<Evidence>,
}

impl Move {
    /// Of the window's figures alone.
    pub fn new(change: Change, reason: Reason) -> Self {
        Self {
            change,
            reason,
            evidence: None,
        }
    }

    /// The same, with what it was judged by.
    pub fn judged_by(self, evidence: Evidence) -> Self {
        Self {
            evidence: Some(evidence),
            ..self
        }
    }
}

/// The figures that a decision was made from: those of its window, and what its controller judged by beside them.
///
/// ```
/// assert_eq!(trunkline_actors::decisions::Seen::default().durable_p99_us, 0);
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
    /// Groups that were closed by a cap, of operations or of bytes, among a thousand.
    pub full_per_mille: u64,
    /// Time that the busiest stage worked, of a thousand.
    pub busiest_per_mille: u64,
    /// What else the change was judged by, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// One decision.
///
/// ```
/// use trunkline_actors::decisions::{Change, Decision, Reason, Seen};
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
    /// When it was recorded, microseconds since the engine was opened: right after it was carried out, which is after
    /// the end of the window that it was made from.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_evidence_is_read_and_written_without_it() {
        let line = r#"{"number":1,"at_us":2,"window_us":3,"change":{"what":"group_operations_max","from":4,"to":5},"reason":"saturated","seen":{"durable_p99_us":6,"target_p99_us":7,"samples":8,"operations_per_second":9,"full_per_mille":10,"busiest_per_mille":11}}"#;
        let decision: Decision = serde_json::from_str(line).unwrap();
        assert_eq!(decision.seen.evidence, None);
        assert_eq!(serde_json::to_string(&decision).unwrap(), line);
    }

    #[test]
    fn evidence_is_read_as_it_was_written() {
        let all = [
            Evidence::Trial {
                rate_before: 1,
                rate_after: 2,
                p99_before_us: 3,
                p99_after_us: u64::MAX,
            },
            Evidence::InFlight {
                operations: 1,
                rate: 2,
                p99_us: 3,
            },
            Evidence::Parallelism {
                rate_without: 1,
                rate_with: 2,
            },
            Evidence::Bytes {
                near_misses: 1,
                near_bytes: 2,
                cells_restored: 3,
                tree_bytes: 4,
            },
            Evidence::Touched {
                samples: 2,
                listed: 1,
            },
        ];
        for evidence in all {
            let seen = Seen {
                evidence: Some(evidence),
                ..Seen::default()
            };
            let text = serde_json::to_string(&seen).unwrap();
            assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), seen);
        }
    }
}
