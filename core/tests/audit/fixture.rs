//! Audit proofs made by definition: hash, interpolate, divide.

use ark_bls12_381::Fr;
use ark_ff::PrimeField;
use trunkline_core::audit::AuditProof;
use trunkline_core::params::{CollisionPolicy, SETUP_ID, Salt, TreeParams};
use trunkline_core::proof::Expected;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::naive_kzg::{CEREMONY, NaiveKzg};

pub(crate) type Digest = [u8; 32];
pub(crate) type Slots = [Digest; 128];

fn keyed(name: &str, body: &[u8]) -> Digest {
    let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    *blake3::keyed_hash(&key, body).as_bytes()
}

/// Returns digests in most slots, some with their top two bits set.
pub(crate) fn slots() -> Slots {
    core::array::from_fn(|slot| match slot % 5 {
        0 => [0; 32],
        _ => *blake3::hash(&[slot as u8]).as_bytes(),
    })
}

/// Returns the fold of SPEC.md §2.5.
pub(crate) fn state_digest(slots: &[Digest]) -> Digest {
    if let [slot] = slots {
        return *slot;
    }
    let (left, right) = slots.split_at(slots.len() / 2);
    match (state_digest(left), state_digest(right)) {
        (left, right) if left == [0; 32] && right == [0; 32] => [0; 32],
        (left, right) => keyed("inner", &[left, right].concat()),
    }
}

/// Returns the polynomial with the slots' values.
pub(crate) fn polynomial(slots: &Slots) -> NaiveKzg {
    let values = slots.map(|mut digest| {
        digest[0] &= 0x3f;
        digest
    });
    NaiveKzg::new(CEREMONY, &values)
}

/// Returns the point of evaluation, by SPEC.md §16.2.
pub(crate) fn point(proof: &AuditProof) -> Fr {
    let body = [
        &2_u16.to_le_bytes()[..],
        &SETUP_ID,
        &proof.params.tree_id(),
        &proof.kzg_root,
        proof.slots.as_flattened(),
    ];
    let mut digest = keyed("audit point", &body.concat());
    digest[0] &= 0x3f;
    Fr::from_be_bytes_mod_order(&digest)
}

/// Returns the audit proof of these slots at version 5, without a record.
pub(crate) fn audit_of(params: TreeParams, slots: Slots) -> AuditProof {
    let polynomial = polynomial(&slots);
    let mut proof = AuditProof {
        params,
        version: 5,
        record: None,
        kzg_root: polynomial.commitment(),
        slots: Box::new(slots),
        opening: [0; 48],
    };
    proof.opening = polynomial.open_at(point(&proof));
    proof
}

/// Returns an audit proof with a record.
pub(crate) fn audit() -> AuditProof {
    let proof = audit_of(salted(), slots());
    let record = record(&proof);
    AuditProof {
        record: Some(record),
        ..proof
    }
}

pub(crate) fn salted() -> TreeParams {
    TreeParams {
        nonce: [5; 16],
        salt: Some(Salt::new([6; 32])),
        collision: CollisionPolicy::Reject,
    }
}

pub(crate) fn record(proof: &AuditProof) -> CommitRecord {
    CommitRecord {
        version: proof.version,
        state_digest: state_digest(&proof.slots[..]),
        metadata: b"why".to_vec(),
        ..CommitRecord::genesis(proof.params.tree_id())
    }
}

pub(crate) fn root(proof: &AuditProof) -> Root {
    Root::of(&record(proof), Some(proof.kzg_root))
}

pub(crate) fn by_state(proof: &AuditProof) -> Expected {
    Expected::StateDigest {
        tree_id: proof.params.tree_id(),
        state_digest: state_digest(&proof.slots[..]),
    }
}

pub(crate) fn by_kzg_root(proof: &AuditProof) -> Expected {
    Expected::KzgRoot {
        tree_id: proof.params.tree_id(),
        kzg_root: proof.kzg_root,
    }
}
