//! HTTP with JSON: the handlers under `/v1`, health, and the OpenAPI description.

mod json;
mod openapi;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{Api, Call};
use crate::auth::{Scope, require};
use crate::error::{Code, ServiceError};
use crate::observe::figures::Observed;
use crate::observe::{metrics as recorder, table};
use crate::proto;

/// The header with which a request sets its deadline, milliseconds.
pub(crate) const DEADLINE_HEADER: &str = "trunkline-deadline-ms";

/// Returns the routes of the handlers.
pub(crate) fn routes(api: Arc<Api>) -> Router {
    let read = |route| require(Scope::Read, route);
    let write = |route| require(Scope::Write, route);
    let admin = |route| require(Scope::Admin, route);
    let message_bytes_max = api.config.message_bytes_max;
    Router::new()
        .route("/v1/submit", write(post(submit)))
        .route("/v1/preview", read(post(preview)))
        .route("/v1/get", read(post(read_many)))
        .route("/v1/range", read(post(range)))
        .route("/v1/keys/{key}", read(get(read_one)))
        .route("/v1/prove", read(post(prove)))
        .route("/v1/root", read(get(root)))
        .route("/v1/versions", read(get(versions)))
        .route("/v1/history/ancestor", read(get(ancestor)))
        .route("/v1/history/consistency", read(get(consistency)))
        .route("/v1/evidence", read(get(evidence)))
        .route("/v1/audit", read(get(audit)))
        .route("/v1/feed", read(get(feed)))
        .route("/v1/status", read(get(status)))
        .route("/v1/admin/config", admin(get(config)))
        .route("/v1/admin/reload", admin(post(reload)))
        .route("/v1/admin/decisions", admin(get(decisions)))
        .route("/v1/admin/revert", admin(post(revert)))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", read(get(metrics)))
        .route("/openapi.json", read(get(openapi::document)))
        .layer(DefaultBodyLimit::max(message_bytes_max))
        .with_state(api)
}

type Reply<T> = Result<Json<T>, ServiceError>;

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        self.count();
        let body = Json(json::ErrorReply::of(&self));
        let mut response = (self.code.http_status(), body).into_response();
        if let Some(after) = self.retry_after {
            // In whole seconds, at least one.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A JSON body. Its errors are those of the service.
struct Sent<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = ServiceError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ServiceError> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| {
            let code = match rejection.status() {
                axum::http::StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
                _ => Code::InvalidRequest,
            };
            ServiceError::new(code, rejection.body_text())
        })?;
        let parsed = serde_json::from_slice(&bytes)
            .map_err(|error| ServiceError::new(Code::InvalidRequest, format!("the body: {error}")));
        Ok(Self(parsed?))
    }
}

/// The parameters of a request's address.
struct Asked<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Asked<T> {
    type Rejection = ServiceError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, ServiceError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let invalid = |rejection: axum::extract::rejection::QueryRejection| {
            ServiceError::new(Code::InvalidRequest, rejection.body_text())
        };
        query.map(|Query(asked)| Self(asked)).map_err(invalid)
    }
}

async fn submit(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::SubmitRequest>,
) -> Reply<json::SubmitReply> {
    let reply = api.submit(&call, request.message()?).await?;
    Ok(Json(json::SubmitReply::of(reply)))
}

async fn preview(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::PreviewRequest>,
) -> Reply<json::PreviewReply> {
    let reply = api.preview(&call, request.message()?).await?;
    Ok(Json(json::PreviewReply::of(reply)))
}

async fn read_many(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::GetRequest>,
) -> Reply<json::GetReply> {
    let reply = api.get(&call, request.message()?).await?;
    Ok(Json(json::GetReply::of(reply)))
}

