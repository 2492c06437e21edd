//! Audit proofs that break each rule, and facts that a KZG root alone cannot show.

use trunkline_core::audit::AuditProof;
use trunkline_core::params::{CollisionPolicy, Salt};
use trunkline_core::proof::Expected;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::naive_kzg::CEREMONY;
use trunkline_testkit::points::{self, IDENTITY, Point};

use super::{AuditVector, Case, State, commit_anew, empty, full, open_anew, salted, single};
use crate::fixture::Digest;

pub(super) fn vectors() -> Vec<AuditVector> {
    let mut vectors = of_records();
    vectors.extend(of_trusted_roots());
    vectors.extend(of_other_trust());
    vectors.extend(of_slots());
    vectors.extend(of_top_bits());
    vectors.extend(of_the_point());
    vectors.extend(of_points());
    vectors.extend(of_openings());
    vectors
}

fn flip<const N: usize>(bytes: &mut [u8; N]) {
    bytes[N - 1] ^= 1;
}

/// The record differs from the proof. With nothing trusted, only this refuses it.
fn of_records() -> Vec<AuditVector> {
    let case = salted().by_nothing(true);
    let record = |mutation, rule, change: fn(&mut CommitRecord)| {
        case.changed(mutation, rule, |case| {
            change(case.proof.record.as_mut().unwrap())
        })
    };
    let proof = |mutation, rule, change: fn(&mut AuditProof)| {
        case.changed(mutation, rule, |case| change(&mut case.proof))
    };
    vec![
        record("a record of another tree", "RecordTree", |record| {
            flip(&mut record.tree_id)
        }),
        proof("another nonce", "RecordTree", |proof| {
            proof.params.nonce[15] ^= 1;
            open_anew(proof);
        }),
        proof("another salt", "RecordTree", |proof| {
            proof.params.salt = Some(Salt::new([7; 32]));
            open_anew(proof);
        }),
        proof("no salt", "RecordTree", |proof| {
            proof.params.salt = None;
            open_anew(proof);
        }),
        proof("another policy", "RecordTree", |proof| {
            proof.params.collision = CollisionPolicy::Overwrite;
            open_anew(proof);
        }),
        record("a record of the next version", "RecordVersion", |record| {
            record.version += 1
        }),
        proof("another version", "RecordVersion", |proof| {
            proof.version = 4
        }),
        proof("version 0", "RecordVersion", |proof| proof.version = 0),
        record("a record of another state", "RecordState", |record| {
            flip(&mut record.state_digest);
        }),
        proof(
            "a bit of a slot, root and opening made anew",
            "RecordState",
            |proof| {
                flip(&mut proof.slots[1]);
                commit_anew(proof);
            },
        ),
        proof(
            "the highest bit of a slot, opening made anew",
            "RecordState",
            |proof| {
                proof.slots[1][0] ^= 0x80;
                open_anew(proof);
            },
        ),
        proof(
            "an empty slot is used, root and opening made anew",
            "RecordState",
            |proof| {
                proof.slots[2] = [1; 32];
                commit_anew(proof);
            },
        ),
        proof(
            "a used slot is empty, root and opening made anew",
            "RecordState",
            |proof| {
                proof.slots[64] = [0; 32];
                commit_anew(proof);
            },
        ),
    ]
}

/// A whole root of which one part differs.
fn of_trusted_roots() -> Vec<AuditVector> {
    let case = salted().by_root(true);
    let of = |case: &Case, mutation, rule, change: fn(&mut Root)| {
        case.changed(mutation, rule, |case| {
            if let Expected::Root(root) = &mut case.trusted {
                change(root);
            }
        })
    };
    let bare = salted().by_root(false);
    vec![
        of(&case, "a root of another tree", "TrustedTree", |root| {
            flip(&mut root.tree_id)
        }),
        of(
            &case,
            "a root of the next version",
            "TrustedVersion",
            |root| root.version += 1,
        ),
        of(&case, "a root of another commit", "TrustedCommit", |root| {
            flip(&mut root.commit_id)
        }),
        of(&case, "a root of another state", "TrustedState", |root| {
            flip(&mut root.state_digest)
        }),
        of(&case, "another KZG root", "TrustedKzgRoot", |root| {
            root.kzg_root = Some(IDENTITY);
        }),
        bare.changed("another version", "TrustedVersion", |case| {
            case.proof.version = 6
        }),
        bare.changed(
            "a bit of a slot, root and opening made anew",
            "TrustedState",
            |case| {
                flip(&mut case.proof.slots[0]);
                commit_anew(&mut case.proof);
            },
        ),
        bare.changed(
            "the highest bit of a slot, opening made anew",
            "TrustedState",
            |case| {
                case.proof.slots[0][0] ^= 0x80;
                open_anew(&mut case.proof);
            },
        ),
    ]
}

