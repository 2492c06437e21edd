use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use trunkline::SubmitError;

use crate::support::{Rig, puts, without_hanging};

#[test]
fn by_dropping_the_receipt() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        for round in 0..50 {
            drop(engine.put_blocking(format!("{round}"), "v").unwrap());
        }
        engine.shutdown_blocking().unwrap();
        assert_eq!(rig.open().snapshot().key_count(), 50);
    });
}

#[test]
fn by_dropping_the_engine() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let receipts: Vec<_> = (0..50)
            .map(|round| engine.put_blocking(format!("{round}"), "v").unwrap())
            .collect();
        drop(engine);
        for receipt in receipts {
            receipt.durable_blocking().unwrap();
        }
        assert_eq!(rig.open().snapshot().key_count(), 50);
    });
}

/// A future that is dropped while it waits for credit leaves its batch unsubmitted and its place in
/// the queue free; a future that was ready has submitted it.
#[test]
fn by_dropping_the_future_of_a_submission() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 2;
            config.submit.in_flight_operations_max = 2;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        {
            let mut accepted = pin!(engine.submit(puts([("a", "1"), ("b", "1")])));
            let mut context = Context::from_waker(Waker::noop());
            assert!(accepted.as_mut().poll(&mut context).is_ready());
            let mut waiting = pin!(engine.submit(puts([("c", "1")])));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert!(matches!(
                engine.try_submit(puts([("d", "1")])),
                Err(SubmitError::Busy)
            ));
        }
        rig.disk.syncs.open();
        let next = engine
            .submit_blocking(puts([("e", "1"), ("f", "1")]))
            .unwrap();
        assert_eq!(next.sequence(), 2);
        next.durable_blocking().unwrap();
        let found = engine.multi_get(&["a", "b", "c", "d", "e"]).unwrap();
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(there, [true, true, false, false, true]);
    });
}

/// Waiting with a future that is dropped does not disturb who waits after it.
#[test]
fn by_dropping_the_future_of_a_receipt() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        let receipt = engine.put_blocking("a", "1").unwrap();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let Poll::Pending = pin!(receipt.durable()).poll(&mut context) else {
                panic!("durable before the disk has synced");
            };
        }
        rig.disk.syncs.open();
        receipt.durable_blocking().unwrap();
    });
}
