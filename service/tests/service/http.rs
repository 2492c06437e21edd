//! HTTP with JSON.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use trunkline::core::audit::AuditBinding;
use trunkline::core::evidence::Evidence;
use trunkline::core::history::{AncestorProof, ConsistencyProof};
use trunkline::core::proof::{Claim, Expected, Proof, verify};

use crate::support::Service;

const ALICE: &str = r#"{"operations": [{"key": "alice", "value": "10"}]}"#;

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_batch_is_submitted_read_and_proven() {
    let service = Service::start().await;
    let batch = r#"{"operations": [{"key": "alice", "value": "10"}, {"key_hex": "ff", "value_hex": "00fe"}]}"#;
    let (status, reply) = service.post("/v1/submit", batch).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["sequence"], 1);
    assert_eq!(reply["reached"], "durable");
    assert_eq!(reply["durability"], "sync");
    assert_eq!(reply["hashed"]["outcome"]["kind"], "applied");

    let keys = r#"{"keys": [{"key": "alice"}, {"key_hex": "ff"}, {"key": "nobody"}]}"#;
    let (_, values) = service.post("/v1/get", keys).await;
    assert_eq!(values["version"], 1);
    assert_eq!(values["values"][0]["value"], "10");
    assert_eq!(values["values"][1]["value_hex"], "00fe");
    assert_eq!(values["values"][2]["present"], false);

    let root = service.engine.snapshot().root();
    for top in ["kzg", "hash"] {
        let asked =
            format!(r#"{{"keys": [{{"key": "alice"}}, {{"key": "nobody"}}], "top": "{top}"}}"#);
        let (_, reply) = service.post("/v1/prove", &asked).await;
        let proof = Proof::decode(&bytes(&reply["proof"])).unwrap();
        let verified = verify(&proof, &Expected::Root(root)).unwrap();
        assert_eq!(
            verified.claim(b"alice"),
            Some(&Claim::Present(b"10".to_vec()))
        );
        assert_eq!(verified.claim(b"nobody"), Some(&Claim::Absent));
        assert_eq!(bytes(&reply["root"]["commit_id"]), root.commit_id);
    }
}

#[tokio::test]
async fn a_value_is_returned_as_it_is() {
    let service = Service::start().await;
    service.post("/v1/submit", ALICE).await;
    for path in [
        "/v1/keys/alice",
        "/v1/keys/616c696365?hex=true",
        "/v1/keys/alice?version=1",
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        assert_eq!(
            service.send(request).await,
            (StatusCode::OK, b"10".to_vec())
        );
    }
    let (status, error) = service.get("/v1/keys/nobody").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(error["message"], "the key has no value at version 1");
}

#[tokio::test]
async fn a_body_says_how_long_it_is() {
    use hyper::body::Body as _;
    let service = Service::start().await;
    service.post("/v1/submit", ALICE).await;
    let request = Request::get("/v1/keys/alice").body(Body::empty()).unwrap();
    let response = service.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(2));
}

#[tokio::test]
async fn a_failed_requirement_is_an_outcome_and_no_error() {
    let service = Service::start().await;
    let create = r#"{"operations": [{"key": "alice", "value": "10"}], "requirements": [{"key": "alice", "absent": true}]}"#;
    service.post("/v1/submit", create).await;
    let (status, reply) = service.post("/v1/submit", create).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(reply["hashed"]["outcome"]["kind"], "refused");
    assert_eq!(reply["hashed"]["outcome"]["reason"], "requirement_failed");
    let change = r#"{"operations": [{"key": "alice", "delete": true}], "requirements": [{"key": "alice", "value": "10"}]}"#;
    let (_, reply) = service.post("/v1/submit", change).await;
    assert_eq!(reply["hashed"]["outcome"]["kind"], "applied");
}

