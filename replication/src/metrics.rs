//! The metrics of members, exported through the `metrics` facade with the labels `engine` and `member`.

use std::time::Duration;

use metrics::{Counter, Gauge, Label, counter};
use trunkline::metrics::{Kind, Metric, Unit};

use crate::protocol::Acknowledgements;
use crate::replica::{FollowerState, Status};

const fn gauge(
    field: &'static str,
    name: &'static str,
    unit: Unit,
    labels: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Metric {
    Metric {
        field,
        name,
        kind: Kind::Gauge,
        unit,
        labels,
        help,
    }
}

const LAG: Metric = gauge(
    "follower_lag_versions",
    "trunkline_follower_lag_versions",
    Unit::Count,
    &[("member", "")],
    "Versions that the stream is known to have and that are not synced at this replica.",
);
const SILENCE: Metric = gauge(
    "follower_silence_seconds",
    "trunkline_follower_silence_seconds",
    Unit::Seconds,
    &[("member", "")],
    "Time since this replica heard its primary, or since it began to follow; it grows while the carrier does not answer, too.",
);
const FOLLOWER_EPOCH: Metric = gauge(
    "follower_epoch",
    "trunkline_follower_epoch",
    Unit::Count,
    &[("member", "")],
    "Epoch that the stream of this replica is in; 0 before it has read a beginning.",
);
const STATE: Metric = gauge(
    "follower_state",
    "trunkline_follower_state",
    Unit::Count,
    &[("member", ""), ("state", "")],
    "1 for the state that this replica is in, 0 for all others: follows, waits_for_archive, held, stopped.",
);
const STRAYS: Metric = Metric {
    field: "follower_strays",
    name: "trunkline_follower_strays_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: &[("member", "")],
    help: "Parts of messages that this replica ignored because they do not belong into the stream.",
};
const PRIMARY_EPOCH: Metric = gauge(
    "primary_epoch",
    "trunkline_primary_epoch",
    Unit::Count,
    &[("member", "")],
    "Epoch that this primary writes in; 0 once it publishes no more.",
);
const REPLICATED: Metric = gauge(
    "primary_replicated_version",
    "trunkline_primary_replicated_version",
    Unit::Count,
    &[("member", "")],
    "Last version that a majority of the carrier's servers keeps.",
);
const FOLLOWED: Metric = gauge(
    "primary_followed_version",
    "trunkline_primary_followed_version",
    Unit::Count,
    &[("member", ""), ("replicas", "")],
    "Last version that a number of replicas have synced.",
);
const MEMBER_SYNCED: Metric = gauge(
    "primary_member_synced_version",
    "trunkline_primary_member_synced_version",
    Unit::Count,
    &[("member", ""), ("replica", "")],
    "Last version of this primary that a replica reported as synced.",
);

/// All metrics of members. Each also has the label `engine`.
///
/// ```
/// for metric in trunkline_replication::METRICS {
///     println!("# HELP {} {}", metric.name, metric.help);
/// }
/// ```
pub const METRICS: &[Metric] = &[
    LAG,
    SILENCE,
    FOLLOWER_EPOCH,
    STATE,
    STRAYS,
    PRIMARY_EPOCH,
    REPLICATED,
    FOLLOWED,
    MEMBER_SYNCED,
];

/// The labels that all metrics of a member have.
pub(crate) struct Labels {
    pub(crate) engine: String,
    pub(crate) member: String,
}

impl Labels {
    fn with(&self, metric: &Metric, values: &[&str]) -> Vec<Label> {
        let values = [&*self.member].into_iter().chain(values.iter().copied());
        let of_metric = metric.labels.iter().map(|(name, _)| *name).zip(values);
        [("engine", &*self.engine)]
            .into_iter()
            .chain(of_metric)
            .map(|(name, value)| Label::new(name, value.to_owned()))
            .collect()
    }

    fn gauge(&self, metric: &Metric, values: &[&str]) -> Gauge {
        metrics::gauge!(description: metric.help, metric.name, self.with(metric, values))
    }

    fn counter(&self, metric: &Metric) -> Counter {
        counter!(description: metric.help, metric.name, self.with(metric, &[]))
    }
}

const STATES: [(FollowerState, &str); 4] = [
    (FollowerState::Follows, "follows"),
    (FollowerState::WaitsForArchive, "waits_for_archive"),
    (FollowerState::Held, "held"),
    (FollowerState::Stopped, "stopped"),
];

/// The metrics of a replica.
pub(crate) struct FollowerMetrics {
    lag: Gauge,
    silence: Gauge,
    epoch: Gauge,
    states: [(FollowerState, Gauge); 4],
    strays: Counter,
}

impl FollowerMetrics {
    pub(crate) fn new(labels: &Labels) -> Self {
        Self {
            lag: labels.gauge(&LAG, &[]),
            silence: labels.gauge(&SILENCE, &[]),
            epoch: labels.gauge(&FOLLOWER_EPOCH, &[]),
            states: STATES.map(|(state, name)| (state, labels.gauge(&STATE, &[name]))),
            strays: labels.counter(&STRAYS),
        }
    }

    pub(crate) fn record(&self, status: &Status, synced: u64, silence: Duration) {
        self.lag.set(status.stream.saturating_sub(synced) as f64);
        self.silence.set(silence.as_secs_f64());
        self.epoch.set(status.epoch as f64);
        for (state, gauge) in &self.states {
            gauge.set(f64::from(u8::from(*state == status.state())));
        }
        self.strays.absolute(status.strays);
    }
}

impl Drop for FollowerMetrics {
    fn drop(&mut self) {
        // A stopped replica is in none of the states.
        for gauge in [&self.lag, &self.silence, &self.epoch] {
            gauge.set(0.0);
        }
        for (_, gauge) in &self.states {
            gauge.set(0.0);
        }
    }
}

/// The metrics of a primary.
pub(crate) struct PrimaryMetrics {
    epoch: Gauge,
    replicated: Gauge,
    followed: Vec<Gauge>,
    synced: Vec<(String, Gauge)>,
}

impl PrimaryMetrics {
    pub(crate) fn new(labels: &Labels, replicas: &[&str]) -> Self {
        let counts = 1..=replicas.len();
        Self {
            epoch: labels.gauge(&PRIMARY_EPOCH, &[]),
            replicated: labels.gauge(&REPLICATED, &[]),
            followed: counts
                .map(|count| labels.gauge(&FOLLOWED, &[&count.to_string()]))
                .collect(),
            synced: replicas
                .iter()
                .map(|name| ((*name).to_owned(), labels.gauge(&MEMBER_SYNCED, &[name])))
                .collect(),
        }
    }

    /// Records the acknowledgements.
    pub(crate) fn record(&self, epoch: u64, acknowledgements: &Acknowledgements) {
        self.epoch.set(epoch as f64);
        self.replicated.set(acknowledgements.replicated() as f64);
        for (index, gauge) in self.followed.iter().enumerate() {
            gauge.set(acknowledgements.followed(index + 1) as f64);
        }
        for (name, gauge) in &self.synced {
            gauge.set(acknowledgements.synced(name) as f64);
        }
    }
}

impl Drop for PrimaryMetrics {
    fn drop(&mut self) {
        self.epoch.set(0.0);
    }
}
