//! The JSON Schema of `run.json`, generated from the types that are written and read.

use serde_json::Value;

use super::run::{RUN_FORMAT, Run};

/// Returns the JSON Schema (draft 2020-12) of [`RUN_FILE`](super::RUN_FILE). `load/schema/run.schema.json` holds it.
///
/// ```
/// let schema = trunkline_load::run_schema();
/// assert_eq!(schema["properties"]["format"]["const"], trunkline_load::RUN_FORMAT);
/// ```
pub fn run_schema() -> Value {
    let mut schema = schemars::schema_for!(Run).to_value();
    schema["properties"]["format"]["const"] = RUN_FORMAT.into();
    schema
}
