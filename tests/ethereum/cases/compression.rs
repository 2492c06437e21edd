use trunkline_core::hash::{INNER, LEAF};
use trunkline_ethereum::compression_code;

use crate::support::{State, execute};

#[test]
fn a_contract_computes_a_compression_of_two_halves_of_a_node_and_of_a_leaf() {
    let slots = State::new(1).slots;
    for domain in [INNER, LEAF] {
        for pair in [[slots[1], slots[2]], [slots[3], [0; 32]], [[0xff; 32]; 2]] {
            let (output, _) = execute(compression_code(domain.key()), pair.as_flattened());
            assert_eq!(output, domain.hash(pair.as_flattened()));
        }
    }
}

#[test]
fn a_compression_takes_the_gas_that_the_documentation_names() {
    let code = compression_code(INNER.key());
    assert!(code.len() < 3_500);
    assert_eq!(execute(code, &[7; 64]).1, 6_473);
}
