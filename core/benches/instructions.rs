//! Counts the instructions of the hot functions with valgrind's callgrind: the result is the same on a noisy machine as
//! on a quiet one.
//!
//! `cargo bench --bench instructions [-- PART OF A NAME] [--check]`. Each case runs in its own process under valgrind,
//! which counts only below [`counted`]. Valgrind has no AVX-512, so hashing is counted with AVX2. Counts are compared
//! with those of `instructions.txt`; with `--check`, one that differs by more than 2 % fails. Update the file in the
//! same commit as an intended change.

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

use trunkline_core::batch::{Batch, BatchLimits, PreparedBatch};
use trunkline_core::hash::{Digest, INNER, Pair};
use trunkline_core::kzg::{CommitmentPoint, Committer, G1Bytes, Setup};
use trunkline_core::params::TreeParams;
use trunkline_core::proof::{Claim, Draft, Expected, Proof, Top, TopOpening, verify};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::store::effect::encode_effects;
use trunkline_core::tree::{self, Roots, TreeHasher, TreeWriter};
use trunkline_testkit::fixture::{batches, effects, keys, slots};

const KEYS: u64 = 100_000;
const BATCH: u64 = 10_000;
/// The recorded counts of each case, for comparison.
const BASELINE: &str = include_str!("instructions.txt");
/// Greatest relative difference between a count and its recorded value.
const CHANGE_MAX: f64 = 0.02;
/// Environment variable that tells a child process which case to run.
const CASE: &str = "TRUNKLINE_COUNTED_CASE";

type Case = (&'static str, fn());

const CASES: [Case; 13] = [
    ("hash::pairs/count=16", || pairs(16)),
    ("hash::pairs/count=128", || pairs(128)),
    ("hash::pairs/count=1024", || pairs(1024)),
    ("batch::prepare/ops=10000", prepare),
    ("tree::apply/ops=10000,keys=100000", apply),
    ("tree::hash/ops=10000,keys=100000", hash),
    ("tree::get/keys=10000", get),
    ("tree::probe/keys=10000", probe),
    ("kzg::update/slots=1", || update(1)),
    ("kzg::update/slots=128", || update(128)),
    ("effect::encode/ops=10000", encode),
    ("proof::verify/keys=1,top=hash", verify_hash_top),
    ("proof::verify/keys=1,top=kzg", verify_kzg_top),
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let case = CASES.iter().find(|(case, _)| *case == name);
        case.expect("a case of this bench").1();
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let failure = match wanted.iter().any(|word| word == "--check") {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    };
    let wanted: Vec<&String> = wanted
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    if let Err(error) = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        println!(
            "valgrind cannot be run ({error}): install it (Debian, Ubuntu: apt-get install valgrind) to count instructions"
        );
        return failure;
    }
    let mut exit = ExitCode::SUCCESS;
    for (name, _) in CASES {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let Some(instructions) = count(name) else {
            println!("{name:<36} valgrind gave no count");
            return ExitCode::FAILURE;
        };
        let change = baseline(name).map(|before| instructions as f64 / before as f64 - 1.0);
        let verdict = match change {
            None => "no baseline",
            Some(change) if change.abs() > CHANGE_MAX => "changed",
            Some(_) => "as before",
        };
        let percent = 100.0 * change.unwrap_or_default();
        println!("{name:<36} {instructions:>14} instructions {percent:>+8.2} % {verdict}");
        if verdict != "as before" {
            exit = failure;
        }
    }
    exit
}

/// Returns the recorded count of a case.
fn baseline(name: &str) -> Option<u64> {
    let lines = BASELINE.lines().filter(|line| !line.starts_with('#'));
    let mut fields = lines.filter_map(|line| line.split_once(' '));
    let (_, count) = fields.find(|(case, _)| *case == name)?;
    count.trim().parse().ok()
}

/// Runs a case under callgrind, and returns the number of instructions.
fn count(name: &str) -> Option<u64> {
    let report = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).ok()?;
    let status = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--quiet",
            "--toggle-collect=*instructions::counted*",
        ])
        .arg(format!("--callgrind-out-file={}", report.path().display()))
        .arg(std::env::current_exe().ok()?)
        .env(CASE, name)
        .status()
        .ok()?;
    let report = std::fs::read_to_string(report.path()).ok()?;
    let totals = report
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))?;
    let counted = totals.trim().parse().ok().filter(|count| *count > 0);
    counted.filter(|_| status.success())
}

/// The counted function. It is never inlined, so that callgrind finds it by its name.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

/// Counts the second of two calls: the first fills caches and tables.
fn count_second(mut work: impl FnMut()) {
    work();
    counted(&mut work);
}

fn pairs(count: usize) {
    let pairs: Vec<Pair> = (0..count).map(|pair| [pair as u8; 64]).collect();
    let mut digests = Vec::new();
    count_second(|| INNER.hash_pairs(black_box(&pairs), &mut digests));
}

fn prepare() {
    let mut batches = vec![
        batches::batch(BATCH, KEYS, 1),
        batches::batch(BATCH, KEYS, 2),
    ];
    let (params, limits) = (TreeParams::default(), BatchLimits::default());
    let mut results = Vec::new();
    count_second(|| {
        let batch = batches.pop().expect("two calls");
        results.push(batch.prepare(&params, &limits, None));
    });
}

