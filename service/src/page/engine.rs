//! The figures of an engine or a replica for the page.

use std::sync::Arc;
use std::time::SystemTime;

use super::live::Live;
use super::observation::{About, Member, MemoryOwner, Observation, Position, Status};
use crate::api::Api;
use crate::backend::Backend;
use crate::observe::figures::Observed;

impl Live {
    /// Creates the stream of the service's own engine or replica.
    pub fn of_service(api: Arc<Api>) -> Self {
        let about = About {
            began_unix_ms: unix_ms().saturating_sub(api.backend.uptime_us() / 1000),
            title: api.backend.config().engine.name.clone(),
            has_proofs: true,
        };
        let places = api.streams.clone();
        Self::new(about, places, move |position| observe(&api, position))
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn observe(api: &Api, position: &Position) -> Observation {
    let backend = &api.backend;
    let status = status(api);
    let (spans, spans_end) = backend.spans_from(position.span);
    Observation {
        members: members(backend, status.synced_version),
        memory: memory(backend),
        windows: backend.windows_since(position.window),
        decisions: backend.decisions_since(position.decision),
        spans,
        spans_end,
        status,
    }
}

fn status(api: &Api) -> Status {
    let backend = &api.backend;
    let snapshot = backend.snapshot();
    Status {
        uptime_us: backend.uptime_us(),
        role: Some(backend.role()),
        tree_id: Some(hex::encode(snapshot.record().tree_id)),
        durable_version: snapshot.version(),
        synced_version: backend.synced_version(),
        oldest_version: backend.oldest_version(),
        key_count: snapshot.key_count(),
        epoch: backend.epoch(),
        note: String::new(),
        failure: backend.failure(),
        is_draining: api.is_draining(),
    }
}

fn members(backend: &Backend, synced: u64) -> Vec<Member> {
    let member = |name: String, kind, version| Member {
        name,
        kind,
        version,
        lag_versions: synced.saturating_sub(version),
        silence_ms: None,
    };
    let mut members = match backend {
        Backend::Engine(_) => Vec::new(),
        Backend::Primary(primary) => {
            let replicated = primary.reached(trunkline_replication::Level::Replicated);
            let carrier = member("carrier".to_owned(), "carrier", replicated);
            let followers = primary.followers().into_iter();
            let followers = followers.map(|(name, version)| member(name, "replica", version));
            std::iter::once(carrier).chain(followers).collect()
        }
        Backend::Replica(following) => {
            let status = following.status();
            vec![Member {
                lag_versions: status.stream.saturating_sub(synced),
                silence_ms: Some(status.silence_ms()),
                ..member("primary".to_owned(), "primary", status.stream)
            }]
        }
    };
    let cursors = backend.cursors().into_iter();
    members.extend(cursors.map(|cursor| member(cursor.name, "cursor", cursor.version)));
    members
}

/// Returns who has the resident memory, in three parts. The metrics tell more owners apart.
fn memory(backend: &Backend) -> Vec<MemoryOwner> {
    let metrics = backend.metrics();
    let bound = |bytes: u64| (bytes > 0).then_some(bytes);
    let checkpoint = backend.config().checkpoint.unflushed_bytes_max;
    let known = metrics.tree_bytes + metrics.unflushed_bytes;
    let owner = |name, bytes, bytes_max| MemoryOwner {
        name,
        bytes,
        bytes_max,
    };
    vec![
        owner("tree", metrics.tree_bytes, bound(metrics.tree_bytes_max)),
        owner(
            "values before a checkpoint",
            metrics.unflushed_bytes,
            bound(checkpoint),
        ),
        owner(
            "value cache and everything else",
            metrics.resident_bytes.saturating_sub(known),
            None,
        ),
    ]
}
