use trunkline_core::hash::ZERO;
use trunkline_core::params::TreeParams;
use trunkline_core::proof::{ENTRIES_MAX, Expected, Proof, verify};

use crate::counting::{peak_of, proof_memory_max};
use crate::protobuf;
use crate::proven::{State, committer, number_key, numbered, proofs_of, states};

/// Decodes and verifies against everything, and gives whether anything held.
fn check(bytes: &[u8], expected: &[Expected]) -> bool {
    let (held, peak) = peak_of(|| match Proof::decode(bytes) {
        Ok(proof) => expected.iter().any(|one| verify(&proof, one).is_ok()),
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
fn of_real_proofs_under_every_expectation() {
    let committer = committer();
    for state in states(&committer) {
        for bytes in proofs_of(&state, &committer) {
            assert!(check(&bytes, &state.expected()));
        }
    }
}

#[test]
fn of_a_proof_that_opens_every_slot() {
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

/// What a stranger may send to take the most memory for the fewest bytes.
#[test]
fn of_bytes_that_are_nearly_nothing_but_parts() {
    let (entry, terminal) = (protobuf::bytes(6, &[]), protobuf::bytes(7, &[]));
    let empty_key = protobuf::bytes(6, &protobuf::bytes(4, &[]));
    let empty_place = protobuf::bytes(
        7,
        &[protobuf::number(1, 7), protobuf::bytes(2, &[])].concat(),
    );
    // A list that has just doubled has twice the room that it needs, beside the half that it had.
    let doubled = ENTRIES_MAX / 2 + 1;
    for count in [1, 2, 3, 100, 1_000, doubled, ENTRIES_MAX, ENTRIES_MAX + 1] {
        let forms = [
            entry.repeat(count),
            terminal.repeat(count),
            [&entry.repeat(count)[..], &terminal].concat(),
            [entry.repeat(count), terminal.repeat(count)].concat(),
            [empty_key.repeat(count), empty_place.repeat(count)].concat(),
            protobuf::bytes(8, &vec![0xff; count]),
            protobuf::bytes(9, &vec![1; count * 32]),
            protobuf::bytes(10, &protobuf::bytes(2, &vec![0xc0; count * 48])),
            protobuf::bytes(11, &protobuf::bytes(1, &vec![0xff; count])),
        ];
        for form in forms {
            let state_digest = ZERO;
            let tree_id = TreeParams::default().tree_id();
            let by_state = Expected::StateDigest {
                tree_id,
                state_digest,
            };
            let headed = [protobuf::number(1, 1), form.clone()].concat();
            let topped = [&headed[..], &protobuf::bytes(11, &[])].concat();
            for bytes in [form, headed, topped] {
                assert!(!check(&bytes, &[by_state, Expected::Carried]));
            }
        }
    }
}
