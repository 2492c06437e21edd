//! Spans arrive at a collector, and a missing collector does no harm.
//!
//! The exporter is configured by environment variables, so each test runs this program again with its own.

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use axum::{Router, middleware};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Response, Status};
use tower::ServiceExt;
use trunkline::{Config, Engine};
use trunkline_service::observe::log::{self, Format};
use trunkline_service::observe::trace_context::TRACEPARENT;
use trunkline_service::observe::{Background, metrics, request};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const GROUPS: u64 = 5;

/// Handles a request by committing a few groups.
async fn commit(engine: Engine) -> &'static str {
    for round in 0..GROUPS {
        let receipt = engine.put(format!("{round}"), "value").await.unwrap();
        let durable = receipt.durable().await.unwrap();
        if durable.version == GROUPS {
            request::record_version(durable.version);
        }
    }
    "done"
}

/// The whole life of a service that exports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests run it, with variables of their own"]
async fn a_service_that_exports() {
    let tracing = log::init(Format::Json).unwrap();
    let handle = metrics::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(Config::in_directory(directory.path()))
        .await
        .unwrap();
    let background = Background::spawn(handle.clone(), engine.clone());
    let of_route = engine.clone();
    let router = Router::new()
        .route("/commit", post(move || commit(of_route.clone())))
        .layer(middleware::from_fn(request::observe));
    let request = Request::builder()
        .method("POST")
        .uri("/commit")
        .header(TRACEPARENT, PARENT);
    let begun = Instant::now();
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    println!(
        "traceparent {}",
        response.headers()[TRACEPARENT].to_str().unwrap()
    );
    drop(response);
    println!("request {} ms", begun.elapsed().as_millis());
    engine.shutdown().await.unwrap();
    background.stop().await;
    let begun = Instant::now();
    tracing.shutdown().await;
    println!("shutdown {} ms", begun.elapsed().as_millis());
    let lost = handle.render();
    let lost = lost
        .lines()
        .filter(|line| line.starts_with("trunkline_service_spans_lost_total"));
    lost.for_each(|line| println!("{line}"));
}

fn run_service(endpoint: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "a_service_that_exports",
        "--ignored",
        "--nocapture",
    ]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command
        .env("OTEL_SERVICE_NAME", "accounts")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command.env_remove("RUST_LOG").output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

fn number(span: &Span, key: &str) -> i64 {
    match attribute(&span.attributes, key) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

fn nanos_us(nanos: u64) -> i64 {
    i64::try_from(nanos / 1000).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_groups_and_stages_arrive_at_the_collector() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let server = Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let output = tokio::task::spawn_blocking(move || run_service(&endpoint))
        .await
        .unwrap();
    let text = stdout(&output);
    server.abort();

    let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for resource in collector
        .0
        .lock()
        .iter()
        .flat_map(|request| &request.resource_spans)
    {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let name = attribute(attributes, "service.name");
        assert_eq!(name, Some(&Value::StringValue("accounts".to_owned())));
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans
                .entry(span.name.clone())
                .or_default()
                .push(span.clone());
        }
    }
    let [request] = &spans["/commit"][..] else {
        panic!("one request: {spans:?}");
    };
    assert_eq!(hex::encode(&request.trace_id), PARENT[3..35]);
    assert_eq!(hex::encode(&request.parent_span_id), PARENT[36..52]);
    let told = format!(
        "traceparent 00-{}-{}-01",
        &PARENT[3..35],
        hex::encode(&request.span_id)
    );
    assert!(text.contains(&told), "{told} in {text}");
    assert_eq!(number(request, "version"), GROUPS as i64);

    let groups = &spans["group"];
    assert_eq!(groups.len() as u64, GROUPS);
    for group in groups {
        assert_eq!(number(group, "operations"), 1);
        let took_us = nanos_us(group.end_time_unix_nano) - nanos_us(group.start_time_unix_nano);
        assert_eq!(
            took_us,
            number(group, "duration_us"),
            "the times are those of the group"
        );
        assert!(group.start_time_unix_nano >= request.start_time_unix_nano - 1_000_000);
        for stage in ["ingest", "tree", "hash", "kzg", "persist"] {
            let of_group = spans[stage]
                .iter()
                .filter(|span| span.parent_span_id == group.span_id);
            let of_group: Vec<&Span> = of_group.collect();
            assert_eq!(of_group.len(), 1, "{stage} of {group:?}");
            assert_eq!(number(of_group[0], "version"), number(group, "version"));
            assert!(of_group[0].start_time_unix_nano >= group.start_time_unix_nano);
            assert!(of_group[0].end_time_unix_nano <= group.end_time_unix_nano);
        }
    }
    assert!(
        text.contains("spans_lost_total{reason=\"export\"} 0"),
        "{text}"
    );
}

/// Returns the milliseconds that the service printed.
fn printed_ms(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim().trim_end_matches(" ms").parse().unwrap()
}

#[test]
fn a_collector_that_refuses_or_never_answers_does_no_harm() {
    // Nothing listens at one address, and nothing accepts at the other.
    let silent = StdListener::bind("127.0.0.1:0").unwrap();
    let closed = StdListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for endpoint in [closed, silent.local_addr().unwrap()] {
        let output = run_service(&format!("http://{endpoint}"));
        let text = stdout(&output);
        assert!(
            printed_ms(&text, "request ") < Duration::from_secs(10).as_millis() as u64,
            "{text}"
        );
        // It waits for at most two seconds, and the machine may be busy.
        assert!(
            printed_ms(&text, "shutdown ") < Duration::from_secs(8).as_millis() as u64,
            "{text}"
        );
    }
}

#[test]
fn an_endpoint_that_is_none_is_an_error_at_the_start() {
    let output = run_service("not an address");
    let text = [output.stdout, output.stderr].concat();
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&text)
    );
}
