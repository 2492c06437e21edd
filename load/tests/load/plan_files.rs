use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use toml::{Table, Value};
use trunkline_load::{Distribution, Phase, Phases, Plan, Shares, Workload};

const DEFAULT: &str = include_str!("../../../plans/default.toml");

/// Returns a plan with every value set. It names all fields, so that a new field does not compile without it.
fn full() -> Plan {
    let default = Plan::default();
    Plan {
        name: default.name,
        seed: default.seed,
        instance: default.instance,
        thresholds: vec!["update.p99<50ms".parse().unwrap()],
        keys: default.keys,
        value_bytes: default.value_bytes,
        workload: default.workload,
        distribution: Some(Distribution::Hotspot),
        hot_keys_share: default.hot_keys_share,
        hot_operations_share: default.hot_operations_share,
        multi_get_keys_max: default.multi_get_keys_max,
        proof_top: default.proof_top,
        mode: default.mode,
        rate: Some(1.0),
        rate_share: default.rate_share,
        arrivals: default.arrivals,
        pacing: default.pacing,
        in_flight_operations_max: default.in_flight_operations_max,
        concurrency: default.concurrency,
        batch: default.batch,
        batch_linger_us: default.batch_linger_us,
        readers: Some(1),
        warmup_s: Some(1.0),
        duration_s: Some(1.0),
        ops: Some(1),
        mix: Some(Shares {
            read: 100,
            multi_get: 0,
            verify: 0,
            update: 0,
            insert: 0,
            delete: 0,
            read_modify_write: 0,
        }),
        shape: default.shape,
        phase: vec![Phase {
            at_s: 0.0,
            rate_factor: 1.0,
            workload: Some(Workload::B),
            distribution: Some(Distribution::Uniform),
            mix: Some(Shares {
                read: 100,
                ..Shares::default()
            }),
        }],
    }
}

/// Returns keys and values by their paths: those of a table below its name, those of the first phase below `phase`.
fn keys(table: &Table) -> BTreeMap<String, &Value> {
    let mut keys = BTreeMap::new();
    for (name, value) in table {
        let below = match value {
            Value::Table(table) => Some(table),
            Value::Array(tables) => tables.first().and_then(Value::as_table),
            _ => None,
        };
        match below {
            Some(below) => {
                let below = below.iter();
                keys.extend(below.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            None => {
                keys.insert(name.clone(), value);
            }
        }
    }
    keys
}

/// Returns the key or the table name on a line, commented out or not.
fn setting(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let (key, _) = line.split_once(" = ").unwrap_or(("", ""));
    let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
    let is_key = !key.is_empty() && key.chars().all(is_name);
    Some(line).filter(|line| is_key || line.starts_with('['))
}

/// Returns the file with its commented settings uncommented.
fn uncommented() -> String {
    let lines = DEFAULT.lines().map(|line| setting(line).unwrap_or(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the comment above the line of a setting.
fn comment_above(setting_begins: &str) -> String {
    let lines: Vec<&str> = DEFAULT.lines().collect();
    let is_it = |line: &&str| setting(line).is_some_and(|line| line.starts_with(setting_begins));
    let index = lines.iter().position(is_it).unwrap();
    let above = lines[..index].iter().rev();
    let comment = above.take_while(|line| line.starts_with('#') && setting(line).is_none());
    comment.copied().collect::<Vec<_>>().join(" ")
}

#[test]
fn as_it_stands() {
    let plan = Plan::from_toml("default.toml", DEFAULT).unwrap();
    assert_eq!(plan, Plan::default());
}

#[test]
fn with_every_key_of_a_plan_commented_out_or_not() {
    let plan = Plan::from_toml("default.toml", &uncommented()).unwrap();
    let (written, expected) = (
        Table::try_from(plan).unwrap(),
        Table::try_from(full()).unwrap(),
    );
    let (written, expected) = (keys(&written), keys(&expected));
    let names = |keys: &BTreeMap<String, &Value>| keys.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&expected));

    // Settings with a default are in force.
    let in_force: Table = DEFAULT.parse().unwrap();
    assert_eq!(in_force, Table::try_from(Plan::default()).unwrap());
}

#[test]
fn and_every_key_has_a_comment() {
    let lines = DEFAULT.lines().filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    for pair in lines.windows(2) {
        let is_key = setting(pair[1]).is_some_and(|line| !line.starts_with('['));
        let is_said = pair[0].starts_with("# ") && setting(pair[0]).is_none();
        assert!(is_said || !is_key, "{} has no comment", pair[1]);
    }
}

#[test]
fn and_its_bounds_are_those_that_are_checked() {
    let file = uncommented();
    let mut checked = 0;
    for (key, value) in keys(&file.parse().unwrap()) {
        // The sum of a mix is checked, and TOML has no number above the largest seed.
        if key.starts_with("mix.") || key == "seed" {
            continue;
        }
        let beyond = match value {
            Value::Integer(_) => [Value::Integer(4_000_000_000), Value::Integer(1 << 51)],
            Value::Float(_) => [Value::Float(1e9), Value::Float(-1.0)],
            _ => continue,
        };
        let name = key.rsplit('.').next().unwrap();
        let said = comment_above(&format!("{name} = "));
        let invalid = beyond.iter().find_map(|beyond| {
            let mut plan: Table = file.parse().unwrap();
            let table = match key.starts_with("phase.") {
                true => plan["phase"][0].as_table_mut().unwrap(),
                false => &mut plan,
            };
            table.insert(name.to_owned(), beyond.clone());
            plan.try_into::<Plan>().unwrap().validate().err()
        });
        let invalid = invalid.unwrap();
        assert!(invalid.key.ends_with(name), "{invalid}");
        assert!(said.contains(&invalid.expected), "{invalid}, {said:?}");
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn every_phase_file_changes_the_default_plan_and_leaves_it_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plans");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() == Some(OsStr::new("default.toml")) {
            continue;
        }
        let phases = Phases::from_file(&path).unwrap();
        let plan = Plan {
            shape: phases.shape,
            phase: phases.phase,
            ..Plan::default()
        };
        assert_eq!(plan.validate(), Ok(()), "{}", path.display());
        assert_ne!(plan, Plan::default(), "{}", path.display());
        names.push(path.file_stem().unwrap().to_owned());
    }
    names.sort();
    let known = [
        "bursts",
        "day",
        "rate-doubles",
        "rate-halves",
        "skew-shifts",
    ];
    assert_eq!(names, known);
}
