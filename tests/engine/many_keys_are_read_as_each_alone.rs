//! `multi_get` answers for each key what `get` does, in the order asked for, whatever is in memory.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use trunkline::Batch;

use crate::support::{Rig, without_hanging};

#[test]
fn in_any_order_and_more_than_once() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let mut batch = Batch::new();
        for key in 0..500_u32 {
            batch.put(key.to_be_bytes(), format!("first {key}"));
        }
        let receipt = engine.submit_blocking(batch).unwrap();
        receipt.durable_blocking().unwrap();
        let before = engine.snapshot();
        let mut batch = Batch::new();
        for key in (0..500_u32).step_by(3) {
            batch.put(key.to_be_bytes(), format!("second {key}"));
            batch.delete((key + 1).to_be_bytes());
        }
        engine.submit_blocking(batch).unwrap();

        let mut random = SmallRng::seed_from_u64(5);
        // The last ones in shards.
        for count in [0, 1, 15, 16, 17, 700, 1_024, 2_500] {
            let keys: Vec<_> = (0..count)
                .map(|_| random.random_range(0..600_u32).to_be_bytes())
                .collect();
            let present = keys.iter().map(|key| engine.get(key).unwrap());
            assert_eq!(
                engine.multi_get(&keys).unwrap(),
                present.collect::<Vec<_>>()
            );
            let held = keys.iter().map(|key| before.get(key).unwrap());
            assert_eq!(before.multi_get(&keys).unwrap(), held.collect::<Vec<_>>());
        }
    });
}
