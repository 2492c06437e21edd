//! Measures the most that mapping the file of the KZG tables could save: reading it and turning its bytes into points.
//! Its hash must be checked in either case. Mapping itself would be `unsafe` and is not done here.

use std::time::Instant;

use trunkline::core::hash;
use trunkline::core::kzg::{Setup, TABLES_BYTES, Tables};

use super::Scope;
use super::turns::in_turns;
use crate::error::LadderError;
use crate::figures::Comparison;

const TURNS: usize = 9;

pub(crate) fn compare(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    let path = scope.directory.join("tables");
    let setup = Setup::ceremony().map_err(LadderError::at("check the setup"))?;
    let bytes = Tables::build(&setup).encode();
    std::fs::write(&path, &bytes).map_err(LadderError::file(&path))?;
    let mut comparison = in_turns(
        TURNS,
        ("a process", 1),
        |_| {
            let started_at = Instant::now();
            std::hint::black_box(hash::hash(&bytes));
            Ok(started_at.elapsed())
        },
        |_| {
            let started_at = Instant::now();
            let read = std::fs::read(&path).map_err(LadderError::file(&path))?;
            let tables = Tables::decode(&read).map_err(LadderError::at("decode"))?;
            std::hint::black_box(tables);
            Ok(started_at.elapsed())
        },
    )?;
    comparison.remark = format!(
        "{:.1} ms saved once a process, for {} MiB of tables",
        (comparison.without - comparison.with) / 1e6,
        TABLES_BYTES >> 20
    );
    Ok(comparison)
}