fn apply() {
    let (mut writer, _, _) = tree_of_keys();
    let mut versions = two_versions();
    let mut results = Vec::new();
    count_second(|| {
        let (version, batch) = versions.pop().expect("two calls");
        let changed = writer.apply(&batch, version);
        results.push((changed, writer.seal(version)));
    });
}

fn hash() {
    let (mut writer, mut hasher, _) = tree_of_keys();
    let mut versions = two_versions();
    let mut sealed = Vec::new();
    while let Some((version, batch)) = versions.pop() {
        writer.apply(&batch, version).expect("nothing to refuse");
        sealed.insert(0, writer.seal(version));
    }
    count_second(|| {
        let changes = sealed.pop().expect("two calls");
        black_box(hasher.hash(changes, None));
    });
}

fn get() {
    let (writer, _, roots) = tree_of_keys();
    let (reader, key_hashes) = (writer.reader(), key_hashes());
    count_second(|| {
        for key_hash in &key_hashes {
            black_box(reader.get(roots.version, key_hash)).expect("leaves in memory");
        }
    });
}

fn probe() {
    let (writer, _, roots) = tree_of_keys();
    let (reader, key_hashes) = (writer.reader(), key_hashes());
    count_second(|| {
        for key_hash in &key_hashes {
            black_box(reader.probe(roots.version, key_hash));
        }
    });
}

/// Returns the hashes of the first keys of the tree.
fn key_hashes() -> Vec<Digest> {
    let params = TreeParams::default();
    let key_hash = |key| params.key_hash(&keys::key(key));
    (0..BATCH).map(key_hash).collect()
}

fn update(slots: usize) {
    let committer = committer();
    let (old, new) = (slots::values(1), slots::values(2));
    let changes = slots::changes(&old, &new, slots);
    let point = CommitmentPoint::IDENTITY;
    count_second(|| {
        black_box(committer.update(&point, black_box(&changes)));
    });
}

fn encode() {
    let puts = effects::puts(BATCH);
    let mut bytes = Vec::new();
    count_second(|| {
        bytes.clear();
        encode_effects(effects::effects(black_box(&puts)), &mut bytes).expect("ascending effects");
    });
}

fn verify_hash_top() {
    let params = TreeParams::default();
    let (writer, _, roots) = tree_of_keys();
    let draft = draft(&writer, &roots);
    let top = draft.hash_top(&roots);
    let proof = proof(draft, top, None);
    let expected = Expected::StateDigest {
        tree_id: params.tree_id(),
        state_digest: roots.state_digest,
    };
    count_verification(&proof, &expected);
}

fn verify_kzg_top() {
    let (writer, _, roots) = tree_of_keys();
    let values = core::array::from_fn(|slot| trunkline_core::kzg::slot_value(&roots.slots[slot]));
    let committer = committer();
    let G1Bytes(kzg_root) = committer.commit(&values).to_bytes();
    let draft = draft(&writer, &roots);
    let slot = draft.slots()[0];
    let opening = TopOpening::Single(committer.open(&values, slot));
    let proof = proof(draft, Top::Kzg { kzg_root }, Some(opening));
    let record = CommitRecord::genesis(TreeParams::default().tree_id());
    let root = Root {
        version: roots.version,
        state_digest: roots.state_digest,
        ..Root::of(&record, Some(kzg_root))
    };
    count_verification(&proof, &Expected::Root(root));
}

fn count_verification(proof: &Proof, expected: &Expected) {
    count_second(|| {
        verify(black_box(proof), expected).expect("a true proof");
    });
}

fn proof(draft: Draft, top: Top, opening: Option<TopOpening>) -> Proof {
    let claims = vec![Claim::Present(value_of_key())];
    Proof {
        params: TreeParams::default(),
        versions: vec![draft.finish(claims, None, top)],
        opening,
    }
}

fn draft(writer: &TreeWriter, roots: &Roots) -> Draft {
    let key = [keys::key(7)];
    Draft::walk(&writer.reader(), roots, &TreeParams::default(), key).expect("a key")
}

fn value_of_key() -> Vec<u8> {
    keys::value(7).to_vec()
}

fn prepared(batch: Batch) -> PreparedBatch {
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    prepared.expect("a batch within the limits")
}

fn committer() -> Committer {
    Committer::new(&Setup::ceremony().expect("the embedded setup"))
}

/// Returns a tree of [`KEYS`] keys at version 1.
fn tree_of_keys() -> (TreeWriter, TreeHasher, Roots) {
    let params = TreeParams::default();
    let (mut writer, mut hasher) = tree::build(params.collision, &[]).expect("no leaves");
    hasher.hash(writer.seal(0), None);
    let batch = prepared(batches::batch(KEYS, KEYS, 0));
    writer.apply(&batch, 1).expect("nothing to refuse");
    let roots = hasher.hash(writer.seal(1), None);
    (writer, hasher, roots)
}

/// Returns versions 2 and 3, the next one last.
fn two_versions() -> Vec<(u64, PreparedBatch)> {
    let version = |version| (version, prepared(batches::batch(BATCH, KEYS, version)));
    vec![version(3), version(2)]
}
