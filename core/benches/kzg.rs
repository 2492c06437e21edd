//! Commitments, updates and openings; and the same commitment by blst, alternating in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use blst::{
    BLST_ERROR, blst_p1, blst_p1_affine, blst_p1_compress, blst_p1_uncompress, blst_p1s_mult_wbits,
    blst_p1s_mult_wbits_precompute, blst_p1s_mult_wbits_precompute_sizeof,
    blst_p1s_mult_wbits_scratch_sizeof,
};
use criterion::{Criterion, criterion_group, criterion_main};
use trunkline_core::kzg::{
    CommitmentPoint, Committer, Fr, Opening, Setup, Slot, Tables, encode_g1, encode_scalar,
    slot_point, verify_opening, verify_openings,
};
use trunkline_core::params::WIDTH;
use trunkline_testkit::fixture::slots::{changes, values};

fn commit(criterion: &mut Criterion) {
    let committer = committer();
    let (old, new) = (values(1), values(2));
    criterion.bench_function("kzg::commit/slots=128", |b| {
        b.iter(|| committer.commit(black_box(&new)));
    });
    let mut blst = Blst::with_tables(&setup());
    let scalars = little_endian(&new);
    criterion.bench_function("kzg::commit/slots=128,by=blst", |b| {
        b.iter(|| blst.commit(black_box(&scalars)));
    });
    let point = committer.commit(&old);
    for count in [1, 8, 32, 64, 128] {
        let changes = changes(&old, &new, count);
        criterion.bench_function(&format!("kzg::update/slots={count}"), |b| {
            b.iter(|| committer.update(&point, black_box(&changes)));
        });
    }
}

fn open(criterion: &mut Criterion) {
    let committer = committer();
    let values = values(3);
    let slot = Slot::all().nth(5).expect("128 slots");
    criterion.bench_function("kzg::open/slots=1", |b| {
        b.iter(|| committer.open(black_box(&values), slot));
    });
}

fn verify(criterion: &mut Criterion) {
    let committer = committer();
    let values = values(4);
    let commitment = committer.commit(&values).to_bytes();
    let openings: Vec<Opening> = Slot::all()
        .take(100)
        .map(|slot| Opening {
            commitment,
            z: slot_point(slot),
            y: encode_scalar(&values[slot.index()]),
            proof: committer.open(&values, slot),
        })
        .collect();
    criterion.bench_function("kzg::verify/openings=1", |b| {
        let one = &openings[0];
        b.iter(|| verify_opening(&one.commitment.0, &one.z, &one.y, &one.proof.0));
    });
    criterion.bench_function("kzg::verify/openings=100", |b| {
        b.iter(|| verify_openings(black_box(&openings)));
    });
}

fn tables(criterion: &mut Criterion) {
    let setup = setup();
    criterion.bench_function("kzg::setup/slots=128", |b| b.iter(Setup::ceremony));
    criterion.bench_function("kzg::tables_build/slots=128", |b| {
        b.iter(|| Tables::build(&setup))
    });
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = directory.path().join("tables");
    std::fs::write(&path, Tables::build(&setup).encode()).expect("room for the tables");
    criterion.bench_function("kzg::tables_read/slots=128", |b| {
        b.iter(|| {
            let bytes = std::fs::read(&path).expect("just written");
            Tables::decode(&bytes).expect("as written")
        });
    });
}

