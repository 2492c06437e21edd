use trunkline_core::audit::AuditProof;
use trunkline_core::evidence::{EVIDENCE_BYTES_MAX, Evidence};
use trunkline_core::hash::ZERO;
use trunkline_core::history::{AncestorProof, ConsistencyProof, HISTORY_PROOF_BYTES_MAX};
use trunkline_core::params::TreeParams;
use trunkline_core::proof::{
    Claim, DecodeProofError, ENTRIES_MAX, Entry, Expected, PROOF_BYTES_MAX, Place, Proof,
    ProofFormError, Siblings, Terminal, Top, VERSIONS_MAX, VersionProof, verify_versions,
};
use trunkline_testkit::counting::{peak_of, proof_memory_max};
use trunkline_testkit::keys::{number_key, numbered};
use trunkline_testkit::protobuf;
use trunkline_testkit::proven::{State, committer, proofs_of, states};

/// Decodes and verifies against everything, and returns whether anything held.
fn check(bytes: &[u8], expected: &[Expected]) -> bool {
    let (held, peak) = peak_of(|| match Proof::decode(bytes) {
        Ok(proof) => {
            let each = |one: &Expected| vec![*one; proof.versions.len()];
            let by_top = proof.versions.iter().map(|version| {
                let fits = |one: &&Expected| match one {
                    Expected::KzgRoot { .. } => matches!(version.top, Top::Kzg { .. }),
                    Expected::StateDigest { .. } => matches!(version.top, Top::Hash { .. }),
                    _ => false,
                };
                *expected.iter().find(fits).unwrap_or(&Expected::Carried)
            });
            let lists = expected.iter().map(each).chain([by_top.collect()]);
            let mut verified = lists.map(|expected| verify_versions(&proof, &expected).is_ok());
            verified.any(|held| held)
        }
        Err(_) => false,
    });
    let length = bytes.len();
    assert!(
        peak <= proof_memory_max(length),
        "{length} bytes took {peak}"
    );
    held
}

#[test]
fn memory_is_linear_in_the_bytes_of_real_proofs_under_every_expectation() {
    let committer = committer();
    for state in states(&committer) {
        for bytes in proofs_of(&state, &committer) {
            assert!(check(&bytes, &state.expected()));
        }
    }
}