fn of_other_trust() -> Vec<AuditVector> {
    let of_another_tree = |proof: &mut AuditProof| {
        proof.params.salt = None;
        open_anew(proof);
    };
    let by_commit_id = salted().by_commit_id();
    let mut vectors = vec![
        by_commit_id.changed("no commit id is trusted", "TrustedCommit", |case| {
            case.trusted = Expected::CommitId([0; 32]);
        }),
        by_commit_id.changed("another record", "TrustedCommit", |case| {
            case.proof.record.as_mut().unwrap().key_count = 9;
        }),
        by_commit_id.changed("no record", "NeedsRecord", |case| case.proof.record = None),
        empty()
            .by_commit_id()
            .changed("no record", "NeedsRecord", |case| {
                case.proof.record = None;
            }),
    ];
    for case in [
        salted().by_root(false),
        salted().by_state(false),
        salted().by_kzg_root(false),
    ] {
        vectors.push(case.changed("no salt", "TrustedTree", |case| {
            of_another_tree(&mut case.proof);
        }));
    }
    vectors
}

/// Digests that differ from those of the trusted root.
fn of_slots() -> Vec<AuditVector> {
    let mut vectors = Vec::new();
    for state in [salted(), single(), full()] {
        vectors.extend(of_other_digests(&state));
    }
    let used = |proof: &mut AuditProof| proof.slots[0] = [1; 32];
    vectors.push(
        empty()
            .by_state(false)
            .changed("a slot is used", "TrustedState", |case| {
                used(&mut case.proof);
                commit_anew(&mut case.proof);
            }),
    );
    vectors.push(
        empty()
            .by_kzg_root(false)
            .changed("a slot is used", "Opening", |case| {
                used(&mut case.proof);
                open_anew(&mut case.proof);
            }),
    );
    vectors
}

fn of_other_digests(state: &State) -> Vec<AuditVector> {
    let changed = |proof: &mut AuditProof| flip(&mut proof.slots[127]);
    let swapped = |proof: &mut AuditProof| proof.slots.swap(126, 127);
    let by_state = state.by_state(false);
    let by_kzg_root = state.by_kzg_root(false);
    let anew = "a bit of a slot, root and opening made anew";
    vec![
        by_state.changed(anew, "TrustedState", |case| {
            changed(&mut case.proof);
            commit_anew(&mut case.proof);
        }),
        by_kzg_root.changed(anew, "TrustedKzgRoot", |case| {
            changed(&mut case.proof);
            commit_anew(&mut case.proof);
        }),
        by_kzg_root.changed("a bit of a slot", "Opening", |case| {
            changed(&mut case.proof)
        }),
        by_kzg_root.changed("a bit of a slot, opening made anew", "Opening", |case| {
            changed(&mut case.proof);
            open_anew(&mut case.proof);
        }),
        by_kzg_root.changed("two slots swapped, opening made anew", "Opening", |case| {
            swapped(&mut case.proof);
            open_anew(&mut case.proof);
        }),
    ]
}

/// The two highest bits of a slot digest are not in the polynomial, but in the point.
fn of_top_bits() -> Vec<AuditVector> {
    let mut vectors = Vec::new();
    for (slot, bits) in [(1, 0x80), (127, 0x40), (11, 0xc0)] {
        let name = format!("slot {slot} with {bits:x} in its first byte changed");
        let anew = format!("{name}, opening made anew");
        let change = |proof: &mut AuditProof| proof.slots[slot][0] ^= bits;
        let by_kzg_root = salted().by_kzg_root(false);
        vectors.push(by_kzg_root.changed(&name, "Opening", |case| change(&mut case.proof)));
        let mut other = by_kzg_root.clone();
        change(&mut other.proof);
        open_anew(&mut other.proof);
        vectors.push(other.accepted(&anew));
        vectors.push(
            salted()
                .by_state(false)
                .changed(&anew, "TrustedState", |case| {
                    change(&mut case.proof);
                    open_anew(&mut case.proof);
                }),
        );
        vectors.push(
            salted()
                .by_kzg_root(true)
                .changed(&anew, "RecordState", |case| {
                    change(&mut case.proof);
                    open_anew(&mut case.proof);
                }),
        );
    }
    // The polynomial is zero everywhere, and so is each of its openings.
    let mut other = empty().by_kzg_root(false);
    other.proof.slots[0][0] = 0x80;
    vectors.push(other.accepted("slot 0 with 80 in its first byte changed"));
    vectors
}

