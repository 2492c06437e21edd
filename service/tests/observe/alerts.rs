//! The alert rules. Metric names are written as `{field}`, and taken from the table.

use std::fmt::Write;

use serde_json::Value;

use crate::dashboard::all_metrics;

/// A rule of `docs/prometheus/alerts.yml`.
pub(crate) struct Alert {
    pub(crate) name: &'static str,
    expression: &'static str,
    /// Time for which it must hold.
    hold: &'static str,
    severity: &'static str,
    summary: &'static str,
    action: &'static str,
}

pub(crate) const ALERTS: &[Alert] = &[
    Alert {
        name: "TrunklineEngineFailed",
        expression: "{failed} == 1",
        hold: "0m",
        severity: "critical",
        summary: "The engine {{ $labels.engine }} on {{ $labels.instance }} has failed and acknowledges nothing.",
        action: "Read the failure in the log. Remove its cause, then restart the service: it opens at the last durable version.",
    },
    Alert {
        name: "TrunklineDiskError",
        expression: "{failure_reason}{reason=~\"stage|checkpoint\"} == 1",
        hold: "0m",
        severity: "critical",
        summary: "The disk or the store of {{ $labels.instance }} failed under the engine {{ $labels.engine }}.",
        action: "Look at the kernel's log and at the free space. Copy the directory before you repair anything, run `trunkline check`, then restart or fail over.",
    },
    Alert {
        name: "TrunklineDirectoryReplaced",
        expression: "{failure_reason}{reason=\"replaced\"} == 1",
        hold: "0m",
        severity: "critical",
        summary: "The directory of the engine {{ $labels.engine }} on {{ $labels.instance }} was replaced or opened twice.",
        action: "Stop whatever else uses the directory before you restart the service.",
    },
    Alert {
        name: "TrunklineReplicaDiverged",
        expression: "{failure_reason}{reason=\"diverged\"} == 1",
        hold: "0m",
        severity: "critical",
        summary: "The replica on {{ $labels.instance }} computes another version than its primary committed.",
        action: "Do not promote it. Run `trunkline check` on both directories, and restore the damaged one.",
    },
    Alert {
        name: "TrunklineReplicaLagging",
        expression: "{replica_lag_versions} > 1000 and deriv({replica_lag_versions}[10m]) > 0",
        hold: "10m",
        severity: "warning",
        summary: "The replica on {{ $labels.instance }} is {{ $value }} versions behind, and falls back further.",
        action: "Compare its disk and processor with the primary's. What is acknowledged as followed waits for it.",
    },
    Alert {
        name: "TrunklineReplicaStopped",
        expression: "{follower_state}{state=~\"stopped|held\"} == 1",
        hold: "1m",
        severity: "critical",
        summary: "The replica {{ $labels.member }} on {{ $labels.instance }} is {{ $labels.state }} and follows no more.",
        action: "Read the reason in its log. Let it rejoin if it was fenced; after a loss of the carrier, promote as the runbook says.",
    },
    Alert {
        name: "TrunklinePrimarySilent",
        expression: "{follower_silence_seconds} > 30",
        hold: "1m",
        severity: "critical",
        summary: "The replica {{ $labels.member }} on {{ $labels.instance }} has heard nothing of its primary for {{ $value | humanizeDuration }}.",
        action: "See whether the primary and the carrier work. If the primary does not come back, promote a replica.",
    },
    Alert {
        name: "TrunklineNotReplicated",
        expression: "{synced_version} > on (job, instance, engine) {primary_replicated_version} and on (job, instance, engine) changes({primary_replicated_version}[2m]) == 0 and on (job, instance, engine) {primary_epoch} > 0",
        hold: "2m",
        severity: "critical",
        summary: "The primary on {{ $labels.instance }} commits, and the carrier has taken nothing for minutes.",
        action: "See whether a majority of the carrier's servers works and has room. What is committed meanwhile is on this machine alone.",
    },
    Alert {
        name: "TrunklineNotArchived",
        expression: "{archive_version} < on (job, instance, engine) group_left () {synced_version} and changes({archive_version}[10m]) == 0",
        hold: "5m",
        severity: "warning",
        summary: "The archiver {{ $labels.cursor }} on {{ $labels.instance }} has archived nothing for minutes, and the engine commits.",
        action: "Read its failure in the log: the store may not answer, or refuse. The log is kept for it up to log.held_bytes_max.",
    },
    Alert {
        name: "TrunklineLogHeld",
        expression: "{log_held_bytes} > 0.8 * {log_held_bytes_max}",
        hold: "5m",
        severity: "warning",
        summary: "The log of {{ $labels.instance }} keeps {{ $value | humanize1024 }}B for followers; beyond the bound they lose their place.",
        action: "Find the cursor that does not move, and mend its follower or remove the cursor. Or raise log.held_bytes_max.",
    },
    Alert {
        name: "TrunklineDurableLatency",
        expression: "histogram_quantile(0.99, sum by (job, instance, engine, le) (rate({durable_us}_bucket{state=\"durable\"}[5m]))) > {durable_target}",
        hold: "10m",
        severity: "warning",
        summary: "99 % of the submissions on {{ $labels.instance }} are durable only after {{ $value | humanizeDuration }}.",
        action: "See which stage takes the time, and whether commits wait for checkpoints or the disk.",
    },
    Alert {
        name: "TrunklineCheckpointBehind",
        expression: "{unflushed_bytes} > 0.8 * {unflushed_bytes_max}",
        hold: "5m",
        severity: "warning",
        summary: "Checkpoints of {{ $labels.instance }} do not keep up; commits are slowed down.",
        action: "Look at the disk's throughput, and at store.worker_threads and checkpoint.bytes_max.",
    },
    Alert {
        name: "TrunklineOverloaded",
        expression: "sum by (job, instance) (rate({rejected}{reason=~\"overload|deadline\"}[5m])) > 0.01 * sum by (job, instance) (rate({requests}[5m]))",
        hold: "5m",
        severity: "warning",
        summary: "{{ $labels.instance }} refuses {{ $value | humanize }} requests a second because it is overloaded.",
        action: "Callers should wait as long as the error says. If they do, spread the load or give the machine more.",
    },
    Alert {
        name: "TrunklineArchiveBehind",
        expression: "({synced_version} - on (job, instance, engine) group_right () {cursor_version}{cursor=\"archive\"}) > 0 and changes({cursor_version}{cursor=\"archive\"}[10m]) == 0",
        hold: "10m",
        severity: "warning",
        summary: "The archive of {{ $labels.instance }} lacks {{ $value }} versions and takes no more.",
        action: "Check that the object store answers and that the credentials are valid. The log is kept meanwhile, up to its bound.",
    },
    Alert {
        name: "TrunklineFollowerStalled",
        expression: "({synced_version} - on (job, instance, engine) group_right () {cursor_version}{cursor!=\"archive\"}) > 0 and changes({cursor_version}{cursor!=\"archive\"}[10m]) == 0",
        hold: "10m",
        severity: "warning",
        summary: "The follower {{ $labels.cursor }} of {{ $labels.instance }} is {{ $value }} versions behind and does not move.",
        action: "Restart it, or remove its cursor if nobody needs it. The log is kept meanwhile, up to its bound.",
    },
    Alert {
        name: "TrunklineCursorGap",
        expression: "{cursor_gap} == 1",
        hold: "0m",
        severity: "critical",
        summary: "The follower {{ $labels.cursor }} of {{ $labels.instance }} has lost its place: versions that it needs were trimmed.",
        action: "Let it begin from a copy of the state. An archive makes a new base by itself; versions before that are not in it.",
    },
    Alert {
        name: "TrunklineNotReady",
        expression: "{ready} == 0",
        hold: "5m",
        severity: "critical",
        summary: "{{ $labels.instance }} has not been ready for requests for five minutes.",
        action: "The log says what it waits for. Opening replays the log since the last checkpoint.",
    },
    Alert {
        name: "TrunklineServerErrors",
        expression: "sum by (job, instance, method) (rate({requests}{code=~\"500|Internal|Unknown|DataLoss\"}[5m])) > 0",
        hold: "5m",
        severity: "warning",
        summary: "{{ $labels.instance }} answers {{ $labels.method }} with internal errors.",
        action: "Find the request ids in the log. An engine that failed has an alert of its own.",
    },
    Alert {
        name: "TrunklineAuthenticationFailing",
        expression: "sum by (job, instance) (rate({rejected}{reason=\"authentication\"}[5m])) > 1",
        hold: "10m",
        severity: "warning",
        summary: "{{ $labels.instance }} refuses {{ $value | humanize }} requests a second without a valid token or certificate.",
        action: "After a rotation, a caller has the old token. Otherwise somebody guesses: close the address.",
    },
    Alert {
        name: "TrunklineCertificateExpires",
        expression: "{certificate_expiry} - time() < 14 * 86400",
        hold: "0m",
        severity: "warning",
        summary: "The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}.",
        action: "Put a new certificate in its place and reload the service; no restart is needed.",
    },
    Alert {
        name: "TrunklineReloadRefused",
        expression: "increase({file_reloads}{result=\"failure\"}[15m]) > 0 or increase({reloads_refused}[15m]) > 0",
        hold: "0m",
        severity: "warning",
        summary: "{{ $labels.instance }} was told to read a file again and refused it; what was before is in force.",
        action: "The log names the file and the line. Correct it before the next restart, which would fail.",
    },
];

