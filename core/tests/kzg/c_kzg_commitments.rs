//! A polynomial of degree below 128 has the same commitment in a blob of 4096 values.

use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use c_kzg::{BYTES_PER_BLOB, Blob};
use trunkline_core::kzg::{Fr, encode_scalar};

use crate::support::{COMMITTER, Values, values_of};

const BLOB_VALUES: usize = 4096;

/// Returns the same polynomial's values on the 4096th roots of unity, in bit-reversed order.
fn blob_of(values: &Values) -> Blob {
    let small = Radix2EvaluationDomain::<Fr>::new(values.len()).expect("a power of two");
    let large = Radix2EvaluationDomain::<Fr>::new(BLOB_VALUES).expect("a power of two");
    let evaluations = large.fft(&small.ifft(values));
    let mut bytes = [0; BYTES_PER_BLOB];
    for (place, chunk) in bytes.chunks_exact_mut(32).enumerate() {
        let index = place.reverse_bits() >> (usize::BITS - BLOB_VALUES.ilog2());
        chunk.copy_from_slice(&encode_scalar(&evaluations[index]));
    }
    Blob::new(bytes)
}

#[test]
fn commitments_to_full_sparse_and_empty_nodes_are_those_of_c_kzg() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let mut sparse = [Fr::default(); 128];
    sparse[5] = Fr::from(1);
    sparse[90] = values_of(4)[90];
    for values in [values_of(5), sparse, [Fr::default(); 128]] {
        let theirs = settings
            .blob_to_kzg_commitment(&blob_of(&values))
            .expect("canonical values");
        let ours = COMMITTER.commit(&values).to_bytes();
        assert_eq!(ours.0, theirs.to_bytes().into_inner());
    }
}
