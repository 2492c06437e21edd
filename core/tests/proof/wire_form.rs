//! Bytes that may never change while the format is 2.

use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::proof::{Claim, Proof, Top, TopOpening};
use trunkline_testkit::keys::{number_key, path_collisions};
use trunkline_testkit::naive::{self, NaiveState};
use trunkline_testkit::protobuf::{bytes, number};
use trunkline_testkit::states::{self, plain};

fn assert_fixed(proof: &Proof, expected: &str) {
    assert_eq!(hex::encode(proof.encode().unwrap()), expected);
}

#[test]
fn the_wire_form_of_a_present_and_an_absent_key_is_fixed() {
    let state = states::numbered(plain(), 2);
    let proof = state.prove(5, &states::set([number_key(1), number_key(2)]));
    assert_fixed(
        &proof,
        "0802225908051a130a080100000000000000120776616c756520311a0c0a08020000000000000022\
         00220408071a0022040807120042260a02df0f1220d881cdb15b66b8a16a8be7fb94d9d6d5ac6ac5\
         0c079b6a1890885a8f1366c8b832107472756e6b6c696e6520766563746f72",
    );
}

#[test]
fn the_wire_form_of_a_bucket_with_value_hashes_is_fixed() {
    let keys = path_collisions().remove(1);
    let state = NaiveState::of(plain(), keys.clone().map(|key| (key, b"v".to_vec())));
    let mut proof = state.prove(1, &states::set([keys[0].clone()]));
    proof.versions[0].entries[0].claim = Claim::PresentHash(naive::plain(b"v"));
    assert_fixed(
        &proof,
        "080222c60108011a2c0a0817b7a306000000001a20fbf7129093429293d558b3993ca13988daba89\
         3f4a191bc2b1c1e5b52a0d017222850108382a8001d8dfe370b04d985709c6ffef442f2c415e091d\
         47d7d28e70e241d79661e2105cfbf7129093429293d558b3993ca13988daba893f4a191bc2b1c1e5\
         b52a0d0172d8dfe370b04d98707d2e792afa977b38707168cca94569cadce665e56d7e77c8fbf712\
         9093429293d558b3993ca13988daba893f4a191bc2b1c1e5b52a0d01722a07ffffffffffff014203\
         0a017f32107472756e6b6c696e6520766563746f72",
    );
}

#[test]
fn the_wire_form_is_fixed_field_by_field() {
    let salted = states::params(
        trunkline_core::params::CollisionPolicy::Reject,
        Some([6; 32]),
    );
    let key = states::other_in_slot(&salted);
    let proof = states::prove(&states::numbered(salted, 1), [key.clone()]);
    let (key_hash, value_hash) = states::numbered(salted, 1).leaves().pop_first().unwrap();
    let leaf = bytes(4, &naive::join(&key_hash, &value_hash));
    let version = [
        number(1, 5),
        bytes(2, &proof.versions[0].record.as_ref().unwrap().encode()),
        bytes(3, &[bytes(1, &key), bytes(4, &[])].concat()),
        bytes(4, &[number(1, 7), leaf].concat()),
        bytes(8, &bytes(1, &[0x7f])),
    ];
    let fields = [
        number(1, 2),
        bytes(2, &[6; 32]),
        number(3, 2),
        bytes(4, &version.concat()),
        bytes(6, &states::NONCE),
    ];
    assert_eq!(proof.encode().unwrap(), fields.concat());
}

#[test]
fn the_wire_form_of_a_kzg_top_is_fixed() {
    let mut proof = states::numbered(plain(), 0).prove(0, &states::set([number_key(0)]));
    proof.versions[0].top = Top::Kzg {
        kzg_root: [0xc0; 48],
    };
    let version = [
        bytes(3, &[bytes(1, &number_key(0)), bytes(4, &[])].concat()),
        bytes(4, &[number(1, 7), bytes(2, &[])].concat()),
        bytes(7, &[0xc0; 48]),
    ];
    let version = bytes(4, &version.concat());
    let [quotient, opening] = [G1Bytes([0xc1; 48]), G1Bytes([0xc2; 48])];
    proof.opening = Some(TopOpening::Single(opening));
    let nonce = bytes(6, &states::NONCE);
    let fields = [
        number(1, 2),
        version.clone(),
        bytes(5, &opening.0),
        nonce.clone(),
    ];
    assert_eq!(proof.encode().unwrap(), fields.concat());
    proof.opening = Some(TopOpening::Aggregate(AggregateProof { quotient, opening }));
    let both = [quotient.0, opening.0].concat();
    let fields = [number(1, 2), version, bytes(5, &both), nonce];
    assert_eq!(proof.encode().unwrap(), fields.concat());
}
