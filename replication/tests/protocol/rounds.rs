//! Seeded rounds, each checked against a model.

use crate::model::Counts;
use crate::world::{Kind, World};

const STEPS: u64 = 250;

fn run(kind: Kind, seeds: std::ops::Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        let round = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, kind);
            (0..STEPS).for_each(|_| world.step());
            world.settle();
            let state = world.describe();
            let check = std::panic::AssertUnwindSafe(|| world.check());
            if let Err(cause) = std::panic::catch_unwind(check) {
                println!("{state}");
                std::panic::resume_unwind(cause);
            }
            world.model.counts
        });
        match round {
            Ok(round) => counts.add(&round),
            Err(_) => panic!("{kind:?}, seed {seed}"),
        }
    }
    println!("{kind:?}: {counts:?}");
    counts
}

#[test]
fn crashes_and_two_primaries_lose_nothing() {
    let counts = run(Kind::Plain, 0..3000);
    assert!(counts.replicated > 10_000 && counts.followed > 1000);
    assert!(counts.promotions > 500 && counts.fenced > 300);
    assert!(counts.refused_takeovers > 100);
}

#[test]
fn forgers_stop_primaries_and_reach_no_replica() {
    let counts = run(Kind::Forging, 0..2000);
    assert!(counts.strays > 1000 && counts.fenced > 300);
    assert!(counts.replicated > 2000);
}

#[test]
fn changed_messages_are_noticed() {
    let counts = run(Kind::Tampering, 0..2000);
    assert!(counts.diverged > 100 && counts.replicated > 5000);
}

#[test]
fn a_carrier_that_loses_its_tail_loses_nothing_that_was_followed() {
    let counts = run(Kind::Losing, 0..2000);
    assert!(counts.losses > 500 && counts.followed > 1000);
    assert!(counts.refused_losses > 100 && counts.diverged > 100);
}

#[test]
fn nor_does_a_directory_that_is_lost_with_it() {
    let counts = run(Kind::Destroying, 0..1000);
    assert!(counts.losses > 200 && counts.followed > 300);
}
