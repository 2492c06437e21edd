//! Compares one proof of many keys of one root, with one pairing for its openings, with one proof per key.

use std::time::Instant;

use trunkline::core::proof::{Expected, Proof, verify};
use trunkline::core::record::Root;
use trunkline::{Batch, Config, Engine, TopKind};

use super::turns::in_turns;
use super::{Scope, data};
use crate::error::LadderError;
use crate::figures::Comparison;
use crate::workload::{self, Key};

const TURNS: usize = 5;
const KEYS: u64 = 64;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let config = Config::in_directory(scope.directory.join("state"));
    let engine = Engine::open_blocking(config).map_err(LadderError::at("open"))?;
    let mut batch = Batch::new();
    for index in 0..data::BATCH {
        batch.put(workload::key(index), workload::value(index));
    }
    let receipt = engine
        .submit_blocking(batch)
        .map_err(LadderError::at("submit"))?;
    receipt
        .durable_blocking()
        .map_err(LadderError::at("commit"))?;
    let snapshot = engine.snapshot();
    let prove = |keys: &[Key]| {
        let proof = snapshot.prove(keys, TopKind::Kzg);
        proof.map_err(LadderError::at("prove"))
    };
    let keys: Vec<Key> = (0..KEYS).map(workload::key).collect();
    let together = prove(&keys)?;
    let apart = keys
        .iter()
        .map(|key| prove(&[*key]))
        .collect::<Result<Vec<Proof>, _>>()?;
    let root = snapshot.root();
    let mut comparison = in_turns(
        TURNS,
        ("a key verified", KEYS),
        |_| timed(&root, std::slice::from_ref(&together)),
        |_| timed(&root, &apart),
    )?;
    let bytes = |proofs: &[Proof]| -> Result<usize, LadderError> {
        let encoded = proofs.iter().map(|proof| Ok(proof.encode()?.len()));
        let sum: Result<usize, trunkline::core::proof::ProofFormError> = encoded.sum();
        sum.map_err(LadderError::at("encode"))
    };
    comparison.remark = format!(
        "{} against {} bytes",
        bytes(std::slice::from_ref(&together))?,
        bytes(&apart)?
    );
    engine
        .shutdown_blocking()
        .map_err(LadderError::at("shut down"))?;
    Ok(comparison)
}

fn timed(root: &Root, proofs: &[Proof]) -> Result<std::time::Duration, LadderError> {
    let started_at = Instant::now();
    for proof in proofs {
        verify(proof, &Expected::Root(*root)).map_err(LadderError::at("verify"))?;
    }
    Ok(started_at.elapsed())
}
