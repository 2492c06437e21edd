//! Proofs: any bytes, and real proofs with changes in them.

use std::sync::LazyLock;

use trunkline_core::proof::{Expected, Proof, Top, VersionProof, advance, verify_versions};
use trunkline_testkit::counting::{peak_of, proof_memory_max};
use trunkline_testkit::proven::{self, State};

use crate::mutation::{self, Choices};

/// Most changes made to one proof.
const CHANGES_MAX: usize = 6;

/// Trees, and proofs with the number of each one's tree.
pub(crate) struct World {
    pub(crate) states: Vec<State>,
    pub(crate) proofs: Vec<(usize, Vec<u8>)>,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let committer = proven::committer();
    let states = proven::states(&committer);
    let proofs_of = |(index, state)| {
        let proofs = proven::proofs_of(state, &committer);
        proofs.into_iter().map(move |proof| (index, proof))
    };
    let proofs = states.iter().enumerate().flat_map(proofs_of).collect();
    World { states, proofs }
});

/// Reads any bytes, within the bound on memory. A decoded proof is encoded again, and verified.
pub fn decode_proof(bytes: &[u8]) {
    let world = &*WORLD;
    within_bound(bytes, || {
        let Ok(proof) = Proof::decode(bytes) else {
            return;
        };
        assert_eq!(proof.encode().as_deref(), Ok(bytes));
    });
    within_bound(bytes, || {
        let Ok(proof) = Proof::decode(bytes) else {
            return;
        };
        let _ = verify_versions(&proof, &carried(&proof));
        holds_true(&proof, &world.states, bytes.len());
    });
}

/// Changes a real proof as the bytes say. Unchanged, it must verify; changed, it may only show what is true.
pub fn verify_mutated(bytes: &[u8]) {
    let world = &*WORLD;
    let mut choices = Choices(bytes);
    let (state, proof) = &world.proofs[choices.below(world.proofs.len())];
    let donor = donor(world, *state, &mut choices);
    let choice = choices.below(4);
    let changed = mutation::change(proof, donor, &mut choices, CHANGES_MAX);
    let held = within_bound(&changed, || match Proof::decode(&changed) {
        Ok(proof) => holds_true(&proof, &world.states, choice),
        Err(_) => Vec::new(),
    });
    assert!(changed != *proof || held.contains(state), "a real proof");
    move_along(proof, &changed);
}

/// Returns a proof to take parts from: half of the time one of the same tree.
fn donor<'a>(world: &'a World, state: usize, choices: &mut Choices<'_>) -> &'a [u8] {
    let all = world.proofs.len();
    let same = world.proofs.iter().filter(|(of, _)| *of == state);
    let same: Vec<&(usize, Vec<u8>)> = same.collect();
    match choices.below(2 * all) {
        any if any < all => &world.proofs[any].1,
        other => &same[(other - all) % same.len()].1,
    }
}

/// Checks that any proof, changed or not, can be moved by another one, and can move it.
fn move_along(proof: &[u8], changed: &[u8]) {
    if let (Ok(mut proof), Ok(mut changed)) = (Proof::decode(proof), Proof::decode(changed)) {
        proof.versions[0].version = 2;
        changed.versions[0].version = 1;
        let _ = advance(&changed, &proof);
        changed.versions[0].version = 3;
        let _ = advance(&proof, &changed);
    }
}

/// Returns the trees against which the proof verifies, and checks its claims there.
///
/// A pairing takes a hundred times as long as anything else, so only one of the expectations that may need one is
/// tried, by `choice`.
fn holds_true(proof: &Proof, states: &[State], choice: usize) -> Vec<usize> {
    let is_tried = |expected: &Expected| match expected {
        Expected::Root(_) => choice.is_multiple_of(2),
        Expected::KzgRoot { .. } => !choice.is_multiple_of(2),
        _ => true,
    };
    let holds = |state: &State| {
        let expected = state.expected().into_iter().filter(is_tried);
        let each = expected.map(|one| vec![one; proof.versions.len()]);
        let by_top = proof.versions.iter().map(|version| of_top(state, version));
        let verified = each
            .chain([by_top.collect()])
            .filter_map(|expected| verify_versions(proof, &expected).ok());
        verified.fold(false, |_, verified| {
            let all_true = verified.iter().all(|verified| state.agrees(verified));
            assert!(all_true, "verified and false: {proof:?}");
            true
        })
    };
    let found = (0..states.len()).filter(|&index| holds(&states[index]));
    let found: Vec<usize> = found.collect();
    if found.is_empty() {
        // A proof without a matching root must still be handled.
        let _ = verify_versions(proof, &carried(proof));
    }
    found
}

fn carried(proof: &Proof) -> Vec<Expected> {
    vec![Expected::Carried; proof.versions.len()]
}

/// Returns values that a client may trust for the top of a version, without binding its number.
fn of_top(state: &State, version: &VersionProof) -> Expected {
    let tree_id = state.root.tree_id;
    match (&version.top, state.root.kzg_root) {
        (Top::Kzg { .. }, Some(kzg_root)) => Expected::KzgRoot { tree_id, kzg_root },
        _ => Expected::StateDigest {
            tree_id,
            state_digest: state.root.state_digest,
        },
    }
}

fn within_bound<T>(proof: &[u8], function: impl FnOnce() -> T) -> T {
    let (given, peak) = peak_of(function);
    let max = proof_memory_max(proof.len());
    assert!(peak <= max, "{} bytes took {peak} of memory", proof.len());
    given
}
