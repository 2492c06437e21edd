//! Ranges of keys.

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;
use trunkline_service::proto::RangeRequest;
use trunkline_service::proto::trunkline_client::TrunklineClient;

use crate::support::Service;

async fn service() -> Service {
    let service = Service::with_config(|config| config.store.key_order = true).await;
    for key in ["user/bob", "job/1", "user/alice"] {
        let batch = json!({"operations": [{"key": key, "value": "1"}]});
        let (status, _) = service.post("/v1/submit", &batch.to_string()).await;
        assert_eq!(status, StatusCode::OK);
    }
    service
}

#[tokio::test]
async fn a_range_is_read_page_by_page_at_one_version() {
    let service = service().await;
    let first = json!({"limit": 2});
    let (status, first) = service.post("/v1/range", &first.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let alice = json!({"key": "user/alice", "value": "1"});
    assert_eq!(
        first["entries"],
        json!([{"key": "job/1", "value": "1"}, alice])
    );
    let rest = json!({"after": first["resume"], "version": first["version"]});
    let (_, rest) = service.post("/v1/range", &rest.to_string()).await;
    let bob = json!({"key": "user/bob", "value": "1"});
    assert_eq!(rest["entries"], json!([bob]));
    assert!(rest.get("resume").is_none());
    let users = json!({"prefix": {"key": "user/"}, "reverse": true, "latest": true});
    let (_, users) = service.post("/v1/range", &users.to_string()).await;
    assert_eq!(users["entries"], json!([bob, alice]));
}

#[tokio::test]
async fn a_range_is_read_over_grpc() {
    let service = service().await;
    let mut client: TrunklineClient<Router> = TrunklineClient::new(service.router.clone());
    let asked = RangeRequest {
        from: "k".into(),
        to: "user/b".into(),
        ..RangeRequest::default()
    };
    let reply = client.range(asked).await.unwrap().into_inner();
    assert_eq!(reply.entries.len(), 1);
    assert_eq!(&reply.entries[0].key[..], b"user/alice");
    assert_eq!((reply.version, reply.resume), (Some(3), None));
}

#[tokio::test]
async fn bounds_that_contradict_each_other_and_directories_without_an_index_are_refused() {
    let ordered = service().await;
    for body in [
        json!({"prefix": {"key": "a"}, "from": {"key": "b"}}),
        json!({"prefix": {"key": "a"}, "after": {"key": "b"}}),
        json!({"version": 1, "latest": true}),
    ] {
        let (status, reply) = ordered.post("/v1/range", &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{reply}");
    }
    let (status, reply) = Service::start().await.post("/v1/range", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        reply.to_string().contains("store.key_order = true"),
        "{reply}"
    );
}
