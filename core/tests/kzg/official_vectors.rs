//! The consensus specification's vectors for `verify_kzg_proof`.

use serde::Deserialize;
use trunkline_core::kzg::{Opening, verify_opening, verify_openings};

#[derive(Deserialize)]
struct Vector {
    name: String,
    commitment: String,
    z: String,
    y: String,
    proof: String,
    output: Output,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
enum Output {
    True,
    False,
    Null,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../data/verify_kzg_proof.json")).expect("the vectors")
}

/// Returns the bytes, or `None` if there are not `N` of them.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

fn opening(vector: &Vector) -> Option<Opening> {
    Some(Opening {
        commitment: bytes::<48>(&vector.commitment)?.into(),
        z: bytes(&vector.z)?,
        y: bytes(&vector.y)?,
        proof: bytes::<48>(&vector.proof)?.into(),
    })
}

fn output(opening: Option<Opening>) -> Output {
    let verdict = opening.map(|o| verify_opening(&o.commitment.0, &o.z, &o.y, &o.proof.0));
    match verdict {
        Some(Ok(true)) => Output::True,
        Some(Ok(false)) => Output::False,
        Some(Err(_)) | None => Output::Null,
    }
}

#[test]
fn the_official_vectors_agree_one_by_one() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 61);
    for vector in vectors {
        assert_eq!(output(opening(&vector)), vector.output, "{}", vector.name);
    }
}

#[test]
fn the_true_vectors_hold_at_once_and_no_other_one_holds_among_them() {
    let (good, other): (Vec<_>, Vec<_>) = vectors()
        .into_iter()
        .partition(|vector| vector.output == Output::True);
    let mut openings: Vec<Opening> = good.iter().filter_map(opening).collect();
    assert_eq!(openings.len(), good.len());
    assert_eq!(verify_openings(&openings), Ok(true));
    let place = openings.len() / 2;
    for vector in other {
        let Some(opening) = opening(&vector) else {
            continue;
        };
        openings.insert(place, opening);
        match verify_openings(&openings) {
            Ok(verdict) => {
                assert!(!verdict, "{}", vector.name);
                assert_eq!(vector.output, Output::False, "{}", vector.name);
            }
            Err(error) => {
                assert_eq!(error.index, place);
                assert_eq!(vector.output, Output::Null, "{}", vector.name);
            }
        }
        openings.remove(place);
    }
}