/// The point of evaluation follows from the tree, the root and all digests. Here only the point differs.
fn of_the_point() -> Vec<AuditVector> {
    let case = salted().by_nothing(false);
    let of = |mutation, change: fn(&mut AuditProof)| {
        case.changed(mutation, "Opening", |case| change(&mut case.proof))
    };
    vec![
        of("another salt", |proof| {
            proof.params.salt = Some(Salt::new([7; 32]))
        }),
        of("no salt", |proof| proof.params.salt = None),
        of("another policy", |proof| {
            proof.params.collision = CollisionPolicy::Bucket
        }),
        of("the highest bit of slot 127", |proof| {
            proof.slots[127][0] ^= 0x80
        }),
    ]
}

/// Bytes that are not canonical points, in either place.
fn of_points() -> Vec<AuditVector> {
    let case = salted().by_nothing(true);
    let mut vectors = Vec::new();
    type Place = fn(&mut AuditProof) -> &mut Point;
    let places: [(&str, &str, Place); 2] = [
        ("KZG root", "KzgRootPoint", |proof| &mut proof.kzg_root),
        ("opening", "OpeningPoint", |proof| &mut proof.opening),
    ];
    for (what, rule, place) in places {
        let mut of = |mutation: &str, change: &dyn Fn(&mut Point)| {
            let mutation = format!("{what}: {mutation}");
            vectors.push(case.changed(&mutation, rule, |case| change(place(&mut case.proof))));
        };
        of("outside of the group", &|point| {
            *point = points::outside_of_the_group(point)
        });
        of("off the curve", &|point| {
            *point = points::off_the_curve(point)
        });
        of("x above the modulus", &|point| {
            let above = points::above_the_modulus(&small_point());
            *point = above.unwrap();
        });
        of("not marked as compressed", &|point| point[0] &= 0x7f);
        of("zeros", &|point| *point = [0; 48]);
        of("ones", &|point| *point = [0xff; 48]);
        of("identity with a sign", &|point| {
            *point = IDENTITY;
            point[0] |= 0x20;
        });
        of("identity with a bit behind", &|point| {
            *point = IDENTITY;
            point[47] = 1;
        });
    }
    // A verifier that does not check the subgroup accepts this: no pairing distinguishes the root from the other one.
    vectors.push(case.changed(
        "KZG root: outside of the group, opening made anew",
        "KzgRootPoint",
        |case| {
            case.proof.kzg_root = points::outside_of_the_group(&case.proof.kzg_root);
            open_anew(&mut case.proof);
        },
    ));
    vectors
}

/// Returns a point whose x is small enough that the field's modulus can be added.
fn small_point() -> Point {
    let on_curve = (1..).map(|x| {
        let mut point = [0; 48];
        (point[0], point[47]) = (0x80, x);
        point
    });
    let mut with_modulus = on_curve.filter(|point| points::off_the_curve(point) != *point);
    with_modulus.next().unwrap()
}

/// Returns τ⁰.
fn generator() -> Point {
    let line = CEREMONY.lines().nth(2).unwrap();
    hex::decode(line).unwrap().try_into().unwrap()
}

/// Points that are not those of this root and these digests.
fn of_openings() -> Vec<AuditVector> {
    let case = salted().by_state(false);
    let of = |mutation, change: fn(&mut AuditProof)| {
        case.changed(mutation, "Opening", |case| change(&mut case.proof))
    };
    let neighbour: Digest = [9; 32];
    let mut vectors = vec![
        of("the KZG root is the identity", |proof| {
            proof.kzg_root = IDENTITY
        }),
        of("the KZG root is the generator", |proof| {
            proof.kzg_root = generator()
        }),
        of("the opening is the generator", |proof| {
            proof.opening = generator()
        }),
        of("the opening is the identity", |proof| {
            proof.opening = IDENTITY
        }),
        of("the opening with another sign", |proof| {
            proof.opening[0] ^= 0x20
        }),
        of("the KZG root with another sign", |proof| {
            proof.kzg_root[0] ^= 0x20
        }),
        of("the opening is the KZG root", |proof| {
            proof.opening = proof.kzg_root
        }),
        of("KZG root and opening swapped", |proof| {
            std::mem::swap(&mut proof.kzg_root, &mut proof.opening);
        }),
    ];
    vectors.push(
        case.changed("KZG root and opening of other slots", "Opening", |case| {
            let mut other = case.proof.clone();
            other.slots[1] = neighbour;
            commit_anew(&mut other);
            (case.proof.kzg_root, case.proof.opening) = (other.kzg_root, other.opening);
        }),
    );
    vectors
}
