//! Openings on the domain and off it, checked by an independent implementation.

use c_kzg::{Bytes32, Bytes48, KzgSettings};
use trunkline_core::kzg::{Fr, Opening, Slot, encode_scalar, root_of_unity, verify_opening};

use crate::support::{COMMITTER, opening_of, slot, values_of};

fn verdicts(settings: &KzgSettings, opening: &Opening) -> (bool, bool) {
    let theirs = settings.verify_kzg_proof(
        &Bytes48::new(opening.commitment.0),
        &Bytes32::new(opening.z),
        &Bytes32::new(opening.y),
        &Bytes48::new(opening.proof.0),
    );
    let ours = verify_opening(
        &opening.commitment.0,
        &opening.z,
        &opening.y,
        &opening.proof.0,
    );
    (theirs.expect("well-formed"), ours.expect("well-formed"))
}

#[test]
fn c_kzg_accepts_openings_of_slots() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let values = values_of(1);
    for slot in Slot::all().step_by(9) {
        assert_eq!(verdicts(settings, &opening_of(&values, slot)), (true, true));
    }
}

#[test]
fn c_kzg_accepts_openings_with_a_single_slot_taken() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let mut values = [Fr::default(); 128];
    values[77] = values_of(2)[77];
    for index in [0, 76, 77, 127] {
        let opening = opening_of(&values, slot(index));
        assert_eq!(verdicts(settings, &opening), (true, true));
    }
}

#[test]
fn c_kzg_accepts_openings_off_the_domain_and_on_it_by_the_same_function() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let values = values_of(3);
    let points = [
        Fr::from(0),
        Fr::from(2),
        -Fr::from(1),
        values[0],
        root_of_unity(slot(100)),
    ];
    for z in points {
        let (y, proof) = COMMITTER.open_at(&values, z);
        let opening = Opening {
            commitment: COMMITTER.commit(&values).to_bytes(),
            z: encode_scalar(&z),
            y: encode_scalar(&y),
            proof,
        };
        assert_eq!(verdicts(settings, &opening), (true, true));
        let wrong = Opening {
            y: encode_scalar(&(y + Fr::from(1))),
            ..opening
        };
        assert_eq!(verdicts(settings, &wrong), (false, false));
    }
}
