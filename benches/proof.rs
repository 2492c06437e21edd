//! Measures proofs of keys: made with and without a kept opening of the slot, and verified.

use trunkline_testkit::fixture::{batches, keys};

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use trunkline::core::proof::{Expected, Proof, verify};
use trunkline::{Config, Engine, TopKind};

const KEYS: u64 = 10_000;

fn engine(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let config = Config::in_directory(directory.path());
    let engine = Engine::open_blocking(config).expect("an empty directory");
    let filled = engine.submit_blocking(batches::batch(KEYS, KEYS, 0));
    let durable = filled.expect("an open engine").durable_blocking();
    durable.expect("a disk that works");
    make(criterion, &engine);
    check(criterion, &engine);
    engine.shutdown_blocking().expect("an orderly end");
}

fn make(criterion: &mut Criterion, engine: &Engine) {
    let snapshot = engine.snapshot();
    for (top, name) in [
        (TopKind::Hash, "hash"),
        (TopKind::Kzg, "kzg,opening=cached"),
    ] {
        criterion.bench_function(&format!("proof::make/keys=1,top={name}"), |b| {
            b.iter(|| snapshot.prove([black_box(keys::key(7))], top));
        });
    }
    // A new version each time: its KZG root is computed, its openings are not.
    let mut number = 0;
    criterion.bench_function("proof::make/keys=1,top=kzg,opening=computed", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                number += 1;
                let put = engine.put_blocking(keys::key(number % KEYS), keys::value(number));
                let durable = put.expect("an open engine").durable_blocking();
                durable.expect("a disk that works");
                let snapshot = engine.snapshot();
                snapshot.kzg_root();
                let start = Instant::now();
                black_box(snapshot.prove([keys::key(7)], TopKind::Kzg)).expect("a proof");
                total += start.elapsed();
            }
            total
        });
    });
}

fn check(criterion: &mut Criterion, engine: &Engine) {
    let snapshot = engine.snapshot();
    let expected = Expected::Root(snapshot.root());
    for (top, name) in [(TopKind::Hash, "hash"), (TopKind::Kzg, "kzg")] {
        for keys in [1, 100] {
            let proof = snapshot.prove((0..keys).map(keys::key), top);
            let proof = proof.expect("a proof");
            criterion.bench_function(&format!("proof::verify/keys={keys},top={name}"), |b| {
                b.iter(|| verify(black_box(&proof), &expected).map(|_| ()));
            });
            let bytes = proof.encode().expect("a proof of this build");
            criterion.bench_function(&format!("proof::decode/keys={keys},top={name}"), |b| {
                b.iter_batched(|| &bytes[..], Proof::decode, BatchSize::SmallInput);
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = engine
}
criterion_main!(benches);
