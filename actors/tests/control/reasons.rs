//! Whatever is decided in a scenario, its reason fits what was done, and shows what it was judged by.

use std::collections::HashSet;

use trunkline_actors::adaptive::Proposal;
use trunkline_actors::decisions::{Change, Evidence, Reason};

use crate::scenario::scenarios;
use crate::verdict::controlled;

#[test]
fn reasons_say_what_was_done() {
    let mut told = HashSet::new();
    for (name, scenario) in scenarios() {
        controlled(&scenario, 1, &mut |proposal| {
            assert!(agrees(proposal), "{name}: {proposal:?}");
            told.insert(proposal.reason);
        });
    }
    for reason in [
        Reason::RoomBelowTarget,
        Reason::TooManyInFlight,
        Reason::RoomForMore,
        Reason::Probe,
        Reason::NoGain,
    ] {
        assert!(told.contains(&reason), "no scenario has {reason:?}");
    }
}

fn agrees(proposal: &Proposal) -> bool {
    let (of_groups, from, to) = match proposal.change {
        Change::GroupOperationsMax { from, to } => (true, from, to),
        Change::InFlightOperationsMax { from, to } => (false, from, to),
        _ => return true,
    };
    let rises = to > from;
    let evidence = proposal.seen.evidence;
    match proposal.reason {
        Reason::RoomBelowTarget | Reason::Saturated => of_groups && rises,
        Reason::AboveTarget => of_groups && !rises,
        Reason::Probe => of_groups,
        Reason::NoGain => matches!(evidence, Some(Evidence::Trial { .. })),
        Reason::TooManyInFlight => !rises && matches!(evidence, Some(Evidence::InFlight { .. })),
        Reason::RoomForMore => rises && matches!(evidence, Some(Evidence::InFlight { .. })),
        _ => false,
    }
}
