//! No single bit of an opening can change without an error or a `false`.

use trunkline_core::kzg::{G1Bytes, Opening, verify_opening};

use crate::support::{opening_of, slot, values_of};

fn holds(opening: &Opening) -> bool {
    let verdict = verify_opening(
        &opening.commitment.0,
        &opening.z,
        &opening.y,
        &opening.proof.0,
    );
    verdict == Ok(true)
}

/// Every opening that differs from this one in one bit.
fn flipped(opening: &Opening) -> impl Iterator<Item = (usize, Opening)> {
    (0..160 * 8).map(|bit| {
        let mut changed = *opening;
        let Opening {
            commitment: G1Bytes(commitment),
            z,
            y,
            proof: G1Bytes(proof),
        } = &mut changed;
        let bytes = [&mut commitment[..], &mut z[..], &mut y[..], &mut proof[..]];
        let byte = bytes.into_iter().flatten().nth(bit / 8);
        *byte.expect("160 bytes") ^= 1 << (bit % 8);
        (bit, changed)
    })
}

#[test]
fn of_an_opening_of_a_full_node() {
    let opening = opening_of(&values_of(11), slot(99));
    assert!(holds(&opening));
    for (bit, changed) in flipped(&opening) {
        assert!(!holds(&changed), "bit {bit}");
    }
}
