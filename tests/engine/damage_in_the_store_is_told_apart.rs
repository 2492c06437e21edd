use trunkline::ReadError;
use trunkline::core::store::leaves::{LeafChange, LeafStore};

use crate::support::{Rig, checkpoint, put, without_hanging};

#[test]
fn from_a_store_that_may_answer_later() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 4096;
            config.versions.retain_versions = 1;
        });
        let engine = rig.open();
        put(&engine, "key", "value");
        checkpoint(&engine);
        let gone = LeafChange {
            key_hash: engine.params().key_hash(b"key"),
            leaf: None,
        };
        rig.leaves.ingest(&mut [gone].into_iter()).unwrap();
        // From the next checkpoint on the engine looks into the store as it is now.
        checkpoint(&engine);
        for read in [
            engine.get(b"key"),
            engine.get_durable(b"key"),
            engine.multi_get(&["key"]).map(|mut found| found.remove(0)),
        ] {
            let error = read.unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
            assert!(!error.retry_can_help());
            assert!(error.to_string().ends_with("from a copy"), "{error}");
        }
        let walked: Result<Vec<_>, _> = engine.snapshot().iter().collect();
        assert!(matches!(walked, Err(ReadError::Damaged(_))));
        assert!(engine.get(b"after").unwrap().is_some());
    });
}
