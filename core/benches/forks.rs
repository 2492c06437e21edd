//! Measures forks: the state digest of a fork of 10,000 puts against the tree and hash time of a group of as many, and
//! the time that a commit of such a fork takes in the two stages.
//!
//! ```sh
//! cargo bench -p trunkline-core --bench forks -- 51
//! ```
//!
//! The argument is the number of rounds. The sides run in turns in each round, on one thread, and each has puts of its
//! own, so that none finds in a cache what another has read.

use std::time::{Duration, Instant};

use trunkline_core::batch::{BatchLimits, PreparedBatch, Write};
use trunkline_core::hash::{Digest, ZERO, hash};
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::tree::{self, Change, Leaf, LeavesDiffer, Roots, TreeFork};
use trunkline_testkit::fixture::{batches, keys};

const KEYS: u64 = 1_000_000;
const PUTS: u64 = 10_000;
/// The number of readable versions in addition to the newest, as in an engine.
const RETAINED_VERSIONS: u64 = 16;

#[derive(Default)]
struct Times {
    fork: Vec<Duration>,
    group: Vec<Duration>,
    commit: Vec<Duration>,
    /// The bytes of the last fork, without its batch.
    bytes: usize,
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let is_test = std::env::args().all(|argument| argument != "--bench");
    let given = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let (rounds, keys, puts) = match is_test {
        true => (1, 10_000, 100),
        false => (given.unwrap_or(51), KEYS, PUTS),
    };
    let Times {
        fork,
        group,
        commit,
        bytes,
    } = measure(rounds, keys, puts);
    let ratio = |side: &[Duration]| {
        let ratios = side.iter().zip(&group);
        let mut ratios: Vec<f64> = ratios
            .map(|(side, group)| side.as_secs_f64() / group.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    println!("{puts} puts on {keys} keys, {rounds} rounds in turns, medians:");
    let (to_fork, to_commit) = (ratio(&fork), ratio(&commit));
    println!(
        "  tree and hash time of a group   {:?}",
        median(group.clone())
    );
    println!(
        "  state digest of a fork          {:?}, {to_fork:.2} of it",
        median(fork)
    );
    println!(
        "  tree and hash time of a commit  {:?}, {to_commit:.2} of it",
        median(commit)
    );
    println!("  bytes of a fork, without values   {bytes}");
}

fn measure(rounds: u64, keys: u64, puts: u64) -> Times {
    let policy = CollisionPolicy::Bucket;
    let (mut writer, mut hasher) = tree::build(policy, &leaves(keys)).expect("sorted leaves");
    let mut roots = hasher.hash(writer.seal(0), None);
    let (mut times, mut version) = (Times::default(), 0);
    for round in 0..rounds {
        let [forked, grouped, committed] =
            [0, 1, 2].map(|side| prepared(puts, keys, 3 * round + side));

        let begun = Instant::now();
        let fork = fork(&writer, &roots, &forked);
        times.fork.push(begun.elapsed());
        drop(fork);

        version += 1;
        let begun = Instant::now();
        writer.apply(&grouped, version).expect("nothing to refuse");
        roots = hasher.hash(writer.seal(version), None);
        times.group.push(begun.elapsed());

        let (fork, expected) = self::fork(&writer, &roots, &committed);
        times.bytes = fork.bytes();
        let (changes, digests) = (changes(&fork), fork.digests());
        version += 1;
        let begun = Instant::now();
        writer
            .replay(None, &changes, version)
            .expect("nothing to refuse");
        roots = hasher.hash_forked(writer.seal(version), &digests, None);
        times.commit.push(begun.elapsed());
        assert_eq!(roots, expected);
        writer
            .reader()
            .retire(version.saturating_sub(RETAINED_VERSIONS));
    }
    times
}

fn fork(writer: &tree::TreeWriter, roots: &Roots, batch: &PreparedBatch) -> (TreeFork, Roots) {
    let in_memory = |_| Ok::<_, LeavesDiffer>(Vec::new());
    let mut fork = TreeFork::new(writer.reader(), roots, CollisionPolicy::Bucket);
    let applied = fork.apply(batch, in_memory).expect("no store is read");
    applied.expect("nothing to refuse");
    let roots = fork.roots(in_memory).expect("no store is read");
    (fork, roots)
}

fn changes(fork: &TreeFork) -> Vec<Write> {
    let write = |change: Change| Write {
        key_hash: change.key_hash,
        value_hash: change.now.map_or(ZERO, |leaf| leaf.value_hash),
        order: 0,
    };
    fork.changes().map(write).collect()
}

fn prepared(puts: u64, keys: u64, seed: u64) -> PreparedBatch {
    let batch = batches::batch(puts, keys, 7 + 13 * seed);
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    prepared.expect("a batch within its limits")
}

fn leaves(count: u64) -> Vec<Leaf> {
    let value_hash: Digest = hash(b"value");
    let leaf = |number| Leaf {
        key_hash: hash(&keys::key(number)),
        value_hash,
        origin: 0,
    };
    let mut leaves: Vec<Leaf> = (0..count).map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key_hash);
    leaves
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
