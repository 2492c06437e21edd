//! Scenarios of the parts of the key space that are touched, kept as data like those of the pipeline.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use trunkline_actors::adaptive::HotPrefixes;
use trunkline_actors::decisions::Change;

use crate::scenario::files;

const SEEDS: u64 = 20;
/// The number of possible prefixes.
const PREFIXES: u16 = 1 << 14;

/// One scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkewScenario {
    /// The subject of the scenario, for readers of a failure.
    about: String,
    hot_prefixes_max: usize,
    skew: Vec<Skew>,
}

/// The prefixes touched from a window on, and the list expected until the next one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Skew {
    windows: usize,
    /// Samples of a window.
    samples: u32,
    /// The share of the samples that falls evenly on the hot prefixes; the others fall anywhere.
    share: f64,
    /// The hot prefixes, in ascending order.
    hot: Vec<u16>,
    /// The most windows until the list contains exactly the hot prefixes. It does not change after that.
    listed_within: usize,
}

impl Skew {
    fn sample(&self, random: &mut SmallRng) -> u16 {
        let hot = random.random::<f64>() < self.share;
        match hot {
            true => self.hot[random.random_range(0..self.hot.len())],
            false => random.random_range(0..PREFIXES),
        }
    }
}

#[test]
fn hot_prefixes_are_named_and_replaced() {
    let scenarios: Vec<(String, SkewScenario)> = files(|table| table.contains_key("skew"));
    assert!(!scenarios.is_empty());
    for (name, scenario) in scenarios {
        for seed in 1..=SEEDS {
            judge(&name, &scenario, seed);
        }
    }
}

fn judge(name: &str, scenario: &SkewScenario, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut controller = HotPrefixes::new(scenario.hot_prefixes_max);
    let mut listed = Vec::new();
    for (at, skew) in scenario.skew.iter().enumerate() {
        let mut changed = 0;
        for window in 1..=skew.windows {
            controller.touch((0..skew.samples).map(|_| skew.sample(&mut random)));
            let told = controller.decide().map(|told| told.change);
            if let Some(Change::HotPrefixes { mut prefixes }) = told {
                prefixes.sort_unstable();
                (listed, changed) = (prefixes, window);
            }
        }
        println!("{name} seed {seed} skew {at}: listed after {changed} windows");
        let about = &scenario.about;
        assert_eq!(
            listed, skew.hot,
            "{name} ({about}), seed {seed}, skew {at}: what is listed in the end"
        );
        assert!(
            changed <= skew.listed_within,
            "{name} ({about}), seed {seed}, skew {at}: the list changed in window {changed}"
        );
    }
}
