use trunkline_core::kzg::G1Bytes;
use trunkline_core::proof::{
    Claim, Expected, Proof, ToVerify, TopOpening, VerifyAllError, VerifyProofError, verify_all,
};
use trunkline_core::record::Root;
use trunkline_testkit::keys::number_key;
use trunkline_testkit::states::{self, plain, prove_kzg};

/// Returns proofs of all kinds, of several trees, each with its trusted root.
fn proofs() -> Vec<(Proof, Expected)> {
    let mut proofs = Vec::new();
    for (_, state, keys) in states::shapes() {
        proofs.push((states::prove(&state, keys), states::by_state(&state)));
    }
    let state = states::numbered(plain(), 60);
    for number in 50..70 {
        let (proof, kzg_root) = prove_kzg(&state, [number_key(number)]);
        let root = Root::of(&states::record(&state, 5), Some(kzg_root));
        proofs.push((proof, Expected::Root(root)));
    }
    let (proof, kzg_root) = prove_kzg(&state, (0..9).map(number_key));
    let tree_id = plain().tree_id();
    proofs.push((proof, Expected::KzgRoot { tree_id, kzg_root }));
    proofs
}

fn verdict(proofs: &[(Proof, Expected)]) -> Result<(), VerifyAllError> {
    let jobs: Vec<ToVerify<'_, '_>> = proofs
        .iter()
        .map(|(proof, expected)| ToVerify {
            proof,
            expected: std::slice::from_ref(expected),
        })
        .collect();
    let verified = verify_all(&jobs)?;
    assert_eq!(verified.len(), proofs.len());
    for (verified, (proof, _)) in verified.iter().zip(proofs) {
        assert_eq!(verified[0].entries, proof.versions[0].entries);
    }
    Ok(())
}

#[test]
fn no_proof_one_proof_and_many_are_verified_together() {
    let proofs = proofs();
    assert_eq!(verdict(&[]), Ok(()));
    assert_eq!(verdict(&proofs[..1]), Ok(()));
    assert_eq!(verdict(&proofs), Ok(()));
}

#[test]
fn the_first_that_breaks_a_rule_is_named() {
    let mut proofs = proofs();
    let last = proofs.len() - 1;
    for index in [last, 40, 3] {
        let claim = &mut proofs[index].0.versions[0].entries[0].claim;
        *claim = Claim::PresentHash([9; 32]);
        assert_eq!(verdict(&proofs).unwrap_err().index, index);
    }
}

#[test]
fn one_false_opening_is_found_among_many() {
    let mut proofs = proofs();
    let index = proofs.len() - 4;
    let other = proofs[index + 1].0.opening;
    assert!(matches!(other, Some(TopOpening::Single(_))));
    for opening in [other, Some(TopOpening::Single(G1Bytes([0xff; 48])))] {
        proofs[index].0.opening = opening;
        let error = VerifyProofError::Opening;
        assert_eq!(verdict(&proofs), Err(VerifyAllError { index, error }));
    }
}

#[test]
fn more_proofs_than_are_hashed_at_once_are_verified_together() {
    let state = states::numbered(plain(), 300);
    let all: Vec<_> = (0..900)
        .map(|number| {
            let proof = state.prove(5, &states::set([number_key(number % 400)]));
            (proof, states::by_state(&state))
        })
        .collect();
    assert_eq!(verdict(&all), Ok(()));
}