#[tokio::test]
async fn each_level_can_be_waited_for() {
    let service = Service::start().await;
    for (wait, has_version) in [
        ("accepted", false),
        ("hashed", true),
        ("root", true),
        ("durable", true),
    ] {
        let batch =
            format!(r#"{{"operations": [{{"key": "k", "value": "{wait}"}}], "wait": "{wait}"}}"#);
        let (status, reply) = service.post("/v1/submit", &batch).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        assert_eq!(reply["reached"], wait);
        assert_eq!(reply["hashed"].is_object(), has_version);
        assert_eq!(reply["root"].is_object(), has_version && wait != "hashed");
    }
    let replicated = r#"{"operations": [{"key": "k", "value": "v"}], "wait": "replicated"}"#;
    let (status, error) = service.post("/v1/submit", replicated).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::BAD_REQUEST, &"invalid_request".into())
    );
}

#[tokio::test]
async fn history_evidence_and_audits_can_be_verified() {
    let service = Service::start().await;
    let (_, first) = service.post("/v1/submit", ALICE).await;
    service.post("/v1/submit", ALICE).await;
    let snapshot = service.engine.snapshot();
    let head = snapshot.commit_id();

    let (_, reply) = service.get("/v1/history/ancestor?ancestor=1").await;
    let proof = AncestorProof::decode(&bytes(&reply["proof"])).unwrap();
    assert_eq!(
        proof.verify(&head).unwrap().commit_id.to_vec(),
        bytes(&first["hashed"]["commit_id"])
    );

    let (_, reply) = service.get("/v1/history/consistency?older_version=1").await;
    ConsistencyProof::decode(&bytes(&reply["proof"])).unwrap();

    let (_, reply) = service.get("/v1/evidence?sequence=1").await;
    let provisional: [u8; 32] = bytes(&first["provisional_root"]).try_into().unwrap();
    let commit_id: [u8; 32] = bytes(&first["hashed"]["commit_id"]).try_into().unwrap();
    let evidence = Evidence::decode(&bytes(&reply["proof"])).unwrap();
    assert_eq!(
        evidence.verify(&provisional, &commit_id).unwrap().sequence,
        1
    );

    let (_, reply) = service.get("/v1/audit").await;
    let audit = trunkline::core::audit::AuditProof::decode(&bytes(&reply["proof"])).unwrap();
    let verified = trunkline::core::audit::verify(&audit, &Expected::CommitId(head)).unwrap();
    assert_eq!(verified.binding, AuditBinding::BothRoots);

    let (_, reply) = service.get("/v1/root?with_kzg_root=true").await;
    assert_eq!(bytes(&reply["root"]["kzg_root"]), snapshot.kzg_root());
    assert_eq!(bytes(&reply["record"]), snapshot.record().encode());
}

#[tokio::test]
async fn the_feed_has_a_line_for_each_version() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.post("/v1/submit", ALICE).await;
    }
    let request = Request::builder()
        .uri("/v1/feed?from=2")
        .body(Body::empty())
        .unwrap();
    let response = service.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body();
    for version in [2, 3] {
        let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["version"], version);
    }
    service.engine.shutdown().await.unwrap();
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_feed_ends_when_the_service_stops() {
    let service = Service::start().await;
    let request = Request::builder()
        .uri("/v1/feed")
        .body(Body::empty())
        .unwrap();
    let response = service.router.clone().oneshot(request).await.unwrap();
    service.api.drain();
    let lines = response.into_body().collect().await.unwrap().to_bytes();
    let last: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!(last["code"], "draining");
}

