//! Hashing of pairs of digests, and of keys shorter than a block, as many at a time as the machine has lanes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trunkline_core::hash::{Digest, INNER, Pair, ZERO};
use trunkline_core::params::TreeParams;

fn pairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash::pairs");
    let mut digests = Vec::new();
    for count in [1, 2, 4, 8, 16, 128, 1024] {
        let pairs: Vec<Pair> = (0..count).map(|pair| [pair as u8; 64]).collect();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(format!("count={count}")), |b| {
            b.iter(|| INNER.hash_pairs(black_box(&pairs), &mut digests));
        });
    }
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let params = TreeParams::default();
    let mut group = criterion.benchmark_group("hash::keys");
    for bytes in [8, 32, 60] {
        let keys: Vec<Vec<u8>> = (0..1024).map(|key| vec![key as u8; bytes]).collect();
        let keys = || black_box(&keys).iter().map(Vec::as_slice);
        group.throughput(Throughput::Elements(1024));
        group.bench_function(format!("bytes={bytes},one by one"), |b| {
            b.iter(|| {
                keys()
                    .map(|key| params.key_hash(key))
                    .collect::<Vec<Digest>>()
            });
        });
        group.bench_function(format!("bytes={bytes},many at once"), |b| {
            let mut key_hashes = vec![ZERO; 1024];
            b.iter(|| params.hash_keys(keys(), black_box(&mut key_hashes)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = pairs, keys
}
criterion_main!(benches);
