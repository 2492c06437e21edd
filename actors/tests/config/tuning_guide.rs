use std::collections::BTreeMap;

use toml::{Table, Value};
use trunkline::Config;
use trunkline_actors::config::RELOADABLE;

const GUIDE: &str = include_str!("../../../docs/TUNING.md");

/// A row of the guide: | `section.key` | default | range | kind | what | effect |
struct Row<'a> {
    default: &'a str,
    range: &'a str,
    kind: &'a str,
    what: &'a str,
    effect: &'a str,
}

fn rows() -> BTreeMap<&'static str, Row<'static>> {
    let mut rows = BTreeMap::new();
    for line in GUIDE.lines() {
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let cells: Vec<&str> = row
            .trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        let [key, default, range, kind, what, effect] = cells[..] else {
            continue;
        };
        // In other tables the first cell is more than a name.
        let Some(key) = key.strip_suffix('`') else {
            continue;
        };
        let row = Row {
            default,
            range,
            kind,
            what,
            effect,
        };
        assert!(rows.insert(key, row).is_none(), "{key} is there twice");
    }
    rows
}

/// Returns every key of the configuration with its default, as TOML.
fn keys() -> BTreeMap<String, Value> {
    let sections = Table::try_from(Config::default()).unwrap();
    let mut keys = BTreeMap::new();
    for (section, content) in sections {
        for (key, value) in content.as_table().unwrap() {
            keys.insert(format!("{section}.{key}"), value.clone());
        }
    }
    keys
}

#[test]
fn the_guide_has_every_key_and_no_other() {
    let (guide, config) = (rows(), keys());
    let missing: Vec<_> = config
        .keys()
        .filter(|key| !guide.contains_key(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/TUNING.md: {missing:?}");
    let unknown: Vec<_> = guide
        .keys()
        .filter(|key| !config.contains_key(**key))
        .collect();
    assert!(
        unknown.is_empty(),
        "no key of the configuration: {unknown:?}"
    );
}

#[test]
fn the_guide_gives_each_default_and_whether_it_is_reloadable() {
    let config = keys();
    for (key, row) in rows() {
        let default = format!("`{}`", config[key]);
        assert_eq!(row.default, default, "{key}");
        let kind = match RELOADABLE.contains(&key) {
            true => "reloadable",
            false => "static",
        };
        assert_eq!(row.kind, kind, "{key}");
    }
}

#[test]
fn the_guide_explains_every_key() {
    for (key, row) in rows() {
        for cell in [row.range, row.what, row.effect] {
            assert!(cell.len() > 1, "{key} has an empty cell");
        }
    }
}

/// Reads an end of a range: a number with or without a unit, and perhaps its meaning in brackets. `None`: it is the
/// value of another key.
fn end(text: &str) -> Option<i64> {
    if text.starts_with('`') {
        return None;
    }
    if text == "2³²−1" {
        return Some(i64::from(u32::MAX));
    }
    let text = text.split(" (").next().unwrap_or(text).replace(',', "");
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let times = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" | "B" | "ms" | "steps" => 1,
        unit => panic!("{unit:?} is no unit"),
    };
    Some(number.parse::<i64>().unwrap() * times)
}

/// Returns whether this value of a key, with the defaults of all others, is refused because of that key.
fn is_refused(key: &str, value: i64) -> bool {
    let (section, name) = key.split_once('.').unwrap();
    let mut sections = Table::try_from(Config::default()).unwrap();
    let section = sections[section].as_table_mut().unwrap();
    section.insert(name.to_owned(), Value::Integer(value));
    let Ok(config) = sections.try_into::<Config>() else {
        return true;
    };
    // Other keys may depend on this one; their errors do not count.
    config.validate().is_err_and(|invalid| invalid.key() == key)
}

#[test]
fn the_ranges_of_the_guide_are_those_that_are_accepted() {
    let config = keys();
    let mut checked = 0;
    for (key, row) in rows() {
        let Some((least, most)) = row.range.split_once('–') else {
            continue;
        };
        if !config[key].is_integer() {
            continue;
        }
        if let Some(least) = end(least) {
            assert!(!is_refused(key, least), "{key} = {least}");
            assert!(is_refused(key, least - 1), "{key} = {}", least - 1);
        }
        let most = end(most).unwrap();
        assert!(!is_refused(key, most), "{key} = {most}");
        assert!(is_refused(key, most + 1), "{key} = {}", most + 1);
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}
