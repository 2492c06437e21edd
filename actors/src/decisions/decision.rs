//! A decision: the measurements on which it is based, the change, and the reason.

use serde::{Deserialize, Serialize};

/// A change that a decision made or reports.
///
/// ```
/// use trunkline_actors::decisions::Change;
/// let change = Change::GroupOperationsMax { from: 20_000, to: 24_000 };
/// assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"what":"group_operations_max","from":20000,"to":24000}"#);
/// assert_eq!(change.to_string(), "group.operations_max 20000 → 24000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// The cap on the operations of a group.
    GroupOperationsMax {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// The limit on operations that are accepted and not yet durable.
    InFlightOperationsMax {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// The number of shards of some work.
    Parallelism {
        /// The work.
        work: Work,
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// The part of a shared memory budget for the value cache, in bytes. The tree has the rest.
    ValueCacheBytes {
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
    /// The most accessed parts of the key space, which stay in memory.
    HotPrefixes {
        /// The first 14 bits of the paths, hottest first.
        prefixes: Vec<u16>,
    },
    /// A setting, changed by a reload.
    Setting {
        /// Section and key.
        key: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// No change: a reload was refused.
    ReloadRefused {
        /// The error, with file, line and key.
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
                write!(
                    formatter,
                    "workers.{}_parallelism {from} → {to}",
                    work.name()
                )
            }
            Self::ValueCacheBytes { from, to } => {
                write!(formatter, "cache.value_bytes_max {from} → {to}")
            }
            Self::HotPrefixes { prefixes } => {
                write!(formatter, "{} hot prefixes {prefixes:04x?}", prefixes.len())
            }
            Self::Setting { key, from, to } => write!(formatter, "{key} {from} → {to}"),
            Self::ReloadRefused { message } => write!(formatter, "reload refused ({message})"),
        }
    }
}

impl Work {
    /// Returns the name of the work in configuration keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Hash => "hash",
            Self::Proof => "proof",
        }
    }
}

/// Work that is divided into shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Applying a group to the tree.
    Tree,
    /// Computing the digests of a version.
    Hash,
    /// Proving or reading many keys.
    Proof,
}

/// The reason for a decision.
///
/// ```
/// use trunkline_actors::decisions::Reason;
/// assert_eq!(Reason::RoomBelowTarget.to_string(), "groups are full and the latency is below its target");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Groups reach the cap and the latency is below its target, so larger groups are tried.
    RoomBelowTarget,
    /// The latency of groups sealed under this cap is above its target.
    AboveTarget,
    /// The latency is above its target because submissions wait to be sealed. Smaller groups would make it worse, so
    /// larger ones are tried.
    Saturated,
    /// More operations are in flight than become durable within the target, so fewer are admitted.
    TooManyInFlight,
    /// The latency has been below its target for a while, so more operations are admitted.
    RoomForMore,
    /// The last change did not help and is undone.
    NoGain,
    /// The load or another setting changed during a trial, so the trial has no result and is undone.
    BrokenOff,
    /// The last change helped, so a similar one is tried.
    Gain,
    /// A change is tried.
    Probe,
    /// Few other groups are in the pipeline, so the work on groups is divided among the free cores.
    CoresFree,
    /// Other groups keep more of the cores busy than before.
    CoresBusy,
    /// One side of a shared budget gains more from the bytes than the other loses.
    MarginalHits,
    /// The most accessed parts of the key space have changed.
    Skew,
    /// The configuration was reloaded, from its file or by the service.
    Reloaded,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::RoomBelowTarget => "groups are full and the latency is below its target",
            Self::AboveTarget => "the latency is above its target",
            Self::Saturated => {
                "submissions wait to be sealed, and smaller groups would make it worse"
            }
            Self::TooManyInFlight => {
                "more operations are in flight than become durable within the target"
            }
            Self::RoomForMore => "the latency allows more operations in flight",
            Self::BrokenOff => "the load or another setting changed during the trial",
            Self::NoGain => "the last change did not help",
            Self::Gain => "the last change helped",
            Self::Probe => "a trial",
            Self::CoresFree => "few groups are in flight, and cores are free",
            Self::CoresBusy => "other groups in flight keep the cores busy",
            Self::MarginalHits => "the bytes save more reads on the other side",
            Self::Skew => "other parts of the key space are accessed most",
            Self::Reloaded => "the configuration was reloaded",
        })
    }
}

