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
    describe(&mut schema);
    // The text is the same with either map that a build of `serde_json` may have.
    schema.sort_all_objects();
    schema
}

/// Turns the documentation of Rust types into descriptions without examples and links.
fn describe(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = description(text),
                    value => describe(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(describe),
        _ => {}
    }
}

/// Returns the paragraphs before the first example or reference to one, with names in place of links.
fn description(documentation: &str) -> String {
    let is_prose = |part: &&str| !part.starts_with("```") && !part.starts_with("See [");
    let parts: Vec<&str> = documentation.split("\n\n").take_while(is_prose).collect();
    let mut linked = parts.join("\n\n").replace("[`", "`");
    while let Some(end) = linked.find("`]") {
        let target = &linked[end + 2..];
        let closed = target.strip_prefix('(').and_then(|target| target.find(')'));
        let link = closed.map_or(0, |closed| closed + 2);
        linked.replace_range(end + 1..end + 2 + link, "");
    }
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_prose_without_links() {
        let text = "The [`Run`] of a\n[`group_share`](crate::x) here.\n\nMore.\n\n```\nlet x = 1;\n```\n\nEnd.";
        assert_eq!(
            description(text),
            "The `Run` of a\n`group_share` here.\n\nMore."
        );
        assert_eq!(description("One.\n\nSee [`Run`] for an example."), "One.");
        assert_eq!(description("[`A`"), "`A`");
    }
}
