//! The middleware that measures requests.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tower::ServiceExt;
use tracing::info;
use trunkline_service::observe::log::{Format, capture};
use trunkline_service::observe::request::{self, GRPC_METHODS};
use trunkline_service::observe::trace_context::{REQUEST_ID, TRACEPARENT};
use trunkline_service::observe::{metrics, table};

use crate::lines::Lines;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PROTOCOL: &str = include_str!("../../proto/trunkline/service/v1/service.proto");

async fn echo(body: Bytes) -> Bytes {
    request::record_principal("alice");
    request::record_sequence(11);
    request::record_version(7);
    info!(target: "trunkline_service::http", "echoed");
    body
}

/// Returns a unary gRPC response: a message, then its status.
async fn unary(body: Bytes) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "8".parse().unwrap());
    let frames = [Frame::data(body), Frame::trailers(trailers)].map(Ok::<_, axum::Error>);
    Response::new(Body::new(StreamBody::new(stream::iter(frames))))
}

async fn call(request: Request) -> Response {
    let router = Router::new()
        .route("/observe/echo/{name}", post(echo))
        .route("/observe/logged/{name}", post(echo))
        .route(
            "/observe/failing",
            get(|| async { StatusCode::INTERNAL_SERVER_ERROR }),
        )
        .route("/trunkline.service.v1.Trunkline/{*method}", any(unary))
        .layer(middleware::from_fn(request::observe));
    router.oneshot(request).await.unwrap()
}

fn http(path: &str, body: &'static str) -> Request {
    let builder = Request::builder().method("POST").uri(path);
    let builder = builder
        .header("authorization", "Bearer secret-token")
        .header(TRACEPARENT, PARENT);
    builder
        .header(REQUEST_ID, "from-the-caller")
        .body(Body::from(body))
        .unwrap()
}

fn grpc(method: &str) -> Request {
    let path = format!("/trunkline.service.v1.Trunkline/{method}");
    let builder = Request::builder().method("POST").uri(path);
    builder
        .header("content-type", "application/grpc")
        .body(Body::from("12345"))
        .unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_code() {
    let handle = metrics::install().unwrap();
    let response = call(http("/observe/echo/a-secret?key=secret", "hello")).await;
    assert_eq!(response.headers()[REQUEST_ID], "from-the-caller");
    let trace = response.headers()[TRACEPARENT].to_str().unwrap();
    assert_eq!(trace[..35], PARENT[..35], "the same trace");
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let failing = Request::builder()
        .uri("/observe/failing")
        .body(Body::empty())
        .unwrap();
    drop(call(failing).await);
    let text = handle.render();
    for series in [
        "trunkline_service_requests_total{protocol=\"http\",method=\"/observe/echo/{name}\",code=\"200\"} 1",
        "trunkline_service_requests_total{protocol=\"http\",method=\"/observe/failing\",code=\"500\"} 1",
        "trunkline_service_request_seconds_count{protocol=\"http\",method=\"/observe/failing\"} 1",
    ] {
        assert!(
            text.lines().any(|line| line == series),
            "{series} in\n{text}"
        );
    }
    assert!(!text.contains("secret"));
}

#[tokio::test]
async fn the_status_of_grpc_is_read_from_the_trailers() {
    let handle = metrics::install().unwrap();
    let response = call(grpc("ProveAudit")).await;
    response.into_body().collect().await.unwrap();
    // The caller leaves before the status was sent.
    drop(call(grpc("ProveAncestor")).await);
    drop(call(grpc("MadeUp123")).await);
    let text = handle.render();
    let series = |method, code| {
        format!(
            "trunkline_service_requests_total{{protocol=\"grpc\",method=\"{method}\",code=\"{code}\"}} 1"
        )
    };
    for series in [
        series("ProveAudit", "ResourceExhausted"),
        series("ProveAncestor", "Cancelled"),
        series("other", "Cancelled"),
    ] {
        assert!(
            text.lines().any(|line| line == series),
            "{series} in\n{text}"
        );
    }
    assert!(!text.contains("MadeUp123"));
    assert!(text.contains("trunkline_service_received_bytes_total{protocol=\"grpc\"}"));
}

#[tokio::test]
async fn lines_of_a_request_name_it_and_no_secret() {
    let lines = Lines::default();
    let guard = capture(Format::Json, "trace", lines.clone()).unwrap();
    drop(call(http("/observe/logged/a-secret?key=secret", "secret body")).await);
    drop(guard);
    let text = lines.text();
    assert!(!text.contains("secret"), "{text}");
    let span = &lines.json()[0]["span"];
    assert_eq!(
        (&span["request_id"], &span["principal"]),
        (&"from-the-caller".into(), &"alice".into())
    );
    assert_eq!(
        (&span["sequence"], &span["version"]),
        (&11.into(), &7.into())
    );
    assert_eq!(span["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn every_method_of_the_protocol_is_known() {
    let declared = PROTOCOL
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "));
    let declared: Vec<&str> = declared.filter_map(|line| line.split('(').next()).collect();
    assert_eq!(declared, GRPC_METHODS);
    assert!(table::TABLE.len() > 10);
}
