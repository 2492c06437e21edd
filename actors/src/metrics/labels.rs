//! Labels of decisions: one of a few names each, whatever is decided.

use crate::decisions::{Change, Reason, Work};

/// What a decision changed, as a label: one of a few names, whatever the change holds.
pub(super) fn changed(change: &Change) -> &'static str {
    match change {
        Change::GroupOperationsMax { .. } => "group_operations_max",
        Change::InFlightOperationsMax { .. } => "in_flight_operations_max",
        Change::Parallelism { work, .. } => match work {
            Work::Tree => "tree_parallelism",
            Work::Hash => "hash_parallelism",
            Work::Proof => "proof_parallelism",
        },
        Change::ValueCacheBytes { .. } => "value_cache_bytes",
        Change::HotPrefixes { .. } => "hot_prefixes",
        Change::Setting { .. } => "setting",
        Change::ReloadRefused { .. } => "reload_refused",
    }
}

/// Why, as a label: the name that files of decisions have for it.
pub(super) fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::RoomBelowTarget => "room_below_target",
        Reason::AboveTarget => "above_target",
        Reason::Saturated => "saturated",
        Reason::TooManyInFlight => "too_many_in_flight",
        Reason::RoomForMore => "room_for_more",
        Reason::NoGain => "no_gain",
        Reason::BrokenOff => "broken_off",
        Reason::Gain => "gain",
        Reason::Probe => "probe",
        Reason::MarginalHits => "marginal_hits",
        Reason::Skew => "skew",
        Reason::Reloaded => "reloaded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_labelled_as_files_name_it() {
        let all = [
            Reason::RoomBelowTarget,
            Reason::AboveTarget,
            Reason::Saturated,
            Reason::TooManyInFlight,
            Reason::RoomForMore,
            Reason::NoGain,
            Reason::BrokenOff,
            Reason::Gain,
            Reason::Probe,
            Reason::MarginalHits,
            Reason::Skew,
            Reason::Reloaded,
        ];
        for reason in all {
            assert_eq!(serde_json::to_value(reason).unwrap(), because(reason));
        }
    }
}
