use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use trunkline_core::params::CollisionPolicy;
use trunkline_core::proof::Proof;
use trunkline_core::tree::{Leaf, Roots, SealedChanges, TreeReader};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::naive::{self, Hash, Key};
use trunkline_testkit::states::plain;
use trunkline_testkit::tree::{Twin, expected_leaves, leaves_of, many_near, random_ops, walk};

use crate::support::{check_seen, hash_proof};

/// The content that a reader must find repeatedly.
struct Known {
    roots: Roots,
    leaves: Vec<Leaf>,
    proof: Proof,
}

/// Makes the readers end, even if the test fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look(reader: &TreeReader, known: &Known, asked: &[Key]) {
    let version = known.roots.version;
    assert_eq!(walk(reader, version).0, known.leaves);
    assert_eq!(
        hash_proof(reader, &known.roots, &plain(), asked),
        known.proof
    );
    for leaf in known.leaves.iter().step_by(3) {
        assert_eq!(reader.get(version, &leaf.key_hash), Ok(Some(*leaf)));
    }
}

fn pool(rng: &mut StdRng, asked: &[Key]) -> Vec<Hash> {
    let mut pool: Vec<Hash> = asked.iter().map(|key| naive::plain(key)).collect();
    let base = pool[0];
    for bits in [7, 25, 52] {
        pool.extend(many_near(rng, &base, bits, 120));
    }
    pool
}

#[test]
fn readers_on_several_threads_keep_their_version_while_the_writer_advances() {
    let mut rng = StdRng::seed_from_u64(1);
    let asked: Vec<Key> = (0..20).map(number_key).collect();
    let pool = pool(&mut rng, &asked);
    let mut twin = Twin::new(CollisionPolicy::Bucket);
    for step in 0..8 {
        let puts = if step % 3 == 2 { 0.1 } else { 0.9 };
        let _ = twin.submit(&random_ops(&mut rng, &pool, 150, puts));
        twin.seal();
    }
    let known: Vec<Known> = twin
        .seen
        .values()
        .map(|seen| {
            check_seen(&twin.reader(), &plain(), seen, &asked);
            Known {
                roots: seen.roots.clone(),
                leaves: expected_leaves(&seen.state),
                proof: hash_proof(&twin.reader(), &seen.roots, &plain(), &asked),
            }
        })
        .collect();
    let (retired, kept) = known.split_at(4);
    for known in retired {
        look(&twin.reader(), known, &asked);
    }

    let reader = twin.reader();
    let done = AtomicBool::new(false);
    let (send, receive) = mpsc::channel::<SealedChanges>();
    let (_, unused) = trunkline_core::tree::build(CollisionPolicy::Bucket, &[]).unwrap();
    let mut hasher = std::mem::replace(&mut twin.hasher, unused);
    std::thread::scope(|scope| {
        let ending = SetOnDrop(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let last_round = done.load(Ordering::Acquire);
                    kept.iter().for_each(|known| look(&reader, known, &asked));
                    if last_round {
                        break;
                    }
                }
            });
        }
        let hashed = scope.spawn(move || {
            let roots = receive
                .into_iter()
                .map(|changes| hasher.hash(changes, None));
            roots.last()
        });
        for step in 0..60 {
            let puts = if step % 3 == 2 { 0.1 } else { 0.9 };
            let _ = twin.submit(&random_ops(&mut rng, &pool, 150, puts));
            send.send(twin.writer.seal(twin.version)).unwrap();
            twin.version += 1;
            if step == 20 {
                reader.retire(kept[0].roots.version);
            }
        }
        drop(send);
        let last = hashed.join().unwrap().unwrap();
        drop(ending);
        let slots = naive::slot_digests(&leaves_of(&twin.present));
        assert_eq!(last.slots[..], slots[..]);
    });
}
