//! Hot prefixes, sampled from reads.

use std::cell::RefCell;

use trunkline::Engine;
use trunkline::core::tree::hot_prefix_of;
use trunkline::decisions::{Change, Decision, Evidence, Reason};
use trunkline_testkit::random::Random;

use crate::support::{Rig, puts, submit, until, without_hanging};

const KEYS: u64 = 4000;

fn prefix(engine: &Engine, key: u64) -> u16 {
    hot_prefix_of(&engine.params().key_hash(&key.to_le_bytes()))
}

fn listed(engine: &Engine) -> Option<(Decision, Vec<u16>)> {
    let decisions = engine.decisions_since(0).into_iter();
    let mut lists = decisions.filter_map(|decision| match &decision.change {
        Change::HotPrefixes { prefixes } => Some((decision.clone(), prefixes.clone())),
        _ => None,
    });
    lists.next_back()
}

#[test]
fn hot_prefixes_are_named_from_what_is_read() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            // Long enough for many samples (one read in 32), even on slow machines.
            config.control.window_ms = 250;
            config.memory.budget_bytes = 1 << 20;
        });
        let engine = rig.open();
        submit(
            &engine,
            puts((0..KEYS).map(|key| (key.to_le_bytes(), key.to_le_bytes()))),
        );
        let hot = prefix(&engine, 0);
        // One present key, and one that may be absent.
        let other = (KEYS..).find(|key| prefix(&engine, *key) == hot);
        let hot_keys = [0, other.unwrap()];

        let random = RefCell::new(Random(1));
        let read = || {
            let mut random = random.borrow_mut();
            let key = match random.below(4) {
                0 => random.below(KEYS),
                _ => hot_keys[random.below(2) as usize],
            };
            let value = engine.get(&key.to_le_bytes()).unwrap();
            let expected = (key < KEYS).then(|| key.to_le_bytes().to_vec().into());
            assert_eq!(value, expected);
        };
        until(|| {
            (0..256).for_each(|_| read());
            listed(&engine).is_some()
        });
        let (decision, prefixes) = listed(&engine).unwrap();
        assert_eq!(prefixes.first(), Some(&hot), "{decision:?}");
        assert_eq!(decision.reason, Reason::Skew);
        let evidence = decision.seen.evidence;
        assert!(
            matches!(evidence, Some(Evidence::Touched { samples, listed }) if 0 < listed && listed <= samples)
        );
    });
}

#[test]
fn nothing_is_hot_where_all_is_in_memory() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.control.window_ms = 10);
        let engine = rig.open();
        submit(&engine, puts([("key", "value")]));
        until(|| {
            (0..256).for_each(|_| assert!(engine.contains(b"key").unwrap()));
            engine.windows_since(20).last().is_some()
        });
        assert!(listed(&engine).is_none());
    });
}
