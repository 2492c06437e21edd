use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};
use trunkline::Config;

const GUIDE: &str = include_str!("../../../docs/TUNING.md");
const PROFILES: [&str; 4] = ["read-heavy", "write-heavy", "mixed", "low-latency"];

/// Keys with their values.
type Settings = BTreeMap<String, Value>;

fn path(profile: &str) -> std::path::PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    directory.join(profile).with_extension("toml")
}

#[test]
fn every_profile_loads() {
    for profile in PROFILES {
        let config = Config::layers().file(&path(profile)).unwrap();
        assert!(config.build().is_ok(), "{profile}");
    }
}

/// Returns the settings of a profile's file.
fn of_file(profile: &str) -> Settings {
    let text = std::fs::read_to_string(path(profile)).unwrap();
    let mut settings = Settings::new();
    for (section, content) in text.parse::<Table>().unwrap() {
        for (key, value) in content.as_table().unwrap() {
            settings.insert(format!("{section}.{key}"), value.clone());
        }
    }
    settings
}

/// Reads a setting as the guide writes it: `section.key = value`, bytes in MiB.
fn setting(text: &str) -> (String, Value) {
    let text = text
        .strip_prefix('`')
        .and_then(|text| text.strip_suffix('`'));
    let (key, value) = text.unwrap().split_once(" = ").unwrap();
    let value = match value.strip_suffix(" MiB") {
        Some(mebibytes) => Value::Integer(mebibytes.parse::<i64>().unwrap() << 20),
        None => format!("value = {value}").parse::<Table>().unwrap()["value"].clone(),
    };
    (key.to_owned(), value)
}

/// Returns the settings that profiles kept, by the guide. A row without a name belongs to the profile above.
fn of_guide() -> BTreeMap<String, Settings> {
    let (_, section) = GUIDE.split_once("\n## The profiles\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let mut profiles: BTreeMap<String, Settings> = BTreeMap::new();
    let mut profile = String::new();
    // The first two rows are the head.
    for row in rows.skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if !cells[1].is_empty() {
            profile = cells[1].trim_matches('`').to_owned();
        }
        let kept = profiles.entry(profile.clone()).or_default();
        if cells[3] == "nothing" {
            continue;
        }
        let (key, value) = setting(cells[3]);
        assert!(kept.insert(key, value).is_none(), "twice in {profile}");
    }
    profiles
}

#[test]
fn the_tuning_guide_has_the_settings_of_every_profile() {
    let files = PROFILES.map(|profile| (profile.to_owned(), of_file(profile)));
    assert_eq!(of_guide(), BTreeMap::from(files));
}