#[tokio::test]
async fn a_bad_request_has_a_stable_code_and_changes_nothing() {
    let service = Service::start().await;
    let cases = [
        ("/v1/submit", "{"),
        ("/v1/submit", r#"{"operations": [{"key": "a"}]}"#),
        (
            "/v1/submit",
            r#"{"operations": [{"key": "a", "key_hex": "61", "value": "1"}]}"#,
        ),
        (
            "/v1/submit",
            r#"{"operations": [{"key_hex": "6", "value": "1"}]}"#,
        ),
        (
            "/v1/submit",
            r#"{"operations": [{"key": "a", "value": "1", "delete": true}]}"#,
        ),
        (
            "/v1/submit",
            r#"{"operations": [{"key": "", "value": "1"}]}"#,
        ),
        (
            "/v1/submit",
            r#"{"operations": [{"key": "a", "value": "1"}], "unknown": 1}"#,
        ),
        (
            "/v1/submit",
            r#"{"operations": [{"key": "a", "value": "1"}], "wait": "followed"}"#,
        ),
        ("/v1/submit", r#"{"requirements": [{"key": "a"}]}"#),
        (
            "/v1/submit",
            r#"{"requirements": [{"key": "a", "value_hash_hex": "00"}]}"#,
        ),
        (
            "/v1/get",
            r#"{"keys": [{"key": "a"}], "version": 1, "latest": true}"#,
        ),
        ("/v1/prove", r#"{"keys": []}"#),
        ("/v1/prove", r#"{"keys": [{"key": "a"}], "top": "flat"}"#),
    ];
    for (path, body) in cases {
        let (status, error) = service.post(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {error}");
        assert_eq!(error["code"], "invalid_request", "{body}");
    }
    for path in [
        "/v1/evidence",
        "/v1/root?version=x",
        "/v1/history/ancestor?ancestor=7",
        "/v1/keys/x?hex=true",
    ] {
        let (status, error) = service.get(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {error}");
    }
    assert_eq!(service.get("/v1/nothing").await.0, StatusCode::NOT_FOUND);
    let (status, error) = service.get("/v1/root?version=9").await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::CONFLICT, &"version_not_reached".into())
    );
    assert_eq!(service.engine.snapshot().version(), 0);
}

#[tokio::test]
async fn a_version_that_is_not_kept_is_gone() {
    let service = Service::start().await;
    for _ in 0..40 {
        service.post("/v1/submit", ALICE).await;
    }
    let (status, error) = service.get("/v1/root?version=1").await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::GONE, &"version_expired".into())
    );
}

#[tokio::test]
async fn a_read_waits_for_the_version_that_the_caller_has_seen() {
    let service = Service::start().await;
    let reading = service.get("/v1/keys/alice?min_version=1");
    let writing = service.post("/v1/submit", ALICE);
    let ((status, value), _) = tokio::join!(reading, writing);
    assert_eq!((status, value), (StatusCode::OK, 10.into()));

    let request = Request::builder()
        .uri("/v1/root?min_version=2")
        .header("trunkline-deadline-ms", "20");
    let (status, body) = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "{}",
        String::from_utf8_lossy(&body)
    );
}

#[tokio::test]
async fn status_and_health_follow_the_engine() {
    let service = Service::start().await;
    service.post("/v1/submit", ALICE).await;
    let (_, state) = service.get("/v1/status").await;
    assert_eq!(
        (&state["role"], &state["durable_version"]),
        (&"single".into(), &1.into())
    );
    assert_eq!(service.get("/ready").await.0, StatusCode::OK);

    service.api.drain();
    assert_eq!(
        service.get("/ready").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(service.get("/live").await.0, StatusCode::OK);
    let (status, error) = service.post("/v1/submit", ALICE).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"draining".into())
    );
    assert_eq!(error["retry_after_ms"], 1000);
}

#[tokio::test]
async fn configuration_and_decisions_are_shown() {
    let service = Service::start().await;
    let mut config = (*service.engine.config()).clone();
    config.group.linger_ms = 2;
    service.engine.reload(config).unwrap();
    let (_, config) = service.get("/v1/admin/config").await;
    assert!(config.as_str().unwrap().contains("linger_ms = 2"));
    let (_, decision) = service.get("/v1/admin/decisions").await;
    assert_eq!(decision["number"], 1);
}

