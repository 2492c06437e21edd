//! `serve`, run as a service manager runs it.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::member::Members;
use crate::service::Service;
use crate::support::{Workplace, run};

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let place = Workplace::new();
    let directory = place.path("state");
    let service = Service::start(&directory, &[]);
    let (status, reply) = service.put("alice", "10");
    assert_eq!((status, &reply["reached"]), (200, &"durable".into()));
    service.signal(Signal::TERM);
    let (code, said) = service.end();
    assert_eq!(code, Some(0), "{said}");

    let service = Service::start(&directory, &[]);
    assert_eq!(
        service.send("GET /v1/keys/alice", "").read(),
        (200, 10.into())
    );
    assert_eq!(service.put("alice", "11").0, 200);
    service.signal(Signal::KILL);
    service.end();
    let service = Service::start(&directory, &[]);
    assert_eq!(
        service.send("GET /v1/keys/alice", "").read(),
        (200, 11.into())
    );
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let place = Workplace::new();
    let mut service = Service::start(
        &place.path("state"),
        &["--log", "json", "--set", "server.deadline_ms=1500"],
    );
    let waiting = service.send("GET /v1/root?min_version=1", "");
    // The engine has it once it is counted.
    while !service
        .text("GET /metrics")
        .contains("trunkline_service_requests_in_flight 2")
    {
        std::thread::yield_now();
    }
    service.signal(Signal::TERM);
    // Until the socket is closed, or the service says that it is stopping.
    while TcpStream::connect(&service.address).is_ok() {
        std::thread::yield_now();
    }
    assert!(service.child.try_wait().unwrap().is_none());
    let (status, error) = waiting.read();
    assert_eq!(
        (status, &error["code"]),
        (409, &"version_not_reached".into())
    );
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_hang_up_reads_the_configuration_again_and_a_wrong_one_changes_nothing() {
    let place = Workplace::new();
    let file = place.path("config.toml");
    std::fs::write(&file, "[group]\nlinger_ms = 1\n").unwrap();
    let mut service = Service::start(
        &place.path("state"),
        &["--config", &place.text("config.toml")],
    );
    let linger_ms = |service: &Service| {
        let text = service.text("GET /v1/admin/config");
        let line = text.lines().find(|line| line.starts_with("linger_ms"));
        line.unwrap().to_owned()
    };
    std::fs::write(&file, "[group]\nlinger_ms = 2\n").unwrap();
    service.signal(Signal::HUP);
    service.line_with("were read again");
    assert_eq!(linger_ms(&service), "linger_ms = 2");
    std::fs::write(&file, "[group]\nlinger = 3\n").unwrap();
    service.signal(Signal::HUP);
    assert!(service.line_with("not reloaded").contains("group.linger"));
    assert_eq!(linger_ms(&service), "linger_ms = 2");
}

#[test]
fn what_would_let_everybody_in_is_refused_before_a_directory_is_made() {
    let place = Workplace::new();
    for (setting, says) in [
        ("server.listen=0.0.0.0:0", "server.tokens_path"),
        ("server.listen=nowhere", "server.listen"),
        ("server.tokens_path=/nowhere/tokens", "/nowhere/tokens"),
    ] {
        let ran = run(["serve", "--dir", &place.text("state"), "--set", setting]);
        ran.unusable(says);
    }
    assert!(!place.path("state").exists());
}

#[test]
fn a_directory_is_served_once() {
    let place = Workplace::new();
    let directory = place.path("state");
    let _service = Service::start(&directory, &[]);
    let second = ["serve", "--set", "server.listen=127.0.0.1:0", "--dir"];
    let second = run(second
        .iter()
        .map(|text| (*text).to_owned())
        .chain([place.text("state")]));
    second.unusable("state");
}

#[test]
fn a_service_whose_engine_fails_ends_with_the_reason() {
    let place = Workplace::new();
    let service = Service::start(&place.path("state"), &[]);
    std::fs::rename(place.path("state"), place.path("elsewhere")).unwrap();
    assert_eq!(service.put("alice", "10").0, 503);
    let (code, said) = service.end();
    assert_eq!(code, Some(2));
    assert!(said.contains("the service has stopped"), "{said}");
}

