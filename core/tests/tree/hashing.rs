use std::sync::mpsc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::tree::{Roots, SealedChanges};
use trunkline_testkit::naive::Hash;
use trunkline_testkit::tree::{Twin, check_roots, leaves_of, many_near, random_ops};

/// Makes the next version: few changes, many, none, or enough to change directories.
fn next_version(twin: &mut Twin, rng: &mut StdRng, pool: &[Hash]) -> SealedChanges {
    let step = twin.version;
    let (count, puts) = [(30, 0.7), (900, 0.8), (0, 0.5), (900, 0.1)][step as usize % 4];
    let _ = twin.submit(&random_ops(rng, pool, count, puts));
    twin.version += 1;
    twin.writer.seal(step)
}

fn pool(rng: &mut StdRng) -> Vec<Hash> {
    let mut pool = many_near(rng, &[0; 32], 0, 500);
    pool.extend(many_near(rng, &[0x61; 32], 7, 400));
    pool.extend(many_near(rng, &[0x62; 32], 30, 80));
    pool
}

#[test]
fn hashing_that_lags_behind_by_several_versions_gives_the_same_roots() {
    let mut rng = StdRng::seed_from_u64(1);
    let pool = pool(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for lag in [1, 2, 5, 8] {
        let sealed: Vec<_> = (0..lag)
            .map(|_| {
                let changes = next_version(&mut twin, &mut rng, &pool);
                (changes, leaves_of(&twin.present))
            })
            .collect();
        for (changes, leaves) in sealed {
            let version = changes.version();
            check_roots(&twin.hasher.hash(changes, None), version, &leaves);
        }
    }
}

/// Hashes ten versions in shards on another thread, while the writer advances.
fn piped(shards: usize, threads: Option<usize>) -> Vec<Roots> {
    let mut rng = StdRng::seed_from_u64(2);
    let pool = pool(&mut rng);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    let rayon = threads.map(|threads| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().unwrap()
    });
    let (_, unused) = trunkline_core::tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    let mut hasher = std::mem::replace(&mut twin.hasher, unused);
    let (send, receive) = mpsc::channel::<SealedChanges>();
    std::thread::scope(|scope| {
        let hashed = scope.spawn(move || {
            let versions = receive.into_iter();
            versions
                .map(|changes| hasher.hash(changes, rayon.as_ref().map(|pool| (pool, shards))))
                .collect()
        });
        for _ in 0..10 {
            let changes = next_version(&mut twin, &mut rng, &pool);
            send.send(changes).unwrap();
        }
        drop(send);
        let roots: Vec<Roots> = hashed.join().unwrap();
        let last = roots.last().unwrap();
        check_roots(last, twin.version - 1, &leaves_of(&twin.present));
        roots
    })
}

#[test]
fn hashing_that_is_shared_out_among_any_number_of_pieces_gives_the_same_roots() {
    let alone = piped(1, None);
    for (shards, threads) in [
        (1, Some(2)),
        (2, Some(2)),
        (8, Some(3)),
        (500, Some(2)),
        (8, None),
    ] {
        assert_eq!(piped(shards, threads), alone, "{shards} shards");
    }
}
