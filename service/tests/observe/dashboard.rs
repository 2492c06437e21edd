//! The Grafana dashboard: a few panels chosen by hand, then one for each metric of the table.

use serde_json::{Value, json};
use trunkline::metrics::{Kind, Metric, Unit};
use trunkline_service::observe::metrics;
use trunkline_service::observe::table;

use crate::alerts::with_names;

const COLUMNS: usize = 3;
const PANEL_WIDTH: usize = 24 / COLUMNS;
const PANEL_HEIGHT: usize = 7;
/// Restricts a series to the viewer's selection.
const CHOSEN: &str = "job=~\"$job\",instance=~\"$instance\"";

/// The first row: title, unit of Grafana, expression, legend.
const OVERVIEW: [(&str, &str, &str, &str); 6] = [
    (
        "Updates a second",
        "ops",
        "sum by (engine, instance) (rate({operations}{CHOSEN=}[$__rate_interval]))",
        "{{instance}} {{engine}}",
    ),
    (
        "Durable, p99 and its target",
        "s",
        "histogram_quantile(0.99, sum by (engine, instance, le) (rate({durable_us}_bucket{CHOSEN=,state=\"durable\"}[$__rate_interval])))",
        "{{instance}} {{engine}}",
    ),
    (
        "Time of a stage, p99",
        "s",
        "histogram_quantile(0.99, sum by (stage, le) (rate({service_us}_bucket{CHOSEN=}[$__rate_interval])))",
        "{{stage}}",
    ),
    (
        "Requests a second by code",
        "reqps",
        "sum by (protocol, code) (rate({requests}{CHOSEN=}[$__rate_interval]))",
        "{{protocol}} {{code}}",
    ),
    (
        "Refused requests a second",
        "reqps",
        "sum by (reason) (rate({rejected}{CHOSEN=}[$__rate_interval]))",
        "{{reason}}",
    ),
    (
        "Versions that followers lack",
        "short",
        "{synced_version}{CHOSEN=} - on (job, instance, engine) group_right () {cursor_version}{CHOSEN=}",
        "{{instance}} {{cursor}}",
    ),
];

/// Returns every metric of a service, and of an archiver in the same process.
pub(crate) fn all_metrics() -> impl Iterator<Item = &'static Metric> {
    metrics::all_metrics().chain(trunkline_archive::METRICS)
}

/// Returns the dashboard.
pub(crate) fn dashboard() -> Value {
    let mut panels = Panels::default();
    panels.row("Overview");
    for (title, unit, expression, legend) in OVERVIEW {
        let expression = with_names(expression).replace("CHOSEN=", CHOSEN);
        panels.add(title, "", unit, &[(expression, legend.to_owned())]);
    }
    panels.row("Service");
    panels.add_table(table::TABLE);
    panels.row("Engine");
    panels.add_table(trunkline::metrics::TABLE);
    panels.row("Members");
    panels.add_table(trunkline_replication::METRICS);
    panels.row("Archivers");
    panels.add_table(trunkline_archive::METRICS);
    json!({
        "title": "trunkline",
        "uid": "trunkline",
        "tags": ["trunkline"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus" },
            variable("job", "label_values({synced_version}, job)"),
            variable("instance", "label_values({synced_version}{job=~\"$job\"}, instance)"),
        ] },
        "panels": panels.panels,
    })
}

fn variable(name: &str, query: &str) -> Value {
    json!({
        "name": name,
        "type": "query",
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "query": with_names(query),
        "refresh": 2,
        "multi": true,
        "includeAll": true,
        "current": { "text": "All", "value": "$__all" },
    })
}

#[derive(Default)]
struct Panels {
    panels: Vec<Value>,
    column: usize,
    y: usize,
}