/// Serves member `a` as the primary of a new tree, and member `b` as its replica.
fn primary_and_replica(members: &Members, more: &[&str]) -> (Service, Service) {
    let first = Service::member(members, "a", &[]);
    let status = first.send("GET /v1/status", "").read().1;
    assert_eq!(
        (&status["role"], &status["epoch"]),
        (&"primary".into(), &1.into())
    );
    // The nonce is in the directory's tree file, which a running engine holds.
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
    let inspected = run(["inspect", "--dir", &members.text("a"), "--json"])
        .done()
        .json();
    let nonce = inspected["nonce"].as_str().unwrap().to_owned();
    let first = Service::member(members, "a", &[]);
    let more: Vec<&str> = ["--nonce", &nonce].iter().chain(more).copied().collect();
    let second = Service::member(members, "b", &more);
    (first, second)
}

#[test]
fn a_replica_that_is_served_becomes_the_primary_once_its_primary_is_silent() {
    let members = Members::new();
    let (first, mut second) =
        primary_and_replica(&members, &["--promote-after-silence-ms", "2000"]);
    let followed =
        r#"{"operations": [{"key": "alice", "value": "10"}], "wait": "followed", "followers": 1}"#;
    let (status, reply) = first.send("POST /v1/submit", followed).read();
    assert_eq!(status, 200, "{reply}");
    first.signal(Signal::KILL);
    first.end();
    second.line_with("the primary is silent: promoted to epoch 3");
    let line = second.listens();
    assert!(line.starts_with("primary at version 1"), "{line}");
    let replicated = r#"{"operations": [{"key": "bob", "value": "20"}], "wait": "replicated"}"#;
    let (status, reply) = second.send("POST /v1/submit", replicated).read();
    assert_eq!(
        (status, &reply["reached"]),
        (200, &"replicated".into()),
        "{reply}"
    );
    assert_eq!(
        second.send("GET /v1/keys/alice", "").read(),
        (200, 10.into())
    );
    second.signal(Signal::TERM);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_submission_that_is_repeated_after_a_failover_takes_effect_once() {
    let members = Members::new();
    let (first, second) = primary_and_replica(&members, &[]);
    let batch = r#"{"operations": [{"key": "alice", "value": "10"}], "idempotency_key": "payment 17",
                    "wait": "followed", "followers": 1}"#;
    let (status, reply) = first.send("POST /v1/submit", batch).read();
    assert_eq!(
        (status, &reply["reached"]),
        (200, &"followed".into()),
        "{reply}"
    );
    let version = reply["hashed"]["version"].as_u64().unwrap();
    let read = second
        .send(&format!("GET /v1/keys/alice?min_version={version}"), "")
        .read();
    assert_eq!(read, (200, 10.into()));
    let (status, error) = second.send("POST /v1/submit", batch).read();
    assert_eq!((status, &error["code"]), (421, &"not_primary".into()));

    first.signal(Signal::KILL);
    first.end();
    second.signal(Signal::TERM);
    assert_eq!(second.end().0, Some(0));
    members.run("b", &["promote"]).done();
    let second = Service::member(&members, "b", &[]);
    let again = batch
        .replace("followed", "replicated")
        .replace(r#""followers": 1"#, r#""followers": 0"#);
    let (status, repeat) = second.send("POST /v1/submit", &again).read();
    assert_eq!(
        (status, &repeat["is_repeat"]),
        (200, &true.into()),
        "{repeat}"
    );
    assert_eq!(repeat["sequence"], reply["sequence"]);
    assert_eq!(repeat["hashed"], reply["hashed"]);
    let other = batch.replace("10", "11").replace("followed", "durable");
    let (status, error) = second.send("POST /v1/submit", &other).read();
    assert_eq!(
        (status, &error["code"]),
        (409, &"idempotency_key_reused".into())
    );
}

#[test]
fn a_token_lets_its_caller_do_what_its_scopes_say() {
    let place = Workplace::new();
    let file = place.text("tokens.toml");
    let made = run([
        "token", "--name", "reader", "--scope", "read", "--file", &file,
    ])
    .done();
    let token = made.stdout.trim().to_owned();
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&token));
    let setting = format!("server.tokens_path={file}");
    let service = Service::start(&place.path("state"), &["--set", &setting]);
    assert_eq!(service.send("GET /v1/status", "").read().0, 401);
    assert_eq!(service.send("GET /ready", "").read().0, 200);
    let shown = |head: &str, body: &str| {
        let authorization = format!("\r\nauthorization: Bearer {token}");
        service.send_with(head, &authorization, body).read().0
    };
    assert_eq!(shown("GET /v1/status", ""), 200);
    assert_eq!(
        shown(
            "POST /v1/submit",
            r#"{"operations": [{"key": "a", "value": "1"}]}"#
        ),
        403
    );
    assert_eq!(shown("POST /v1/admin/reload", ""), 403);
    assert_eq!(shown("POST /v1/admin/revert", r#"{"version": 0}"#), 403);
}
