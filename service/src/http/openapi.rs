//! The description of the HTTP interface.

use axum::Json;
use utoipa::OpenApi;

use super::json;

/// Declares the paths: each function represents a handler, and has the documentation that callers see.
mod paths {
    #![allow(dead_code)]
    use super::json::*;

    #[utoipa::path(post, path = "/v1/submit", request_body = SubmitRequest, responses(
        (status = 200, body = SubmitReply, description = "The wanted level was reached. The outcome may be a refusal."),
        (status = 409, body = ErrorReply, description = "The idempotency key belongs to another batch"),
        (status = 503, body = ErrorReply, description = "Nothing was done; try again after retry_after_ms"),
        (status = 504, body = ErrorReply, description = "The deadline has passed; the batch may take effect")))]
    /// Submits a batch, which takes effect completely or not at all.
    fn submit() {}

    #[utoipa::path(post, path = "/v1/preview", request_body = PreviewRequest, responses(
        (status = 200, body = PreviewReply, description = "Outcomes may be refusals. Nothing was committed."),
        (status = 410, body = ErrorReply, description = "The version is no longer in memory"),
        (status = 503, body = ErrorReply, description = "Forks take as much memory as they may")))]
    /// Returns the outcomes that batches would have, and the roots of the resulting state. Commits nothing.
    fn preview() {}

    #[utoipa::path(post, path = "/v1/get", request_body = GetRequest, responses(
        (status = 200, body = GetReply), (status = 410, body = ErrorReply, description = "The version is no longer kept")))]
    /// Reads values.
    fn get() {}

    #[utoipa::path(post, path = "/v1/range", request_body = RangeRequest, responses(
        (status = 200, body = RangeReply),
        (status = 400, body = ErrorReply, description = "The directory keeps no index of keys, or the bounds contradict each other"),
        (status = 410, body = ErrorReply, description = "The version is no longer kept")))]
    /// Reads a page of a range of keys in byte order. Needs `store.key_order`.
    fn range() {}

    #[utoipa::path(get, path = "/v1/keys/{key}", params(
        ("key" = String, Path, description = "The key, or its hex form"),
        ("hex" = Option<bool>, Query, description = "The key is in hex"),
        ("version" = Option<u64>, Query, description = "A version that is kept; without it the newest durable one"),
        ("min_version" = Option<u64>, Query, description = "Waits until this version is here")), responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = ErrorReply, description = "The key has no value")))]
    /// Reads one value itself, without JSON.
    fn read_one() {}

    #[utoipa::path(post, path = "/v1/prove", request_body = ProveRequest, responses(
        (status = 200, body = ProveReply), (status = 410, body = ErrorReply, description = "The version is no longer kept")))]
    /// Proves for each key its value, or that it has none.
    fn prove() {}

    #[utoipa::path(get, path = "/v1/root", params(
        ("version" = Option<u64>, Query), ("with_kzg_root" = Option<bool>, Query), ("min_version" = Option<u64>, Query)),
        responses((status = 200, body = RootReply)))]
    /// Returns a root and its commit record.
    fn root() {}

    #[utoipa::path(get, path = "/v1/versions", params(
        ("from" = Option<u64>, Query, description = "The first version to list; the newest ones without it"),
        ("count" = Option<u32>, Query, description = "Most versions to list, 1 to 1,000; 20 without it")),
        responses((status = 200, body = VersionsReply)))]
    /// Returns versions that can be read: in memory, or archived.
    fn versions() {}

    #[utoipa::path(get, path = "/v1/history/ancestor", params(("version" = Option<u64>, Query), ("ancestor" = u64, Query)),
        responses((status = 200, body = ProofReply)))]
    /// Proves that an older version is an ancestor.
    fn ancestor() {}

    #[utoipa::path(get, path = "/v1/history/consistency",
        params(("version" = Option<u64>, Query), ("older_version" = u64, Query)), responses((status = 200, body = ProofReply)))]
    /// Proves that the history continues that of an older version.
    fn consistency() {}

    #[utoipa::path(get, path = "/v1/evidence", params(("sequence" = u64, Query)), responses((status = 200, body = ProofReply)))]
    /// Proves the position and the outcome of a submission.
    fn evidence() {}

    #[utoipa::path(get, path = "/v1/audit", params(("version" = Option<u64>, Query)), responses((status = 200, body = ProofReply)))]
    /// Proves that state digest and KZG root belong to the same state.
    fn audit() {}

    #[utoipa::path(get, path = "/v1/feed", params(("from" = Option<u64>, Query)),
        responses((status = 200, body = FeedLine, content_type = "application/x-ndjson")))]
    /// Sends a line for each synced version from one on, without an end.
    fn feed() {}

    #[utoipa::path(get, path = "/v1/status", responses((status = 200, body = StatusReply)))]
    /// Returns the state of the service.
    fn status() {}

    #[utoipa::path(get, path = "/v1/admin/config", responses((status = 200, body = String, content_type = "text/plain")))]
    /// Returns the configuration in force.
    fn config() {}

    #[utoipa::path(post, path = "/v1/admin/reload", responses((status = 200, body = String, content_type = "text/plain")))]
    /// Reads configuration, tokens and certificates again.
    fn reload() {}

    #[utoipa::path(get, path = "/v1/admin/decisions", params(("from" = Option<u64>, Query)),
        responses((status = 200, body = String, content_type = "application/x-ndjson")))]
    /// Returns the changes that the engine made to its settings, with reasons.
    fn decisions() {}

    #[utoipa::path(post, path = "/v1/admin/revert", request_body = RevertRequest, responses(
        (status = 200, body = SubmitReply, description = "The wanted level was reached."),
        (status = 409, body = ErrorReply, description = "The idempotency key belongs to another submission"),
        (status = 410, body = ErrorReply, description = "The version is no longer kept"),
        (status = 413, body = ErrorReply, description = "More has changed since than one submission may"),
        (status = 504, body = ErrorReply, description = "The deadline has passed; the revert may take effect")))]
    /// Restores the state of an older version, as a new version.
    fn revert() {}

    #[utoipa::path(get, path = "/live", responses((status = 200, body = String, content_type = "text/plain")))]
    /// Answers as long as the process can.
    fn live() {}

    #[utoipa::path(get, path = "/ready", responses(
        (status = 200, body = String, content_type = "text/plain"), (status = 503, body = ErrorReply)))]
    /// Answers with 200 if the service accepts work.
    fn ready() {}

    #[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
    /// Returns the metrics for Prometheus.
    fn metrics() {}
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "trunkline",
        description = "Authenticated key-value state: submit batches, read, and prove.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        paths::submit,
        paths::preview,
        paths::get,
        paths::range,
        paths::read_one,
        paths::prove,
        paths::root,
        paths::versions,
        paths::ancestor,
        paths::consistency,
        paths::evidence,
        paths::audit,
        paths::feed,
        paths::status,
        paths::config,
        paths::reload,
        paths::decisions,
        paths::revert,
        paths::live,
        paths::ready,
        paths::metrics
    )
)]
struct Description;

pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
