//! The page: its files, and the stream of its figures. `service/page/test` tests it in a browser.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;
use trunkline::Batch;
use trunkline_service::page::is_public;

use crate::support::Service;

async fn ask(service: &Service, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    service.router.clone().oneshot(request).await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Returns the paths under which the page's files are served.
fn paths() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let names = files.map(|entry| entry.file_name().into_string().unwrap());
    let path = |name: String| match name.as_str() {
        "index.html" => "/".to_owned(),
        "uPlot.iife.min.js" => "/page/uPlot.js".to_owned(),
        "uPlot.min.css" => "/page/uPlot.css".to_owned(),
        name => format!("/page/{name}"),
    };
    names.map(path).collect()
}

#[tokio::test]
async fn every_file_is_served_under_a_strict_policy_and_not_sent_twice() {
    let service = Service::start().await;
    let paths = paths();
    assert!(paths.len() > 15);
    for path in &paths {
        assert!(is_public(&Method::GET, path), "{path}");
        assert!(!is_public(&Method::POST, path), "{path}");
        let response = ask(&service, path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers().clone();
        let policy = text(&headers, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains(" http"));
        assert_eq!(text(&headers, "x-content-type-options"), "nosniff");
        assert_eq!(text(&headers, "cache-control"), "no-cache");
        assert_eq!(text(&headers, "referrer-policy"), "same-origin");
        assert_eq!(
            text(&headers, "cross-origin-resource-policy"),
            "same-origin"
        );
        let etag = text(&headers, "etag");
        assert!(etag.starts_with('"') && etag.len() == 66, "{etag}");
        for known in [etag, "*", &format!("\"other\", W/{etag}")] {
            let again = ask(&service, path, &[("if-none-match", known)]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        let other = ask(&service, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    let missing = ask(&service, "/page/../Cargo.toml", &[]).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[test]
fn no_file_refers_to_another_origin() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !path.is_file() || name.ends_with("LICENSE") {
            continue;
        }
        let content = fs::read_to_string(&path).unwrap();
        let names = ["http://", "https://"].map(|scheme| content.split(scheme).skip(1));
        for rest in names.into_iter().flatten() {
            // The SVG namespace, and comments in which libraries state their origin.
            let is_known = rest.starts_with("www.w3.org/2000/svg")
                || (rest.starts_with("github.com/leeoniya/uPlot") && name.starts_with("uPlot"))
                || rest.starts_with("paulmillr.com");
            assert!(is_known, "{name}: {}", &rest[..rest.len().min(60)]);
        }
    }
}

#[tokio::test]
async fn values_of_keys_are_never_taken_for_scripts() {
    let service = Service::start().await;
    let mut batch = Batch::new();
    batch.put("script", "alert(1)");
    service
        .engine
        .submit(batch)
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
    let response = ask(&service, "/v1/keys/script", &[]).await;
    assert_eq!(
        text(response.headers(), "x-content-type-options"),
        "nosniff"
    );
    assert_eq!(
        text(response.headers(), "content-type"),
        "application/octet-stream"
    );
}

/// A client of the stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Client {
    async fn open(service: &Service, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = ask(service, path, headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        let kind = text(response.headers(), "content-type");
        assert_eq!(kind, "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// Returns the next event, or none at the end.
    async fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            let bytes = self.body.next().await?.unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let mut lines = event.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        let event = Event {
            name: field("event"),
            id: field("id"),
            data: serde_json::from_str(&field("data")).unwrap(),
        };
        self.text = rest.to_owned();
        Some(event)
    }

    /// Returns the first event that meets a condition.
    async fn until(&mut self, condition: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if condition(&event) {
                return event;
            }
        }
    }
}

async fn write(service: &Service) {
    let mut batch = Batch::new();
    batch.put("alice", "10");
    service
        .engine
        .submit(batch)
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
}

fn has_windows(event: &Event) -> bool {
    event.data["windows"]
        .as_array()
        .is_some_and(|windows| !windows.is_empty())
}

fn stages(event: &Event) -> BTreeSet<&str> {
    let spans = event.data["spans"].as_array();
    let stages = spans.into_iter().flatten();
    stages.filter_map(|span| span["stage"].as_str()).collect()
}

fn last_window(event: &Event) -> u64 {
    event.data["windows"].as_array().unwrap().last().unwrap()["number"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn the_stream_tells_state_windows_spans_and_memory_and_resumes_behind_an_id() {
    let service = Service::start().await;
    write(&service).await;
    let mut client = Client::open(&service, "/v1/live", &[]).await;
    let hello = client.next().await.unwrap();
    assert_eq!(
        (hello.name.as_str(), &hello.data["has_proofs"]),
        ("hello", &Value::Bool(true))
    );
    // A stage records its work after it has acknowledged it.
    let step = client
        .until(|event| stages(event).contains("persist"))
        .await;
    assert_eq!(step.name, "step");
    let (status, memory) = (&step.data["status"], &step.data["memory"]);
    let record = service.engine.snapshot().record().clone();
    assert_eq!(status["tree_id"], hex::encode(record.tree_id));
    assert_eq!(
        (&status["durable_version"], &status["role"]),
        (&1.into(), &"single".into())
    );
    assert_eq!(memory.as_array().unwrap().len(), 3);
    assert!(memory[2]["bytes"].as_u64().unwrap() > 0);
    let seen = client.until(has_windows).await;
    for (path, headers) in [
        (
            "/v1/live".to_owned(),
            vec![("last-event-id", seen.id.as_str())],
        ),
        (format!("/v1/live?after={}", seen.id), vec![]),
    ] {
        let mut resumed = Client::open(&service, &path, &headers).await;
        let next = resumed.until(has_windows).await;
        let first = next.data["windows"][0]["number"].as_u64().unwrap();
        assert_eq!(first, last_window(&seen) + 1);
        assert!(next.data["spans"].as_array().unwrap().is_empty());
    }
    // The id of another process says nothing about this one.
    let mut other = Client::open(&service, "/v1/live?after=1-900-900-900", &[]).await;
    let next = other.until(has_windows).await;
    assert_eq!(next.data["windows"][0]["number"], 1);
}

#[tokio::test]
async fn streams_are_bounded_and_ids_of_others_are_refused() {
    let service = Service::with(|config| config.streams_max = 2).await;
    let first = Client::open(&service, "/v1/live", &[]).await;
    let _second = Client::open(&service, "/v1/live", &[]).await;
    let refused = ask(&service, "/v1/live", &[]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(first);
    let _third = Client::open(&service, "/v1/live", &[]).await;
    for path in ["/v1/live?after=nonsense", "/v1/live?before=1"] {
        let refused = ask(&service, path, &[]).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_stream() {
    let service = Service::start().await;
    let mut client = Client::open(&service, "/v1/live", &[]).await;
    client.until(|event| event.name == "step").await;
    service.api.drain();
    let last = client
        .until(|event| event.data["status"]["is_draining"] == true)
        .await;
    assert_eq!(last.name, "step");
    assert!(client.next().await.is_none());
}
