//! Compares a proof of one key as protobuf, as the engine has it, with JSON of the same content, in both directions.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkline::core::proof::{Claim, Proof, Top};
use trunkline::{Batch, Config, Engine, TopKind};

use super::turns::in_turns;
use super::{Scope, data};
use crate::error::LadderError;
use crate::figures::Comparison;
use crate::workload;

const TURNS: usize = 9;
const ROUNDS: u64 = 1_000;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let proof = proof(scope)?;
    let json = serde_json::to_vec(&JsonProof::of(&proof))?;
    let protobuf = proof.encode().map_err(LadderError::at("encode"))?;
    let mut comparison = in_turns(
        TURNS,
        ("a proof", ROUNDS),
        |_| {
            let started_at = Instant::now();
            for _ in 0..ROUNDS {
                let bytes = proof.encode().map_err(LadderError::at("encode"))?;
                let decoded = Proof::decode(&bytes).map_err(LadderError::at("decode"))?;
                std::hint::black_box(decoded);
            }
            Ok(started_at.elapsed())
        },
        |_| {
            let started_at = Instant::now();
            for _ in 0..ROUNDS {
                let bytes = serde_json::to_vec(&JsonProof::of(&proof))?;
                let decoded: JsonProof = serde_json::from_slice(&bytes)?;
                std::hint::black_box(decoded.digests()?);
            }
            Ok(started_at.elapsed())
        },
    )?;
    comparison.remark = format!(
        "{} against {} bytes; the protobuf side also checks its bounds and its one form",
        protobuf.len(),
        json.len()
    );
    Ok(comparison)
}

fn proof(scope: &Scope<'_>) -> Result<Proof, LadderError> {
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
    let proof = snapshot
        .prove([workload::key(1)], TopKind::Hash)
        .map_err(LadderError::at("prove"))?;
    engine
        .shutdown_blocking()
        .map_err(LadderError::at("shut down"))?;
    Ok(proof)
}

/// The content of a proof of present keys with a hash top. Bytes are in hexadecimal.
#[derive(Deserialize, Serialize)]
struct JsonProof {
    version: u64,
    entries: Vec<JsonEntry>,
    depths: Vec<u8>,
    siblings: Vec<String>,
    top: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct JsonEntry {
    key: String,
    value: Option<String>,
}

impl JsonProof {
    fn of(proof: &Proof) -> Self {
        let proof = &proof.versions[0];
        let entries = proof.entries.iter().map(|entry| JsonEntry {
            key: hex::encode(&entry.key),
            value: match &entry.claim {
                Claim::Present(value) => Some(hex::encode(value)),
                Claim::PresentHash(_) | Claim::Absent => None,
            },
        });
        let top = match &proof.top {
            Top::Hash { siblings } => siblings.iter().map(hex::encode).collect(),
            Top::Kzg { .. } => Vec::new(),
        };
        Self {
            version: proof.version,
            entries: entries.collect(),
            depths: proof.terminals.iter().map(|it| it.depth).collect(),
            siblings: proof.siblings.iter().map(hex::encode).collect(),
            top,
        }
    }

    /// Returns the digests in the form that a verifier needs.
    fn digests(&self) -> Result<Vec<[u8; 32]>, LadderError> {
        let texts = self.siblings.iter().chain(&self.top);
        texts
            .map(|text| {
                let mut digest = [0; 32];
                hex::decode_to_slice(text, &mut digest).map_err(LadderError::at("decode"))?;
                Ok(digest)
            })
            .collect()
    }
}