impl Panels {
    fn row(&mut self, title: &str) {
        self.end_line();
        let place = json!({ "x": 0, "y": self.y, "w": 24, "h": 1 });
        let id = self.panels.len() + 1;
        self.panels.push(json!({ "id": id, "type": "row", "title": title, "collapsed": false, "gridPos": place, "panels": [] }));
        self.y += 1;
    }

    fn end_line(&mut self) {
        if self.column > 0 {
            (self.column, self.y) = (0, self.y + PANEL_HEIGHT);
        }
    }

    fn add(&mut self, title: &str, help: &str, unit: &str, lines: &[(String, String)]) {
        let source = json!({ "type": "prometheus", "uid": "${datasource}" });
        let targets: Vec<Value> = lines
            .iter()
            .zip('A'..)
            .map(|((expression, legend), id)| {
                json!({ "refId": id.to_string(), "datasource": source, "expr": expression, "legendFormat": legend })
            })
            .collect();
        let place = json!({ "x": self.column * PANEL_WIDTH, "y": self.y, "w": PANEL_WIDTH, "h": PANEL_HEIGHT });
        self.panels.push(json!({
            "id": self.panels.len() + 1,
            "type": "timeseries",
            "title": title,
            "description": help,
            "datasource": source,
            "gridPos": place,
            "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
            "targets": targets,
        }));
        self.column += 1;
        if self.column == COLUMNS {
            self.end_line();
        }
    }

    /// Adds a panel for each name of a table. Metrics that share a name differ in their labels.
    fn add_table(&mut self, table: &[Metric]) {
        for (place, metric) in table.iter().enumerate() {
            if table[..place]
                .iter()
                .all(|earlier| earlier.name != metric.name)
            {
                let title = metric
                    .name
                    .trim_start_matches("trunkline_")
                    .replace('_', " ");
                self.add(&title, metric.help, unit(metric), &lines(metric));
            }
        }
    }
}

/// Returns the expressions of a metric's panel with their legends.
fn lines(metric: &Metric) -> Vec<(String, String)> {
    let is_of_engine = !metric.name.contains("_service_") && metric.field != "build_info";
    let mut labels = vec!["instance"];
    labels.extend(is_of_engine.then_some("engine"));
    labels.extend(
        metric
            .labels
            .iter()
            .map(|(label, _)| *label)
            .filter(|label| *label != "engine"),
    );
    let legend: Vec<String> = labels
        .iter()
        .map(|label| format!("{{{{{label}}}}}"))
        .collect();
    let (by, legend, name) = (labels.join(", "), legend.join(" "), metric.name);
    let rate = |suffix| format!("rate({name}{suffix}{{{CHOSEN}}}[$__rate_interval])");
    match metric.kind {
        Kind::Counter => vec![(format!("sum by ({by}) ({})", rate("")), legend)],
        Kind::Gauge => vec![(format!("{name}{{{CHOSEN}}}"), legend)],
        Kind::Histogram => ["0.5", "0.99"]
            .map(|quantile| {
                let buckets = format!("sum by ({by}, le) ({})", rate("_bucket"));
                (
                    format!("histogram_quantile({quantile}, {buckets})"),
                    format!("{legend} {quantile}"),
                )
            })
            .into(),
    }
}

fn unit(metric: &Metric) -> &'static str {
    match (metric.unit, metric.kind) {
        (Unit::Seconds, _) => "s",
        (Unit::Bytes, Kind::Counter) => "Bps",
        (Unit::Bytes, _) => "bytes",
        (Unit::Count, Kind::Counter) => "cps",
        (Unit::Count, _) => "short",
    }
}

/// Returns the names of all metrics that have a panel.
pub(crate) fn names_with_a_panel(dashboard: &Value) -> Vec<&'static str> {
    let text = dashboard["panels"].to_string();
    let has_panel = |name: &&str| {
        text.contains(&format!("{name}{{")) || text.contains(&format!("{name}_bucket{{"))
    };
    all_metrics()
        .map(|metric| metric.name)
        .filter(has_panel)
        .collect()
}