async fn range(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::RangeRequest>,
) -> Reply<json::RangeReply> {
    let reply = api.range(&call, request.message()?).await?;
    Ok(Json(json::RangeReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadOne {
    version: Option<u64>,
    #[serde(default)]
    min_version: u64,
    /// True if the key is in hex.
    #[serde(default)]
    hex: bool,
}

/// Returns the value itself, or 404.
async fn read_one(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Path(key): Path<String>,
    Asked(asked): Asked<ReadOne>,
) -> Result<Response, ServiceError> {
    let key = match asked.hex {
        true => json::from_hex("key", &key)?,
        false => key.into(),
    };
    let request = proto::GetRequest {
        keys: vec![key],
        at: Some(proto::At {
            kind: asked.version.map(proto::at::Kind::Version),
        }),
        min_version: asked.min_version,
    };
    let reply = api.get(&call, request).await?;
    let version = reply.version.unwrap_or_default();
    let value = reply
        .values
        .into_iter()
        .next()
        .and_then(|value| value.value);
    let Some(value) = value else {
        let message = format!("the key has no value at version {version}");
        return Err(ServiceError::new(Code::NotFound, message));
    };
    let mut response = Response::new(Body::from(value));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert("trunkline-version", version.into());
    Ok(response)
}

async fn prove(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::ProveRequest>,
) -> Reply<json::ProveReply> {
    let reply = api.prove(&call, request.message()?).await?;
    Ok(Json(json::ProveReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRoot {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    with_kzg_root: bool,
    #[serde(default)]
    min_version: u64,
}

async fn root(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(asked): Asked<AskedRoot>,
) -> Reply<json::RootReply> {
    let request = proto::GetRootRequest {
        version: asked.version,
        with_kzg_root: asked.with_kzg_root,
        min_version: asked.min_version,
    };
    let reply = api.root(&call, request).await?;
    Ok(Json(json::RootReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedVersions {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    count: u32,
}

async fn versions(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(asked): Asked<AskedVersions>,
) -> Reply<json::VersionsReply> {
    let request = proto::ListVersionsRequest {
        from: asked.from,
        count: asked.count,
    };
    let reply = api.versions(&call, request).await?;
    Ok(Json(json::VersionsReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedAncestor {
    #[serde(default)]
    version: u64,
    ancestor: u64,
}

async fn ancestor(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(AskedAncestor { version, ancestor }): Asked<AskedAncestor>,
) -> Reply<json::ProofReply> {
    let request = proto::ProveAncestorRequest { version, ancestor };
    let reply = api.prove_ancestor(&call, request).await?;
    Ok(Json(json::ProofReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedConsistency {
    #[serde(default)]
    version: u64,
    older_version: u64,
}

async fn consistency(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(asked): Asked<AskedConsistency>,
) -> Reply<json::ProofReply> {
    let request = proto::ProveConsistencyRequest {
        version: asked.version,
        older_version: asked.older_version,
    };
    let reply = api.prove_consistency(&call, request).await?;
    Ok(Json(json::ProofReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedEvidence {
    sequence: u64,
}

async fn evidence(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(AskedEvidence { sequence }): Asked<AskedEvidence>,
) -> Reply<json::ProofReply> {
    let request = proto::ProveSubmissionRequest { sequence };
    let reply = api.prove_submission(&call, request).await?;
    Ok(Json(json::ProofReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedAudit {
    #[serde(default)]
    version: u64,
}

async fn audit(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Asked(AskedAudit { version }): Asked<AskedAudit>,
) -> Reply<json::ProofReply> {
    let reply = api
        .prove_audit(&call, proto::ProveAuditRequest { version })
        .await?;
    Ok(Json(json::ProofReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedFeed {
    #[serde(default = "first")]
    from: u64,
}

fn first() -> u64 {
    1
}

/// Sends a line of JSON for each version, without an end. An error is the last line.
async fn feed(
    State(api): State<Arc<Api>>,
    Asked(AskedFeed { from }): Asked<AskedFeed>,
) -> Result<Response, ServiceError> {
    let entries = api.feed(proto::FeedRequest { from })?;
    let lines = entries.map(|entry| match entry {
        Ok(entry) => line(&json::FeedLine::of(entry)),
        Err(error) => line(&json::ErrorReply::of(&error)),
    });
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn line<T: serde::Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}

async fn status(State(api): State<Arc<Api>>) -> Json<json::StatusReply> {
    Json(json::StatusReply::of(api.status()))
}

async fn config(State(api): State<Arc<Api>>) -> Result<String, ServiceError> {
    Ok(api.config()?.toml)
}

async fn reload(State(api): State<Arc<Api>>) -> Result<String, ServiceError> {
    Ok(api.reload()?.toml)
}

async fn revert(
    State(api): State<Arc<Api>>,
    Extension(call): Extension<Call>,
    Sent(request): Sent<json::RevertRequest>,
) -> Reply<json::SubmitReply> {
    let reply = api.revert(&call, request.message()?).await?;
    Ok(Json(json::SubmitReply::of(reply)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedDecisions {
    #[serde(default)]
    from: u64,
}

/// Returns the decisions as lines of JSON.
async fn decisions(
    State(api): State<Arc<Api>>,
    Asked(AskedDecisions { from }): Asked<AskedDecisions>,
) -> Result<Response, ServiceError> {
    let reply = api.decisions(&proto::GetDecisionsRequest { from })?;
    let lines = reply
        .decisions
        .into_iter()
        .map(|decision| decision.json + "\n");
    let mut response = Response::new(Body::from(lines.collect::<String>()));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Answers as long as the process can; a restart would not fix what `/ready` reports.
async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, ServiceError> {
    api.ready().map(|()| "ready\n")
}

/// Returns the metrics of the service and of the engine, for Prometheus.
async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, ServiceError> {
    let Some(recorder) = recorder::installed() else {
        let message =
            "this program records no metrics; call observe::metrics::install at its start";
        return Err(ServiceError::new(Code::NotFound, message));
    };
    api.backend.figures().report();
    table::ready().set(f64::from(api.ready().is_ok()));
    let headers = [(header::CONTENT_TYPE, recorder::CONTENT_TYPE)];
    Ok((headers, recorder.render()).into_response())
}
