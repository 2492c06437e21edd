//! Measures the cost of openings: all 128 of a version, one by one or by FK20; one, computed or moved from the version
//! before; and a proof of one key, made or taken from a map.
//!
//! Times are processor time of the thread, and alternatives run in turns, so that a busy machine slows all of them
//! alike.

use trunkline_testkit::fixture::{batches, keys};

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use ark_bls12_381::{G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Zero;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rustix::time::{ClockId, clock_gettime};
use trunkline::core::proof::Proof;
use trunkline::{Config, Engine, TopKind};
use trunkline_core::kzg::{Committer, Fr, G1Bytes, Setup, Slot, SlotChange, encode_g1};
use trunkline_core::params::{TreeParams, WIDTH};

use trunkline_testkit::fixture::slots::{changes, values};

fn main() {
    // `cargo test --benches` only checks that it runs.
    let is_test = std::env::args().all(|argument| argument != "--bench");
    let rounds = if is_test { 1 } else { 9 };
    let setup = Setup::ceremony().expect("the embedded setup");
    let committer = Committer::new(&setup);
    all_openings(&setup, &committer, rounds);
    moved_openings(&committer, 11 * rounds);
    proofs_of_one_key(if is_test { 1 } else { 20_001 });
}

fn all_openings(setup: &Setup, committer: &Committer, rounds: usize) {
    let fk20 = Fk20::new(setup);
    let mut times = [const { Vec::new() }; 4];
    for round in 0..rounds {
        let values = values(round as u64);
        let [alone, whole, transforms, products] = &mut times;
        let one_by_one: Vec<G1Bytes> = timed(alone, || {
            Slot::all()
                .map(|slot| committer.open(&values, slot))
                .collect()
        });
        let at_once = timed(whole, || fk20.open_all(&values));
        assert_eq!(one_by_one, at_once);
        let columns = timed(products, || fk20.products(&values));
        timed(transforms, || fk20.transform_back(columns));
    }
    let [alone, whole, transforms, products] = times.map(median);
    println!("all 128 openings of a version, {rounds} rounds in turns, medians:");
    println!("  one by one {alone:?}, FK20 {whole:?}");
    println!("  of FK20: 256 products {products:?}, two transforms of points {transforms:?}");
}

/// All openings on the domain at once (Feist and Khovratovich, ePrint 2023/033, section 2): the quotient's
/// commitment at z is Σ_l z^l·H_l with H_l = Σ_k p_(l+1+k)·[τ^k], a correlation of coefficients and powers,
/// so that two transforms of points give all of them.
struct Fk20 {
    small: Radix2EvaluationDomain<Fr>,
    large: Radix2EvaluationDomain<Fr>,
    /// The transform of the powers of τ, in reverse order around 0.
    powers: Vec<G1Affine>,
}

impl Fk20 {
    fn new(setup: &Setup) -> Self {
        let small = Radix2EvaluationDomain::new(WIDTH).expect("a power of two");
        let large = Radix2EvaluationDomain::<Fr>::new(2 * WIDTH).expect("a power of two");
        let lagrange = setup.lagrange().iter().map(|point| point.into_group());
        let powers: Vec<G1Projective> = small.fft(&lagrange.collect::<Vec<_>>());
        let mut reversed = vec![G1Projective::zero(); 2 * WIDTH];
        for (exponent, power) in powers.into_iter().enumerate() {
            reversed[(2 * WIDTH - exponent) % (2 * WIDTH)] = power;
        }
        Self {
            small,
            large,
            powers: G1Projective::normalize_batch(&large.fft(&reversed)),
        }
    }

    fn open_all(&self, values: &[Fr; WIDTH]) -> Vec<G1Bytes> {
        let openings = self.transform_back(self.products(values));
        let points = G1Projective::normalize_batch(&openings);
        points
            .iter()
            .map(|point| G1Bytes(encode_g1(point)))
            .collect()
    }

    fn products(&self, values: &[Fr; WIDTH]) -> Vec<G1Projective> {
        let coefficients = self.small.ifft(values);
        let scalars = self.large.fft(&coefficients);
        let pairs = self.powers.iter().zip(scalars);
        pairs.map(|(power, scalar)| *power * scalar).collect()
    }

    fn transform_back(&self, products: Vec<G1Projective>) -> Vec<G1Projective> {
        let correlation = self.large.ifft(&products);
        self.small.fft(&correlation[1..WIDTH])
    }
}

fn moved_openings(committer: &Committer, rounds: usize) {
    println!("one opening, {rounds} rounds in turns, medians:");
    let opened = [("another slot's", WIDTH - 1), ("its own among them", 0)];
    for count in [1, 2, 4, 8, 16, 32, 64, 96, 112, 127] {
        let mut times = [const { Vec::new() }; 3];
        for round in 0..rounds {
            let (old, new) = (values(round as u64), values(1_000 + round as u64));
            let changes = changes(&old, &new, count);
            let values = apply(&old, &changes);
            for (which, (_, slot)) in opened.iter().enumerate() {
                let slot = Slot::new(*slot).expect("a slot");
                let before = committer.open_point(&old, slot);
                let moved = timed(&mut times[which], || {
                    committer.update_opening(&before, &changes, slot).to_bytes()
                });
                let fresh = timed(&mut times[2], || committer.open(&values, slot));
                assert_eq!(moved, fresh);
            }
        }
        let [others, own, fresh] = times.map(median);
        println!(
            "  {count} changed: {} {others:?}, {} {own:?}, computed {fresh:?}",
            opened[0].0, opened[1].0
        );
    }
}

fn apply(old: &[Fr; WIDTH], changes: &[SlotChange]) -> [Fr; WIDTH] {
    let mut values = *old;
    for change in changes {
        values[change.slot.index()] = change.new;
    }
    values
}

/// Compares a proof made from a tree in memory, with its opening kept, with the same proof taken from a map.
fn proofs_of_one_key(rounds: usize) {
    const KEYS: u64 = 10_000;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let engine = Engine::open_blocking(Config::in_directory(directory.path()));
    let engine = engine.expect("an empty directory");
    let filled = engine.submit_blocking(batches::batch(KEYS, KEYS, 0));
    let durable = filled.expect("an open engine").durable_blocking();
    durable.expect("a disk that works");
    let snapshot = engine.snapshot();
    let params = TreeParams::default();
    for (top, name) in [(TopKind::Hash, "hash"), (TopKind::Kzg, "KZG")] {
        let kept: HashMap<[u8; 32], Proof> = (0..KEYS.min(rounds as u64 + 1))
            .map(|key| {
                let key = keys::key(key);
                let proof = snapshot.prove([&key], top).expect("a proof");
                (params.key_hash(key.as_ref()), proof)
            })
            .collect();
        let mut times = [const { Vec::new() }; 3];
        for round in 0..rounds {
            let key = keys::key((round as u64 * 7_919) % kept.len() as u64);
            let made = timed(&mut times[0], || {
                snapshot.prove([&key], top).expect("a proof")
            });
            let found = timed(&mut times[1], || {
                kept[&params.key_hash(key.as_ref())].clone()
            });
            assert_eq!(made, found);
            timed(&mut times[2], || {
                made.encode().expect("a proof of this build")
            });
        }
        let [made, found, encoded] = times.map(median);
        println!(
            "a proof of one key, {name} top, {rounds} rounds in turns, medians: made {made:?}, found {found:?}, encoded {encoded:?}"
        );
    }
    drop(snapshot);
    engine.shutdown_blocking().expect("an orderly end");
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = thread_time();
    let result = black_box(work());
    times.push(thread_time() - start);
    result
}

/// Returns the processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(time.tv_sec.unsigned_abs());
    whole + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
