//! Windows and spans.

use std::collections::BTreeMap;

use trunkline::decisions::Window;
use trunkline::{Engine, Stage};

use crate::support::{Rig, puts, submit, until, without_hanging};

fn many(from: u32, operations: u32) -> trunkline::Batch {
    puts((from..from + operations).map(|key| (key.to_le_bytes(), "v")))
}

fn sum(windows: &[Window], figure: impl Fn(&Window) -> u64) -> u64 {
    windows.iter().map(figure).sum()
}

/// Returns all windows, once they contain this many operations.
fn windows_with(engine: &Engine, operations: u64) -> Vec<Window> {
    let all = || engine.windows_since(0);
    until(|| sum(&all(), |window| window.operations_durable) == operations);
    all()
}

#[test]
fn windows_add_up_to_what_was_done() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.control.window_ms = 10);
        let engine = rig.open();
        for round in 0..20 {
            submit(&engine, many(round * 10, 10));
            engine.get(&round.to_le_bytes()).unwrap();
        }
        engine
            .snapshot()
            .prove([0u32.to_le_bytes()], trunkline::TopKind::Hash)
            .unwrap();
        until(|| sum(&engine.windows_since(0), |window| window.proofs) == 1);
        // A stage reports its work only after it has passed the result on.
        for stage in Stage::ALL {
            let served = |window: &Window| window.stages[stage as usize].served;
            until(|| sum(&engine.windows_since(0), served) >= 20);
        }
        let windows = windows_with(&engine, 200);

        assert_eq!(sum(&windows, |window| window.submissions), 20);
        assert_eq!(sum(&windows, |window| window.operations_accepted), 200);
        assert_eq!(sum(&windows, |window| window.groups), 20);
        assert_eq!(sum(&windows, |window| window.groups_full), 0);
        assert_eq!(sum(&windows, |window| window.durable_us.count), 20);
        assert_eq!(
            sum(&windows, |window| window.durable_under_cap_us.count),
            20
        );
        assert_eq!(sum(&windows, |window| window.reads), 21);
        for stage in Stage::ALL {
            let served = sum(&windows, |window| window.stages[stage as usize].served);
            assert_eq!(served, 20, "{stage}");
        }
        for pair in windows.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1);
            assert_eq!(pair[1].ended_us - pair[0].ended_us, pair[1].length_us);
        }
        let last = windows.len() as u64;
        assert!(
            engine
                .windows_since(last)
                .iter()
                .all(|window| window.number > last)
        );
    });
}

#[test]
fn a_group_that_the_cap_closed_is_told_from_others() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.control.window_ms = 10;
            config.control.mode = trunkline::config::ControlMode::Fixed;
            config.group.operations_max = 10;
        });
        let engine = rig.open();
        submit(&engine, many(0, 10));
        submit(&engine, many(0, 9));
        let windows = windows_with(&engine, 19);
        assert_eq!(sum(&windows, |window| window.groups_full), 1);
    });
}

#[test]
fn every_version_passes_the_five_stages_in_order() {
    let rig = Rig::new();
    let engine = rig.open();
    let before = engine.uptime_us();
    for round in 0..5 {
        submit(&engine, many(round, 3));
    }
    // A stage reports its work only after it has passed the result on.
    until(|| engine.spans_since(before).len() == 5 * Stage::ALL.len());
    let mut versions: BTreeMap<u64, Vec<trunkline::Span>> = BTreeMap::new();
    for span in engine.spans_since(before) {
        versions.entry(span.version).or_default().push(span);
    }
    assert_eq!(
        versions.keys().copied().collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    for spans in versions.values_mut() {
        spans.sort_by_key(|span| (span.begun_us, span.stage as usize));
        assert_eq!(
            spans.iter().map(|span| span.stage).collect::<Vec<_>>(),
            Stage::ALL
        );
        assert!(
            spans.iter().all(|span| span.begun_us <= span.ended_us
                && span.operations == 3
                && span.bytes > 0)
        );
    }
    assert!(engine.spans_since(engine.uptime_us() + 1).is_empty());
    let (all, place) = engine.spans_from(0);
    assert_eq!((all.len(), place), (5 * Stage::ALL.len(), 25));
    assert_eq!(engine.spans_from(20), (all[20..].to_vec(), place));
    assert_eq!(engine.spans_from(place), (Vec::new(), place));
}
