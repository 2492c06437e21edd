//! A commitment to a polynomial of higher degree that agrees with the state on all slots: openings at slots cannot
//! distinguish it from the KZG root, but an audit proof can.

use ark_ff::AdditiveGroup;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use c_kzg::{BYTES_PER_BLOB, Blob, Bytes32};
use trunkline_core::audit::{VerifyAuditError, verify};
use trunkline_core::kzg::{Fr, Slot, encode_scalar, slot_point, slot_value_bytes, verify_opening};
use trunkline_core::proof::Expected;

use crate::fixture;

/// Returns the values on the 4096th roots of unity, in bit-reversed order, of the polynomial with these values on the
/// 128th, plus `factor` times X^128 - 1.
fn blob_of(slots: &fixture::Slots, factor: Fr) -> Blob {
    let values = slots.map(|digest| trunkline_core::kzg::slot_value(&digest));
    let small = Radix2EvaluationDomain::<Fr>::new(128).unwrap();
    let large = Radix2EvaluationDomain::<Fr>::new(4096).unwrap();
    let mut coefficients = small.ifft(&values);
    coefficients[0] -= factor;
    coefficients.push(factor);
    let evaluations = large.fft(&coefficients);
    let mut bytes = [0; BYTES_PER_BLOB];
    for (place, chunk) in bytes.chunks_exact_mut(32).enumerate() {
        let index = place.reverse_bits() >> (usize::BITS - 12);
        chunk.copy_from_slice(&encode_scalar(&evaluations[index]));
    }
    Blob::new(bytes)
}

#[test]
fn a_polynomial_of_higher_degree_is_refused() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let slots = fixture::slots();
    for (factor, is_low) in [(Fr::ZERO, true), (Fr::from(7), false)] {
        let blob = blob_of(&slots, factor);
        let commitment = settings.blob_to_kzg_commitment(&blob).unwrap();
        let commitment = commitment.to_bytes().into_inner();
        let open = |z: [u8; 32]| {
            let (proof, _) = settings.compute_kzg_proof(&blob, &Bytes32::new(z)).unwrap();
            proof.to_bytes().into_inner()
        };
        let slot = Slot::new(9).unwrap();
        let (z, y) = (slot_point(slot), slot_value_bytes(&slots[9]));
        assert_eq!(verify_opening(&commitment, &z, &y, &open(z)), Ok(true));

        let mut proof = fixture::audit_of(fixture::salted(), slots);
        assert_eq!(proof.kzg_root == commitment, is_low);
        proof.kzg_root = commitment;
        proof.opening = open(encode_scalar(&fixture::point(&proof)));
        let verdict = verify(&proof, &Expected::Carried).map(|_| ());
        let expected = if is_low {
            Ok(())
        } else {
            Err(VerifyAuditError::Opening)
        };
        assert_eq!(verdict, expected);
    }
}
