//! A scenario as in its file: the pipeline, the arrivals and the expected results.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// The subject of the scenario, for readers of a failure.
    pub(crate) about: String,
    pub(crate) target_p99_ms: u64,
    /// Operations of a group at the start.
    pub(crate) start_cap: u64,
    #[serde(default = "cap_min")]
    pub(crate) cap_min: u64,
    #[serde(default = "cap_max")]
    pub(crate) cap_max: u64,
    /// Operations in flight, as configured.
    #[serde(default = "in_flight_max")]
    pub(crate) in_flight_max: u64,
    #[serde(default = "in_flight_min")]
    pub(crate) in_flight_min: u64,
    /// True if the limit of operations in flight may be changed.
    #[serde(default = "yes")]
    pub(crate) admission: bool,
    pub(crate) pipeline: Pipeline,
    pub(crate) phase: Vec<Phase>,
}

/// The pipeline: a stage takes `fixed_us + per_operation_ns × operations`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    #[serde(default = "four")]
    pub(crate) groups_in_flight_max: u64,
    /// The fixed cost of ingest, tree, hash, kzg and persist, in microseconds.
    pub(crate) fixed_us: [f64; 5],
    pub(crate) per_operation_ns: [f64; 5],
    /// Nanoseconds that tree and hash take per operation, for each 100,000 operations of its group.
    #[serde(default)]
    pub(crate) per_operation_ns_per_100k: f64,
    /// The time of a sync, which all waiting versions share.
    pub(crate) sync_us: f64,
    /// Standard deviation of the logarithm of a service time.
    #[serde(default = "noise")]
    pub(crate) noise: f64,
    /// Bytes of an operation, and the most bytes of a group.
    #[serde(default = "operation_bytes")]
    pub(crate) operation_bytes: u64,
    #[serde(default = "group_bytes_max")]
    pub(crate) group_bytes_max: u64,
}

/// The arrivals from a window on, and the results expected until the next phase.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) windows: u64,
    /// Windows at the beginning of the phase that are not judged.
    pub(crate) settle: u64,
    /// Callers that submit again once their submission is durable; 0 if arrivals do not wait for that.
    #[serde(default)]
    pub(crate) callers: u64,
    /// Additional callers whose submissions have a single operation; the same number in each phase of a scenario.
    #[serde(default)]
    pub(crate) small_callers: u64,
    /// Operations a second that arrive independently, and the rate at the end of the phase.
    #[serde(default)]
    pub(crate) rate: f64,
    #[serde(default)]
    pub(crate) rate_end: Option<f64>,
    pub(crate) submission: u32,
    /// Every `period_ms`, for `length_ms`, `factor` times the arrivals.
    #[serde(default)]
    pub(crate) burst: Option<Burst>,
    /// The factor on all service times.
    #[serde(default = "one")]
    pub(crate) service: f64,
    /// Stalls of the persist stage: one service that takes longer by the given time, milliseconds after the phase
    /// began.
    #[serde(default)]
    pub(crate) stalls: Vec<Stall>,
    /// Periods in which all services take a multiple of their time, milliseconds after the phase began.
    #[serde(default)]
    pub(crate) spells: Vec<Spell>,
    #[serde(default)]
    pub(crate) expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Burst {
    pub(crate) period_ms: u64,
    pub(crate) length_ms: u64,
    pub(crate) factor: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stall {
    pub(crate) after_ms: u64,
    pub(crate) length_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spell {
    pub(crate) after_ms: u64,
    pub(crate) until_ms: u64,
    pub(crate) factor: f64,
}

/// The bands of a phase.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// The least ratio of the throughput to that of the best static setting.
    pub(crate) ratio_min: f64,
    /// The largest share of windows above the target.
    pub(crate) over_max: f64,
    /// The bounds of the cap in force at the end of the phase.
    pub(crate) cap: [u64; 2],
    /// The largest cap divided by the smallest in any twenty windows after settling, minus one.
    pub(crate) amplitude_max: f64,
    /// The most changes of direction in ten windows.
    pub(crate) reversals_max: usize,
    /// The most decisions about the cap after settling.
    pub(crate) moves_max: usize,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            ratio_min: 0.95,
            over_max: 0.05,
            cap: [1, u64::MAX],
            amplitude_max: 0.20,
            reversals_max: 1,
            moves_max: usize::MAX,
        }
    }
}

fn cap_min() -> u64 {
    64
}
fn cap_max() -> u64 {
    1_000_000
}
fn in_flight_max() -> u64 {
    1_000_000
}
fn in_flight_min() -> u64 {
    2_000
}
fn yes() -> bool {
    true
}
fn four() -> u64 {
    4
}
fn noise() -> f64 {
    0.15
}
fn one() -> f64 {
    1.0
}
fn operation_bytes() -> u64 {
    100
}
fn group_bytes_max() -> u64 {
    32 << 20
}

/// Returns all scenarios of the pipeline, by name.
pub(crate) fn scenarios() -> Vec<(String, Scenario)> {
    files(|table| table.contains_key("pipeline"))
}

/// Returns the files whose content is wanted, by name.
pub(crate) fn files<T: DeserializeOwned>(wanted: fn(&toml::Table) -> bool) -> Vec<(String, T)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    found.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let scenario = || toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        wanted(&table).then(|| (name.clone(), scenario()))
    };
    found.iter().filter_map(read).collect()
}
