use trunkline::{Batch, Engine, Requirement};

use crate::support::{Rig, without_hanging};

const CALLERS: u64 = 4;
const INCREMENTS: u64 = 50;

/// Reads, adds one, requires that nobody was faster; says whether it took effect.
fn increment(engine: &Engine, key: &str) -> bool {
    let found = engine.get(key.as_bytes()).unwrap();
    let (count, requirement) = match &found {
        None => (0, Requirement::Absent),
        Some(value) => (
            u64::from_le_bytes(value[..].try_into().unwrap()),
            Requirement::value(value),
        ),
    };
    let mut batch = Batch::new();
    batch.require(key, requirement);
    batch.put(key, (count + 1).to_le_bytes());
    let receipt = engine.submit_blocking(batch).unwrap();
    receipt.hashed_blocking().unwrap().outcome.is_applied()
}

#[test]
fn of_many_callers_at_once() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let engine = engine.clone();
                std::thread::spawn(move || {
                    for round in 0..INCREMENTS {
                        let key = format!("counter {}", (caller + round) % 2);
                        while !increment(&engine, &key) {}
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        engine.shutdown_blocking().unwrap();
        let engine = rig.open();
        let sum: u64 = engine
            .snapshot()
            .iter()
            .map(|pair| u64::from_le_bytes(pair.unwrap().1[..].try_into().unwrap()))
            .sum();
        assert_eq!(sum, CALLERS * INCREMENTS);
    });
}

/// Writes of a batch with requirements are shown once they have taken effect, not before.
#[test]
fn and_nobody_sees_what_may_yet_be_refused() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        engine.put_blocking("a", "1").unwrap();
        engine.drain_blocking().unwrap();
        let mut batch = Batch::new();
        batch.require("a", Requirement::value(b"1")).put("a", "2");
        let receipt = engine.submit_blocking(batch).unwrap();
        assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        engine.drain_blocking().unwrap();
        assert!(receipt.hashed_blocking().unwrap().outcome.is_applied());
        assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    });
}