/// Makes commitments with both libraries in turns, so that noise of the machine affects both.
fn in_turns(_: &mut Criterion) {
    const ROUNDS: usize = 301;
    let committer = committer();
    let mut blst = Blst::with_tables(&setup());
    let slot = Slot::all().nth(5).expect("128 slots");
    let mut times = [const { Vec::new() }; 4];
    let mut point = CommitmentPoint::IDENTITY;
    let mut old = [Fr::default(); WIDTH];
    for round in 0..ROUNDS {
        let new = values(round as u64);
        let scalars = little_endian(&new);
        let changes = changes(&old, &new, WIDTH);
        let theirs = timed(&mut times[0], || blst.commit(&scalars));
        let ours = timed(&mut times[1], || committer.commit(&new).to_bytes());
        point = timed(&mut times[2], || committer.update(&point, &changes));
        timed(&mut times[3], || committer.open(&new, slot));
        assert_eq!(theirs, ours.0);
        assert_eq!(theirs, point.to_bytes().0);
        old = new;
    }
    let [blst, ours @ ..] = times.map(Figures::of);
    println!("in turns, {ROUNDS} rounds: blst with 12-bit tables {blst:?}");
    for (name, figures) in ["commit", "update", "open"].iter().zip(ours) {
        let best = figures.best.div_duration_f64(blst.best);
        let median = figures.median.div_duration_f64(blst.median);
        println!("  {name}, 128 slots: {figures:?}; {best:.2} and {median:.2} times blst");
    }
}

#[derive(Debug)]
struct Figures {
    best: Duration,
    median: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            best: times[0],
            median: times[times.len() / 2],
        }
    }
}

fn timed<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = black_box(work());
    times.push(start.elapsed());
    result
}

fn setup() -> Setup {
    Setup::ceremony().expect("the embedded setup")
}

fn committer() -> Committer {
    Committer::new(&setup())
}

fn little_endian(values: &[Fr; WIDTH]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 * WIDTH);
    for value in values {
        bytes.extend(encode_scalar(value).iter().rev());
    }
    bytes
}

/// blst's `mult_wbits` over the same points.
struct Blst {
    table: Vec<blst_p1_affine>,
    scratch: Vec<u64>,
}

impl Blst {
    const BITS: usize = 12;

    fn with_tables(setup: &Setup) -> Self {
        let points: Vec<blst_p1_affine> = setup.lagrange().iter().map(Self::point).collect();
        // SAFETY: computes a number.
        let bytes = unsafe { blst_p1s_mult_wbits_precompute_sizeof(Self::BITS, WIDTH) };
        let mut table = vec![blst_p1_affine::default(); bytes / size_of::<blst_p1_affine>()];
        // SAFETY: computes a number.
        let scratch_bytes = unsafe { blst_p1s_mult_wbits_scratch_sizeof(WIDTH) };
        let pointers = [points.as_ptr(), core::ptr::null()];
        // SAFETY: `table` has the size that blst asks for, and a null after the first pointer says
        // that the other of the WIDTH points follow it.
        unsafe {
            let points = pointers.as_ptr();
            blst_p1s_mult_wbits_precompute(table.as_mut_ptr(), Self::BITS, points, WIDTH);
        }
        let scratch = vec![0; scratch_bytes.div_ceil(8)];
        Self { table, scratch }
    }

    fn point(point: &ark_bls12_381::G1Affine) -> blst_p1_affine {
        let mut affine = blst_p1_affine::default();
        let bytes = encode_g1(point);
        // SAFETY: reads 48 bytes, which there are.
        let result = unsafe { blst_p1_uncompress(&mut affine, bytes.as_ptr()) };
        assert_eq!(result, BLST_ERROR::BLST_SUCCESS);
        affine
    }

    /// Returns the commitment to 128 scalars of 32 bytes, little-endian.
    fn commit(&mut self, scalars: &[u8]) -> [u8; 48] {
        assert_eq!(scalars.len(), 32 * WIDTH);
        let pointers = [scalars.as_ptr(), core::ptr::null()];
        let mut sum = blst_p1::default();
        let mut bytes = [0; 48];
        // SAFETY: table and scratch have the sizes that blst asked for, a null after the first
        // pointer says that the other of the WIDTH scalars of 255 bits follow it, and 48 bytes are
        // what a compressed point takes.
        unsafe {
            blst_p1s_mult_wbits(
                &mut sum,
                self.table.as_ptr(),
                Self::BITS,
                WIDTH,
                pointers.as_ptr(),
                255,
                self.scratch.as_mut_ptr(),
            );
            blst_p1_compress(bytes.as_mut_ptr(), &sum);
        }
        bytes
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = in_turns, commit, open, verify, tables
}
criterion_main!(benches);
