//! Host and origin: pages of other sites have no access.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use trunkline::config::ServerConfig;
use trunkline_service::auth::{Authenticator, OpenAuthError};
use trunkline_service::{Peer, Source};

use crate::tokens::{SUBMIT, call, local, remote, with_certificate, without_tokens};

fn with_hosts(hosts: &str) -> Arc<Authenticator> {
    let config = ServerConfig {
        hosts: hosts.to_owned(),
        ..ServerConfig::default()
    };
    Arc::new(Authenticator::open(&config).unwrap())
}

/// Returns the status of `GET /any` with a host.
async fn status(authenticator: &Arc<Authenticator>, peer: &Peer, host: &str) -> StatusCode {
    let headers = [("host", host)];
    let answer = call(authenticator, peer, Method::GET, "/any", &headers, "").await;
    answer.status
}

#[tokio::test]
async fn hosts_that_are_not_ours_are_refused_on_loopback_too() {
    let authenticator = with_hosts("db.example, DB2.example:8443, [2001:db8::1]:80");
    for host in [
        "localhost:7460",
        "LOCALHOST:7460",
        "127.0.0.1:7460",
        "127.1.2.3:7460",
        "[::1]:7460",
        "db.example",
        "db.example:1234",
        "db2.example:8443",
        "[2001:db8::1]:80",
    ] {
        assert_eq!(
            status(&authenticator, &local(), host).await,
            StatusCode::OK,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "evil.example:7460",
        "localhost",
        "localhost:7461",
        "localhost.evil.example:7460",
        "db.example.evil.example",
        "db2.example:8444",
        "192.0.2.1:7460",
        "user@localhost:7460",
        "localhost:7460@evil.example",
        "localhost:99999",
        "localhost:",
        "",
        "a b",
    ] {
        let refused = status(&authenticator, &local(), host).await;
        assert_eq!(refused, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn the_address_that_the_client_reached_is_a_host_of_ours() {
    let authenticator = without_tokens();
    let peer = Peer {
        source: remote().source,
        ..local()
    };
    assert_eq!(
        status(&authenticator, &peer, "192.0.2.1:7460").await,
        StatusCode::OK
    );
    assert_eq!(
        status(&authenticator, &peer, "localhost:7460").await,
        StatusCode::OK
    );
    let other = status(&authenticator, &peer, "192.0.2.2:7460").await;
    assert_eq!(other, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_unix_socket_has_no_host() {
    let unix = Peer {
        source: Source::Unix { uid: 0, pid: None },
        ..local()
    };
    assert_eq!(
        status(&without_tokens(), &unix, "whatever").await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn two_hosts_in_one_request_are_refused() {
    let authenticator = without_tokens();
    let headers = [("host", "localhost:7460"), ("host", "localhost:7460")];
    let answer = call(&authenticator, &local(), Method::GET, "/any", &headers, "").await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    let headers = [("host", "localhost:7460")];
    let uri = "http://127.0.0.1:7460/any";
    let answer = call(&authenticator, &local(), Method::GET, uri, &headers, "").await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn requests_of_other_sites_pages_are_refused() {
    let authenticator = without_tokens();
    let post = async |headers: &[(&str, &str)]| {
        let answer = call(&authenticator, &local(), Method::POST, "/any", headers, "").await;
        answer.status
    };
    for origin in ["http://localhost:7460", "https://localhost:7460"] {
        assert_eq!(
            post(&[("origin", origin)]).await,
            StatusCode::OK,
            "{origin}"
        );
    }
    for origin in [
        "http://evil.example",
        "http://localhost:3000",
        "http://localhost",
        "http://127.0.0.1:7460",
        "ftp://localhost:7460",
        "null",
        "",
        "localhost:7460",
    ] {
        let refused = post(&[("origin", origin), ("sec-fetch-site", "same-origin")]).await;
        assert_eq!(refused, StatusCode::FORBIDDEN, "{origin}");
    }
    let twice = [
        ("origin", "http://localhost:7460"),
        ("origin", "http://localhost:7460"),
    ];
    assert_eq!(post(&twice).await, StatusCode::FORBIDDEN);
    for site in ["cross-site", "same-site", "rubbish"] {
        assert_eq!(
            post(&[("sec-fetch-site", site)]).await,
            StatusCode::FORBIDDEN
        );
    }
    for site in ["same-origin", "none"] {
        assert_eq!(post(&[("sec-fetch-site", site)]).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_link_of_another_site_leads_to_the_page_and_nothing_else_does() {
    let authenticator = without_tokens();
    let get = async |mode: &str| {
        let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
        let answer = call(&authenticator, &local(), Method::GET, "/page", &headers, "").await;
        answer.status
    };
    assert_eq!(get("navigate").await, StatusCode::OK);
    assert_eq!(get("no-cors").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn with_tls_only_pages_that_came_by_tls_are_ours() {
    let peer = with_certificate(&["app.example"]);
    for (origin, status) in [
        ("https://192.0.2.1:7460", StatusCode::OK),
        ("http://192.0.2.1:7460", StatusCode::FORBIDDEN),
    ] {
        let headers = [("origin", origin)];
        let answer = call(&without_tokens(), &peer, Method::POST, "/any", &headers, "").await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn grpc_of_another_site_is_refused_in_its_own_form() {
    let headers = [
        ("content-type", "application/grpc-web"),
        ("origin", "http://evil.example"),
    ];
    let answer = call(
        &without_tokens(),
        &local(),
        Method::POST,
        SUBMIT,
        &headers,
        "",
    )
    .await;
    assert_eq!(answer.headers["grpc-status"], "7");
    assert_eq!(answer.headers["trunkline-code"], "wrong_origin");
}

#[test]
fn a_name_that_is_none_is_refused_at_the_start() {
    for hosts in [
        "db.example, a b",
        "db.example:99999",
        "http://db.example",
        "user@db",
    ] {
        let config = ServerConfig {
            hosts: hosts.to_owned(),
            ..ServerConfig::default()
        };
        let refused = Authenticator::open(&config).err().unwrap();
        assert!(matches!(refused, OpenAuthError::Hosts(_)), "{refused}");
    }
}
