//! Requests that are refused before their body is read.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;

use crate::support::Service;

/// Returns a body that must not be read.
fn unread() -> Body {
    let unread = futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("the body was read")
        },
    );
    Body::from_stream(unread)
}

fn submit(bytes: usize, body: Body) -> Request<Body> {
    let request = Request::post("/v1/submit").header("content-length", bytes);
    request
        .header("trunkline-deadline-ms", "1000")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_message_that_is_too_long_is_not_read() {
    let service = Service::with(|server| server.message_bytes_max = 4096).await;
    let (status, _) = service.send(submit(4097, unread())).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_says_is_refused() {
    let service = Service::with(|server| server.message_bytes_max = 4096).await;
    let request = Request::post("/v1/submit")
        .body(Body::from(vec![b' '; 5000]))
        .unwrap();
    assert_eq!(service.send(request).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn too_many_requests_at_once_get_a_hint_when_to_try_again() {
    let service = Service::with(|server| server.requests_in_flight_max = 1).await;
    // Waits for a version that does not come.
    let waiting = tokio::spawn({
        let router = service.router.clone();
        let request = Request::get("/v1/root?min_version=1")
            .body(Body::empty())
            .unwrap();
        tower::ServiceExt::oneshot(router, request)
    });
    while service.api.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let (status, error) = service.post("/v1/submit", r#"{"operations": []}"#).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"overloaded".into())
    );
    assert_eq!(error["retry_after_ms"], 100);
    assert_eq!(service.get("/ready").await.0, StatusCode::OK);
    waiting.abort();
}

#[tokio::test]
async fn a_submission_behind_a_long_queue_is_refused_unread() {
    let service = Service::start().await;
    // 8 MB that have not arrived: at the assumed rate they need more than half a second.
    let pending =
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let waiting = tokio::spawn({
        let router = service.router.clone();
        tower::ServiceExt::oneshot(router, submit(8_000_000, pending))
    });
    while service.api.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let (status, body) = service.send(submit(1000, unread())).await;
    assert_eq!(
        status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        String::from_utf8_lossy(&body)
    );
    // The one whose body does not arrive misses its deadline, and frees its place.
    let response = waiting.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(
        response.headers().contains_key("retry-after"),
        "nothing was done"
    );
    let batch = r#"{"operations": [{"key": "a", "value": "1"}]}"#;
    assert_eq!(service.post("/v1/submit", batch).await.0, StatusCode::OK);
}

#[tokio::test]
async fn more_keys_than_the_limit_are_refused() {
    let service = Service::with(|server| server.keys_max = 1).await;
    let keys = r#"{"keys": [{"key": "a"}, {"key": "b"}]}"#;
    for path in ["/v1/get", "/v1/prove"] {
        assert_eq!(
            service.post(path, keys).await.0,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}

#[tokio::test]
async fn more_streams_than_the_limit_are_refused_until_one_ends() {
    let service = Service::with(|server| server.streams_max = 1).await;
    let feed = || Request::get("/v1/feed").body(Body::empty()).unwrap();
    let first = tower::ServiceExt::oneshot(service.router.clone(), feed())
        .await
        .unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(
        service.send(feed()).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    drop(first);
    let again = tower::ServiceExt::oneshot(service.router.clone(), feed())
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::OK);
}