#[tokio::test]
async fn versions_are_listed_and_archived_ones_are_read() {
    let service = Service::with_config(|config| config.versions.archive = true).await;
    for _ in 0..40 {
        service.post("/v1/submit", ALICE).await;
    }
    let (_, list) = service.get("/v1/versions?from=1&count=30").await;
    assert_eq!(
        (&list["oldest_version"], &list["newest_version"]),
        (&0.into(), &40.into())
    );
    let versions = list["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 30);
    assert!(versions[4]["durable_unix_ms"].is_u64());
    let (_, root) = service.get("/v1/root?version=5").await;
    assert_eq!(root["root"]["commit_id"], versions[4]["commit_id"]);
    assert_eq!(root["root"]["state_digest"], versions[4]["state_digest"]);
    let (_, newest) = service.get("/v1/versions?count=1").await;
    assert_eq!(newest["versions"][0]["version"], 40);
    let (status, _) = service.get("/v1/audit?version=5").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_version_is_taken_back_once_for_each_key_and_refused_if_it_is_not_kept() {
    let service = Service::start().await;
    let (_, old) = service.post("/v1/submit", ALICE).await;
    let other =
        r#"{"operations": [{"key": "alice", "value": "20"}, {"key": "bob", "value": "1"}]}"#;
    service.post("/v1/submit", other).await;
    let revert = r#"{"version": 1, "idempotency_key": "undo", "metadata_hex": "ff"}"#;
    let (status, reply) = service.post("/v1/admin/revert", revert).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let hashed = &reply["hashed"];
    assert_eq!(hashed["version"], 3);
    assert_eq!(hashed["state_digest"], old["hashed"]["state_digest"]);
    assert_eq!(hashed["outcome"]["kind"], "reverted");
    assert_eq!(hashed["outcome"]["commit_id"], old["hashed"]["commit_id"]);
    assert_eq!(service.engine.snapshot().record().metadata, [0xff]);
    assert_eq!(service.engine.get(b"bob").unwrap(), None);

    let (_, repeat) = service.post("/v1/admin/revert", revert).await;
    assert_eq!(
        (&repeat["is_repeat"], &repeat["hashed"]),
        (&true.into(), hashed)
    );
    let reused = revert.replace("1,", "2,");
    let (status, error) = service.post("/v1/admin/revert", &reused).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(error["code"], "idempotency_key_reused");
    let (status, error) = service.post("/v1/admin/revert", r#"{"version": 9}"#).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(error["code"], "version_not_reached");
    assert_eq!(service.engine.snapshot().version(), 3);
}

#[tokio::test]
async fn a_preview_tells_what_would_become_of_batches_and_commits_nothing() {
    let service = Service::start().await;
    service.post("/v1/submit", ALICE).await;
    let put = |value: &str| format!(r#"{{"operations": [{{"key": "bob", "value": "{value}"}}]}}"#);
    let refused = r#"{"requirements": [{"key": "bob", "value": "2"}], "operations": [{"key": "alice", "delete": true}]}"#;
    let batches = format!(r#"{{"batches": [{}, {refused}, {}]}}"#, put("1"), put("2"));
    let (status, reply) = service.post("/v1/preview", &batches).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(
        (&reply["version"], &reply["key_count"]),
        (&1.into(), &2.into())
    );
    let kinds = ["applied", "refused", "applied"];
    for (outcome, kind) in reply["outcomes"].as_array().unwrap().iter().zip(kinds) {
        assert_eq!(outcome["kind"], kind);
    }
    assert_eq!(reply["outcomes"][1]["reason"], "requirement_failed");
    assert_eq!(service.engine.snapshot().version(), 1);
    assert_eq!(service.engine.metrics().forks, 0);

    // The roots are those that the state has once it is a version.
    service.post("/v1/submit", &put("2")).await;
    let root = service.engine.snapshot().root();
    assert_eq!(bytes(&reply["state_digest"]), root.state_digest);
    assert_eq!(bytes(&reply["kzg_root"]), root.kzg_root.unwrap());

    // Of an older version, and of none at all.
    let older = format!(r#"{{"version": 1, "batches": [{}]}}"#, put("2"));
    let (_, older) = service.post("/v1/preview", &older).await;
    assert_eq!(older["state_digest"], reply["state_digest"]);
    let (_, nothing) = service.post("/v1/preview", r#"{"batches": []}"#).await;
    assert_eq!(nothing["state_digest"], reply["state_digest"]);

    let (status, error) = service.post("/v1/preview", r#"{"batches": [{}]}"#).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::BAD_REQUEST, &"invalid_request".into())
    );
    let (status, error) = service
        .post("/v1/preview", r#"{"version": 9, "batches": []}"#)
        .await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::CONFLICT, &"version_not_reached".into())
    );
    let mut config = (*service.engine.config()).clone();
    config.versions.fork_bytes_max = 0;
    service.engine.reload(config).unwrap();
    let (status, error) = service.post("/v1/preview", &batches).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("versions.fork_bytes_max"),
        "{error}"
    );
}
