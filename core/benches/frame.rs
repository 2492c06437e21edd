//! Frames of 10,000 puts of 32-byte keys and values: signing, encoding, decoding, and checking the signature.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkline_core::frame::{Compression, Frame, SecretKey};
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::effect::{Effect, encode_effects};
use trunkline_core::store::log::LogEntry;

const PUTS: u64 = 10_000;

/// Returns effects whose keys and values are decimal numbers.
fn entry() -> LogEntry {
    let params = TreeParams::default();
    let keys: Vec<String> = (0..PUTS).map(|key| format!("{key:032}")).collect();
    let effect = |key: &'static str| Effect {
        key_hash: params.key_hash(key.as_bytes()),
        key: key.as_bytes(),
        change: Some(key.as_bytes()),
    };
    let leaked = keys.into_iter().map(|key| &*key.leak());
    let mut effects: Vec<Effect<'_>> = leaked.map(effect).collect();
    effects.sort_by_key(|effect| effect.key_hash);
    let mut encoded = Vec::new();
    encode_effects(effects.into_iter(), &mut encoded).expect("they are sorted");
    LogEntry {
        record: CommitRecord {
            version: 1,
            ..CommitRecord::genesis(params.tree_id())
        },
        kzg_root: Some([7; 48]),
        outcomes: vec![7; 75].into(),
        effects: encoded.into(),
    }
}

fn frames(criterion: &mut Criterion) {
    let key = SecretKey::generate([7; 32]);
    let (entry, keys) = (entry(), [key.public()]);
    let frame = Frame::sign(entry.clone(), &key);
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(PUTS));
    group.bench_function("sign", |b| {
        b.iter(|| Frame::sign(black_box(&entry).clone(), &key));
    });
    group.bench_function("verify", |b| {
        b.iter(|| black_box(&frame).verify(&keys));
    });
    for compression in [Compression::None, Compression::Lz4] {
        let encode = || frame.encode(compression).expect("it is within all bounds");
        let bytes = Bytes::from(encode());
        let name = |what: &str| format!("{what},{compression:?},{} bytes", bytes.len());
        group.bench_function(name("encode"), |b| b.iter(encode));
        group.bench_function(name("decode"), |b| {
            b.iter(|| Frame::decode(black_box(&bytes)));
        });
        group.bench_function(name("decode and verify"), |b| {
            b.iter(|| Frame::decode(black_box(&bytes)).map(|frame| frame.verify(&keys)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = frames
}
criterion_main!(benches);
