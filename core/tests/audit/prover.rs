use trunkline_core::audit::{AuditProof, verify};
use trunkline_core::kzg::{Committer, Setup, slot_value};
use trunkline_core::params::TreeParams;
use trunkline_core::proof::Expected;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::Roots;

use crate::fixture;

#[test]
fn the_prover_agrees_with_the_model_on_every_byte() {
    let committer = Committer::new(&Setup::ceremony().unwrap());
    let mut single = [[0; 32]; 128];
    single[64] = [0xee; 32];
    for slots in [fixture::slots(), [[0; 32]; 128], single] {
        let params = fixture::salted();
        let kzg_root = committer.commit(&slots.map(|digest| slot_value(&digest)));
        let roots = Roots::of(5, 3, Box::new(slots));
        assert_eq!(roots.state_digest, fixture::state_digest(&slots));
        let kzg_root = kzg_root.to_bytes().0;
        let proof = AuditProof::make(&committer, &params, &roots, None, kzg_root);
        assert_eq!(proof, fixture::audit_of(params, slots));
    }
}

#[test]
fn the_prover_agrees_with_the_model_on_the_empty_state() {
    let params = TreeParams::default();
    let genesis = CommitRecord::genesis(params.tree_id());
    let mut identity = [0; 48];
    identity[0] = 0xc0;
    let mut proof = fixture::audit_of(params, [[0; 32]; 128]);
    assert_eq!((proof.kzg_root, proof.opening), (identity, identity));
    proof.version = 0;
    let root = Root::of(&genesis, Some(identity));
    assert!(verify(&proof, &Expected::Root(root)).is_ok());
}
