//! Compares the log's own encoding of a batch's effects with JSON, in both directions.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkline::core::params::TreeParams;
use trunkline::core::store::effect::{Effect, decode_effects};

use super::Scope;
use super::data::{self, Batches};
use super::turns::in_turns;
use crate::error::LadderError;
use crate::figures::Comparison;

const TURNS: usize = 9;

#[derive(Deserialize, Serialize)]
struct JsonEffect {
    key: String,
    value: Option<String>,
}

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let params = TreeParams::default();
    let batch = data::prepared(Batches::after(scope.keys).next())?;
    let mut sizes = (0, 0);
    let mut comparison = in_turns(
        TURNS,
        ("a put", data::BATCH),
        |_| {
            let started_at = Instant::now();
            let bytes = data::encoded(&batch)?;
            let effects = decode_effects(&params, &bytes).map_err(LadderError::at("decode"))?;
            let taken = started_at.elapsed();
            check(effects.len())?;
            sizes.0 = bytes.len();
            Ok(taken)
        },
        |_| {
            let started_at = Instant::now();
            let effects: Vec<JsonEffect> = data::effects(&batch).map(json).collect();
            let bytes = serde_json::to_vec(&effects)?;
            let decoded: Vec<JsonEffect> = serde_json::from_slice(&bytes)?;
            // The keys' hashes are computed again, as on the binary side.
            for effect in &decoded {
                let key = hex::decode(&effect.key).map_err(LadderError::at("decode"))?;
                let value = hex::decode(effect.value.as_deref().unwrap_or_default());
                value.map_err(LadderError::at("decode"))?;
                std::hint::black_box(params.key_hash(&key));
            }
            let taken = started_at.elapsed();
            check(decoded.len())?;
            sizes.1 = bytes.len();
            Ok(taken)
        },
    )?;
    let each = |bytes: usize| bytes as f64 / data::BATCH as f64;
    comparison.remark = format!(
        "{:.0} against {:.0} bytes a put",
        each(sizes.0),
        each(sizes.1)
    );
    Ok(comparison)
}

fn json(effect: Effect<'_>) -> JsonEffect {
    JsonEffect {
        key: hex::encode(effect.key),
        value: effect.change.map(hex::encode),
    }
}

fn check(count: usize) -> Result<(), LadderError> {
    if count as u64 == data::BATCH {
        return Ok(());
    }
    Err(LadderError::Differs {
        what: "the number of effects",
    })
}