/// Measurements of a controller, in addition to those that every decision has.
///
/// ```
/// use trunkline_actors::decisions::Evidence;
/// let evidence = Evidence::Touched { samples: 900, listed: 450 };
/// assert_eq!(serde_json::to_string(&evidence).unwrap(), r#"{"of":"touched","samples":900,"listed":450}"#);
/// assert_eq!(evidence.to_string(), "450 of 900 samples");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// A trial: the one that is undone, or the one that was kept before this decision.
    Trial {
        /// Durable operations per second without the change.
        rate_before: u64,
        /// Durable operations per second with the change.
        rate_after: u64,
        /// 99th percentile of the latency without the change, microseconds.
        p99_before_us: u64,
        /// 99th percentile of the latency with the change, microseconds.
        p99_after_us: u64,
    },
    /// Operations in flight.
    InFlight {
        /// Operations in flight on average, by Little's law.
        operations: u64,
        /// Durable operations per second over the observed windows.
        rate: u64,
        /// 99th percentile of the latency over these windows, microseconds.
        p99_us: u64,
    },
    /// A trial of another number of shards. Rates are durable operations per second, or proven keys per second for
    /// proofs.
    Parallelism {
        /// Rate before or after the trial, whichever is greater.
        rate_without: u64,
        /// Rate with the other number of shards.
        rate_with: u64,
    },
    /// Reads of the leaf store that each side of a shared budget would have saved.
    Bytes {
        /// Reads that a larger value cache would have saved.
        near_misses: u64,
        /// Bytes by which the value cache would have to be larger.
        near_bytes: u64,
        /// Pages that were read back.
        pages_restored: u64,
        /// Limit on the bytes of the tree.
        tree_bytes: u64,
    },
    /// Samples of the accessed keys. Older samples count less.
    Touched {
        /// Samples in the whole key space.
        samples: u64,
        /// Samples that certainly have a prefix of the list.
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
                pages_restored,
                tree_bytes,
            } => write!(
                formatter,
                "{near_misses} near misses in {near_bytes} bytes, {pages_restored} pages restored in {tree_bytes}"
            ),
            Self::Touched { samples, listed } => {
                write!(formatter, "{listed} of {samples} samples")
            }
        }
    }
}

/// A change that a controller proposes.
///
/// ```
/// use trunkline_actors::decisions::{Change, Move, Reason};
/// let wanted = Move::new(Change::GroupOperationsMax { from: 20_000, to: 40_000 }, Reason::Probe);
/// assert_eq!(wanted.evidence, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The change.
    pub change: Change,
    /// The reason.
    pub reason: Reason,
    /// Measurements in addition to those of the window.
    pub evidence: Option<Evidence>,
}

impl Move {
    /// Creates a move that needs only the measurements of the window.
    pub fn new(change: Change, reason: Reason) -> Self {
        Self {
            change,
            reason,
            evidence: None,
        }
    }

    /// Adds the measurements on which the move is based.
    pub fn judged_by(self, evidence: Evidence) -> Self {
        Self {
            evidence: Some(evidence),
            ..self
        }
    }
}

/// The measurements on which a decision is based.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// 99th percentile of the latency from acceptance to durability, microseconds.
    pub durable_p99_us: u64,
    /// Target of this percentile, microseconds.
    pub target_p99_us: u64,
    /// Number of submissions in the percentile.
    pub samples: u64,
    /// Durable operations per second.
    pub operations_per_second: u64,
    /// Groups that a cap of operations or bytes closed, per mille of all groups.
    pub full_per_mille: u64,
    /// Share of the time that the busiest stage worked, per mille.
    pub busiest_per_mille: u64,
    /// Measurements of the controller, if any.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Number of the decision, counted from 1 since the engine was opened.
    pub number: u64,
    /// Time at which the decision had taken effect, microseconds since the engine was opened.
    pub at_us: u64,
    /// Length of the window on which it is based, in microseconds.
    pub window_us: u64,
    /// The change.
    pub change: Change,
    /// The reason.
    pub reason: Reason,
    /// The measurements.
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
                pages_restored: 3,
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