#[test]
fn memory_is_linear_in_the_bytes_of_a_proof_that_opens_every_slot() {
    let committer = committer();
    let state = State::new(TreeParams::default(), numbered(2_000), &committer);
    let keys: Vec<Vec<u8>> = (0..2_000).map(number_key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    assert!(check(
        &state.kzg_proof(&keys, &committer),
        &state.expected()
    ));
    assert!(check(&state.hash_proof(&keys, true), &state.expected()));
}

/// Uses input with which an attacker could cause the most memory use for the fewest bytes.
#[test]
fn memory_is_linear_in_bytes_that_are_nearly_nothing_but_parts() {
    let entry = protobuf::bytes(3, &[]);
    let terminal = protobuf::bytes(4, &[]);
    let empty_key = protobuf::bytes(3, &protobuf::bytes(4, &[]));
    let place = |depth| [protobuf::number(1, depth), protobuf::bytes(2, &[])].concat();
    let empty_place = protobuf::bytes(4, &place(7));
    let version = |content: &[u8]| protobuf::bytes(4, content);
    // A list that has just doubled has twice the capacity that it needs, next to the half that it had.
    let doubled = ENTRIES_MAX / 2 + 1;
    for count in [1, 2, 3, 100, 1_000, doubled, ENTRIES_MAX, ENTRIES_MAX + 1] {
        let forms = [
            version(&entry.repeat(count)),
            version(&terminal.repeat(count)),
            version(&[&entry.repeat(count)[..], &terminal].concat()),
            version(&[entry.repeat(count), terminal.repeat(count)].concat()),
            version(&[empty_key.repeat(count), empty_place.repeat(count)].concat()),
            version(&[empty_key.clone(), empty_place.clone()].concat())
                .repeat(count.min(VERSIONS_MAX + 1)),
            version(&protobuf::bytes(5, &vec![0xff; count])),
            version(&protobuf::bytes(6, &vec![1; count * 32])),
            version(&protobuf::bytes(8, &protobuf::bytes(1, &vec![0xff; count]))),
            protobuf::bytes(5, &vec![0xc0; count * 48]),
        ];
        for form in forms {
            let headed = [protobuf::number(1, 2), form.clone()].concat();
            for bytes in [form, headed] {
                assert!(!check(&bytes, &[by_nothing(), Expected::Carried]));
            }
        }
    }
}

fn by_nothing() -> Expected {
    Expected::StateDigest {
        tree_id: TreeParams::default().tree_id(),
        state_digest: ZERO,
    }
}

/// A bitmap of 64 MiB would represent 17 GB of siblings.
#[test]
fn a_bitmap_of_more_siblings_than_there_can_be_takes_no_memory() {
    let entry = protobuf::bytes(3, &protobuf::bytes(4, &[]));
    let place = [protobuf::number(1, 7), protobuf::bytes(2, &[])].concat();
    let terminal = protobuf::bytes(4, &place);
    let bitmap = vec![0xff; PROOF_BYTES_MAX - 100];
    let empty_siblings = protobuf::bytes(5, &bitmap);
    let top = protobuf::bytes(8, &protobuf::bytes(1, &bitmap));
    for siblings in [empty_siblings, top] {
        let version = protobuf::bytes(4, &[&entry[..], &terminal, &siblings].concat());
        let bytes = [protobuf::number(1, 2), version].concat();
        let (refused, peak) = peak_of(|| Proof::decode(&bytes));
        assert!(matches!(
            refused,
            Err(DecodeProofError::Form(
                ProofFormError::Siblings { .. } | ProofFormError::TopSiblings { .. }
            ))
        ));
        assert!(peak < 4096, "{peak} bytes were allocated");
    }
}

/// The decoders of the other proofs copy no more than they were given, either.
#[test]
fn memory_is_linear_in_the_bytes_of_proofs_over_the_history_and_evidence() {
    let digests = [1 << 10, HISTORY_PROOF_BYTES_MAX, EVIDENCE_BYTES_MAX];
    for bytes in digests {
        for field in 2..=10 {
            let form = [
                protobuf::number(1, 2),
                protobuf::bytes(field, &vec![1; bytes - 16]),
            ]
            .concat();
            let (read, peak) = peak_of(|| {
                AncestorProof::decode(&form).is_ok()
                    || ConsistencyProof::decode(&form).is_ok()
                    || Evidence::decode(&form).is_ok()
                    || AuditProof::decode(&form).is_ok()
            });
            assert!(!read);
            assert!(peak <= proof_memory_max(form.len()), "{peak} of {bytes}");
        }
    }
}

/// Many keys, each at the end of the longest, empty chain.
#[test]
fn memory_is_linear_in_chains_that_take_a_bit_a_level() {
    let params = TreeParams::default();
    let mut keys: Vec<Vec<u8>> = (0..20_000_u64)
        .map(|number| number.to_le_bytes()[..3].to_vec())
        .collect();
    keys.sort_by_key(|key| params.key_hash(key));
    let count = keys.len();
    let entries = keys.into_iter().map(|key| Entry {
        key,
        claim: Claim::Absent,
    });
    let terminal = Terminal {
        depth: 56,
        place: Place::Empty,
    };
    let version = VersionProof {
        version: 0,
        record: None,
        entries: entries.collect(),
        terminals: vec![terminal; count],
        siblings: Siblings::from_iter(vec![ZERO; 49 * count]),
        top: Top::Hash {
            siblings: Siblings::default(),
        },
    };
    let proof = Proof {
        params,
        versions: vec![version],
        opening: None,
    };
    // There are more siblings than the paths need, so it proves nothing; all of them are examined first.
    assert!(!check(&proof.encode().unwrap(), &[by_nothing()]));
}
