use trunkline::{Engine, Receipt};

use crate::support::{Rig, puts, without_hanging};

const ROUNDS: u64 = 200;

fn check(engine: &Engine, caller: u64, receipts: &[Receipt]) {
    let mut last = (0, 0);
    for receipt in receipts {
        let place = (
            receipt.sequence(),
            receipt.durable_blocking().unwrap().version,
        );
        assert!(place.0 > last.0 && place.1 >= last.1);
        last = place;
    }
    let value = engine.get(&caller.to_le_bytes()).unwrap().unwrap();
    assert_eq!(*value, (ROUNDS - 1).to_le_bytes());
}

#[test]
fn on_threads_of_their_own() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let callers: Vec<_> = (0..4_u64)
            .map(|caller| {
                let engine = engine.clone();
                std::thread::spawn(move || {
                    let receipts: Vec<Receipt> = (0..ROUNDS)
                        .map(|round| {
                            let batch = puts([(caller.to_le_bytes(), round.to_le_bytes())]);
                            let receipt = engine.submit_blocking(batch).unwrap();
                            let seen = engine.get(&caller.to_le_bytes()).unwrap().unwrap();
                            assert_eq!(*seen, round.to_le_bytes());
                            receipt
                        })
                        .collect();
                    check(&engine, caller, &receipts);
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        let sequences = engine.snapshot().record().last_sequence;
        assert_eq!(sequences, 4 * ROUNDS);
    });
}

#[test]
fn as_tasks_of_a_runtime_with_little_credit() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 2;
            config.submit.in_flight_operations_max = 3;
        });
        let engine = rig.open();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build();
        let runtime = runtime.unwrap();
        let callers: Vec<_> = (0..4_u64)
            .map(|caller| {
                let engine = engine.clone();
                runtime.spawn(async move {
                    let mut receipts = Vec::new();
                    for round in 0..ROUNDS {
                        let batch = puts([(caller.to_le_bytes(), round.to_le_bytes())]);
                        receipts.push(engine.submit(batch).await.unwrap());
                    }
                    receipts
                })
            })
            .collect();
        for (caller, task) in (0..).zip(callers) {
            check(&engine, caller, &runtime.block_on(task).unwrap());
        }
    });
}

#[test]
fn the_last_write_of_a_batch_wins() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let mut batch = puts([("a", "1"), ("b", "1"), ("a", "2")]);
        batch.delete("b").delete("c").put("c", "3");
        crate::support::submit(&engine, batch);
        let found = engine.multi_get(&["a", "b", "c"]).unwrap();
        assert_eq!(found, [Some("2".into()), None, Some("3".into())]);
    });
}
