use trunkline::Batch;

use crate::support::{Rig, puts, without_hanging};

#[test]
fn and_lands_in_its_record() {
    without_hanging(|| {
        // Whatever is not pushed on waits for others.
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        let receipts: Vec<_> = [
            None,
            Some("one"),
            None,
            None,
            Some("two"),
            Some("three"),
            None,
        ]
        .into_iter()
        .zip(0..)
        .map(|(metadata, key): (Option<&str>, u32)| {
            let mut batch = puts([(key.to_le_bytes(), "v")]);
            batch.metadata(metadata.unwrap_or_default());
            engine.submit_blocking(batch).unwrap()
        })
        .collect();
        engine.drain_blocking().unwrap();
        let versions: Vec<u64> = receipts
            .iter()
            .map(|receipt| receipt.durable_blocking().unwrap().version)
            .collect();
        assert_eq!(versions, [1, 1, 2, 2, 2, 3, 4]);
        let metadata = |version| {
            let snapshot = engine.snapshot_at(version).unwrap();
            String::from_utf8(snapshot.record().metadata.clone()).unwrap()
        };
        assert_eq!([1, 2, 3, 4].map(metadata), ["one", "two", "three", ""]);
    });
}

#[test]
fn even_without_an_operation() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let mut batch = Batch::new();
        batch.metadata("block 7");
        let (_, durable) = crate::support::submit(&engine, batch);
        assert_eq!(durable.state_digest, [0; 32]);
        engine.shutdown_blocking().unwrap();
        assert_eq!(rig.open().snapshot().record().metadata, b"block 7");
    });
}

/// A batch with metadata does not linger for others that could not join its version anyway.
#[test]
fn at_once() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        let lingering = engine.put_blocking("a", "1").unwrap();
        let mut batch = puts([("b", "1")]);
        batch.metadata("m");
        let (_, durable) = crate::support::submit(&engine, batch);
        assert_eq!(
            lingering.durable_blocking().unwrap().version,
            durable.version
        );
    });
}
