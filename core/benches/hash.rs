//! Hashing: pairs of digests, as many at a time as the machine has lanes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trunkline_core::hash::{INNER, Pair};

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

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = pairs
}
criterion_main!(benches);