/// Replaces fields by the names of their metrics.
///
/// # Panics
///
/// Panics if the table does not have a field.
pub(crate) fn with_names(expression: &str) -> String {
    let (mut named, mut rest) = (String::new(), expression);
    while let Some((before, after)) = rest.split_once('{') {
        named.push_str(before);
        let (inside, after) = after.split_once('}').unwrap();
        // Label matchers are in braces, too.
        match inside.contains(['=', '!']) {
            true => write!(named, "{{{inside}}}").unwrap(),
            false => {
                let metric = all_metrics().find(|metric| metric.field == inside);
                named.push_str(
                    metric
                        .unwrap_or_else(|| panic!("no metric has the field {inside}"))
                        .name,
                );
            }
        }
        rest = after;
    }
    named + rest
}

impl Alert {
    /// Returns the heading of the section of `docs/OPERATIONS.md` about the alert.
    pub(crate) fn heading(&self) -> String {
        format!("### {}", self.name)
    }
}

/// Returns the rules as YAML. A JSON string is one of YAML.
pub(crate) fn rules() -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut yaml = "# Made from service/tests/observe/alerts.rs. Do not edit; the test `documents` says how to make it again.\n\
        groups:\n  - name: trunkline\n    rules:\n"
        .to_owned();
    for alert in ALERTS {
        let anchor = alert.name.to_lowercase();
        write!(
            yaml,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        annotations:\n\
             \x20         summary: {}\n          action: {}\n          runbook: {}\n",
            alert.name,
            quoted(&with_names(alert.expression)),
            alert.hold,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.action),
            quoted(&format!("docs/OPERATIONS.md#{anchor}")),
        )
        .unwrap();
    }
    yaml
}
