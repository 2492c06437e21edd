//! gRPC.

use axum::Router;
use bytes::Bytes;
use tonic::Code;
use tonic::codegen::tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use trunkline::core::proof::{Claim, Expected, Proof, verify};
use trunkline_service::proto::admin_client::AdminClient;
use trunkline_service::proto::trunkline_client::TrunklineClient;
use trunkline_service::proto::{
    FeedRequest, GetConfigRequest, GetRequest, GetStatusRequest, Operation, PreviewBatch,
    PreviewRequest, ProveRequest, Put, RevertRequest, SubmitRequest, Wait, operation, outcome,
};

use crate::support::Service;

fn put(key: &'static str, value: &'static str) -> SubmitRequest {
    let put = Put {
        key: key.into(),
        value: value.into(),
    };
    let kind = Some(operation::Kind::Put(put));
    SubmitRequest {
        operations: vec![Operation { kind }],
        ..SubmitRequest::default()
    }
}

fn client(service: &Service) -> TrunklineClient<Router> {
    TrunklineClient::new(service.router.clone())
}

#[tokio::test]
async fn a_batch_is_submitted_read_proven_and_followed() {
    let service = Service::start().await;
    let mut client = client(&service);
    let reply = client
        .submit(put("alice", "10"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((reply.sequence, reply.reached()), (1, Wait::Durable));

    let keys = vec![Bytes::from("alice"), Bytes::from("nobody")];
    let asked = GetRequest {
        keys: keys.clone(),
        ..GetRequest::default()
    };
    let values = client.get(asked).await.unwrap().into_inner().values;
    assert_eq!(values[0].value.as_deref(), Some(&b"10"[..]));
    assert_eq!(values[1].value, None);

    let asked = ProveRequest {
        keys,
        ..ProveRequest::default()
    };
    let reply = client.prove(asked).await.unwrap().into_inner();
    let proof = Proof::decode(&reply.proof).unwrap();
    let root = service.engine.snapshot().root();
    let verified = verify(&proof, &Expected::Root(root)).unwrap();
    assert_eq!(verified.claim(b"nobody"), Some(&Claim::Absent));

    let mut feed = client
        .feed(FeedRequest { from: 1 })
        .await
        .unwrap()
        .into_inner();
    let entry = feed.next().await.unwrap().unwrap();
    assert_eq!(
        (entry.version, &entry.commit_id[..]),
        (1, &root.commit_id[..])
    );
}

#[tokio::test]
async fn errors_have_a_status_and_a_stable_code() {
    let service = Service::start().await;
    let mut client = client(&service);
    let error = client.submit(put("", "10")).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        error.metadata().get("trunkline-code").unwrap(),
        "invalid_request"
    );
    assert_eq!(error.message(), "operation 0: the key is empty");

    service.api.drain();
    let error = client.submit(put("alice", "10")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(error.metadata().get("trunkline-code").unwrap(), "draining");
    assert_eq!(
        error.metadata().get("trunkline-retry-after-ms").unwrap(),
        "1000"
    );
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let service = Service::start().await;
    let request = axum::http::Request::post("/trunkline.service.v1.Trunkline/Nothing")
        .header("content-type", "application/grpc")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = tower::ServiceExt::oneshot(service.router.clone(), request)
        .await
        .unwrap();
    assert_eq!(
        response.headers()["grpc-status"],
        (Code::Unimplemented as i32).to_string()
    );
}

#[tokio::test]
async fn a_deadline_in_the_request_is_kept() {
    let service = Service::start().await;
    let mut asked = tonic::Request::new(GetRequest {
        keys: vec![Bytes::from("alice")],
        min_version: 1,
        ..GetRequest::default()
    });
    asked.set_timeout(std::time::Duration::from_millis(20));
    let error = client(&service).get(asked).await.unwrap_err();
    assert_eq!(
        error.metadata().get("trunkline-code").unwrap(),
        "version_not_reached"
    );
}

#[tokio::test]
async fn health_says_what_ready_says_and_those_who_watch_are_told() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.router.clone());
    let asked = HealthCheckRequest::default();
    let reply = health.check(asked.clone()).await.unwrap().into_inner();
    assert_eq!(reply.status(), ServingStatus::Serving);
    let mut watch = health.watch(asked).await.unwrap().into_inner();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    service.api.drain();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    let other = HealthCheckRequest {
        service: "other".to_owned(),
    };
    assert_eq!(
        health.check(other).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn status_and_configuration_are_shown() {
    let service = Service::start().await;
    let state = client(&service)
        .get_status(GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((&*state.role, state.durable_version), ("single", 0));
    let mut admin = AdminClient::new(service.router.clone());
    let config = admin
        .get_config(GetConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(config.toml.contains("[server]"));
}

#[tokio::test]
async fn a_version_is_taken_back() {
    let service = Service::start().await;
    let mut writer = client(&service);
    writer.submit(put("alice", "10")).await.unwrap();
    let old = service.engine.snapshot().root();
    writer.submit(put("alice", "20")).await.unwrap();
    let mut admin = AdminClient::new(service.router.clone());
    let request = RevertRequest {
        version: 1,
        wait: Wait::Hashed.into(),
        ..RevertRequest::default()
    };
    let reply = admin.revert(request).await.unwrap().into_inner();
    assert_eq!(reply.reached(), Wait::Hashed);
    let hashed = reply.hashed.unwrap();
    assert_eq!(hashed.state_digest, &old.state_digest[..]);
    let Some(outcome::Kind::Reverted(reverted)) = hashed.outcome.unwrap().kind else {
        panic!("another outcome");
    };
    assert_eq!(reverted.commit_id, &old.commit_id[..]);
    assert_eq!(service.engine.get(b"alice").unwrap(), Some("10".into()));
}

#[tokio::test]
async fn batches_are_previewed() {
    let service = Service::start().await;
    let mut client = client(&service);
    let tried = |value| PreviewBatch {
        operations: put("alice", value).operations,
        requirements: Vec::new(),
    };
    let request = PreviewRequest {
        batches: vec![tried("10"), tried("20")],
        version: 0,
    };
    let reply = client.preview(request).await.unwrap().into_inner();
    assert_eq!(
        (reply.version, reply.outcomes.len(), reply.key_count),
        (0, 2, 1)
    );
    assert_eq!(service.engine.snapshot().version(), 0);
    client.submit(put("alice", "20")).await.unwrap();
    let root = service.engine.snapshot().root();
    assert_eq!(reply.state_digest, &root.state_digest[..]);
    assert_eq!(reply.kzg_root, &root.kzg_root.unwrap()[..]);
}
