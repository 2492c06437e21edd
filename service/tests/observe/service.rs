//! The whole router: the effect of a request on `/metrics` and the log lines.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Router};
use http_body_util::BodyExt;
use tower::ServiceExt;
use trunkline::{Config, Engine};
use trunkline_service::api::Api;
use trunkline_service::auth::Authenticator;
use trunkline_service::observe::metrics;
use trunkline_service::{Backend, Peer, Source, router};

use crate::promtool;

struct Service {
    api: Arc<Api>,
    router: Router,
}

impl Service {
    fn of(engine: &Engine) -> Self {
        let config = engine.config().server.clone();
        let authenticator = Arc::new(Authenticator::open(&config).unwrap());
        let backend = Backend::Engine(engine.clone());
        let api = Arc::new(Api::new(backend, config, Box::new(|| Ok(()))));
        let caller = Peer {
            source: Source::Unix { uid: 0, pid: None },
            certificate: None,
            is_loopback: true,
            is_tls: false,
        };
        let router = router(api.clone(), &authenticator).layer(Extension(caller));
        Self { api, router }
    }

    async fn call(&self, request: Request) -> (StatusCode, String) {
        let response: Response = self.router.clone().oneshot(request).await.unwrap();
        let (status, body) = (response.status(), response.into_body());
        let body = body.collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }
}

fn post(path: &str, body: &'static str) -> Request {
    let request = Request::builder().method("POST").uri(path);
    request
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

fn get(path: &str) -> Request {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_service_reports_what_it_did() {
    metrics::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::in_directory(directory.path());
    config.engine.name = "served".to_owned();
    let engine = Engine::open(config).await.unwrap();
    let service = Service::of(&engine);
    let submit = r#"{"operations": [{"key": "alice", "value": "10"}]}"#;
    let (status, reply) = service.call(post("/v1/submit", submit)).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let (status, _) = service.call(post("/v1/submit", "{")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, text) = service.call(get("/metrics")).await;
    assert_eq!(status, StatusCode::OK);
    for series in [
        "trunkline_service_requests_total{protocol=\"http\",method=\"/v1/submit\",code=\"200\"} 1",
        "trunkline_service_requests_total{protocol=\"http\",method=\"/v1/submit\",code=\"400\"} 1",
        "trunkline_service_request_seconds_count{protocol=\"http\",method=\"/v1/submit\"} 2",
        "trunkline_submissions_total{engine=\"served\"} 1",
        "trunkline_synced_version{engine=\"served\"} 1",
        "trunkline_service_ready 1",
    ] {
        assert!(
            text.lines().any(|line| line == series),
            "{series} in\n{text}"
        );
    }
    let invalid = "trunkline_service_rejected_total{reason=\"invalid\"} 0";
    assert!(
        !text.lines().any(|line| line == invalid),
        "the second request was refused"
    );
    if let Some(complaints) = promtool::check(&["check", "metrics"], &text) {
        assert_eq!(complaints, "");
    }

    // While it drains, only health and metrics are answered.
    service.api.drain();
    assert_eq!(
        service.call(post("/v1/submit", submit)).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let (status, text) = service.call(get("/metrics")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("trunkline_service_ready 0"));
    engine.shutdown().await.unwrap();
}
