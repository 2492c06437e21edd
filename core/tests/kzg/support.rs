//! One committer for all tests of this binary, and values to commit to.

use std::sync::LazyLock;

use trunkline_core::kzg::{
    Committer, Fr, Opening, Setup, Slot, encode_scalar, slot_point, slot_value,
};
use trunkline_core::params::WIDTH;

pub(crate) static COMMITTER: LazyLock<Committer> =
    LazyLock::new(|| Committer::new(&Setup::ceremony().expect("the embedded setup")));

pub(crate) type Values = [Fr; WIDTH];

/// Returns values that look like digests and depend on the seed.
pub(crate) fn values_of(seed: u64) -> Values {
    core::array::from_fn(|slot| {
        let mut bytes = seed.to_le_bytes().to_vec();
        bytes.push(slot as u8);
        slot_value(&trunkline_core::hash::hash(&bytes))
    })
}

pub(crate) fn slot(index: usize) -> Slot {
    Slot::new(index).expect("a slot of the root node")
}

/// Returns a valid opening of one slot.
pub(crate) fn opening_of(values: &Values, slot: Slot) -> Opening {
    Opening {
        commitment: COMMITTER.commit(values).to_bytes(),
        z: slot_point(slot),
        y: encode_scalar(&values[slot.index()]),
        proof: COMMITTER.open(values, slot),
    }
}

/// Returns valid openings of the first `count` slots.
pub(crate) fn openings_of(values: &Values, count: usize) -> Vec<Opening> {
    Slot::all()
        .take(count)
        .map(|slot| opening_of(values, slot))
        .collect()
}
