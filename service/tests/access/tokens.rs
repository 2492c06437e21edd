//! Tokens, scopes and certificates.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tower::ServiceExt;
use trunkline::config::ServerConfig;
use trunkline_service::auth::{
    self, AuthError, Authenticator, NewToken, Principal, Scope, Scopes, TokensError, new_token,
    require,
};
use trunkline_service::{ClientCertificate, Peer, Source};

use crate::support::{Files, write};

pub(crate) const SUBMIT: &str = "/trunkline.service.v1.Trunkline/Submit";
pub(crate) const GET: &str = "/trunkline.service.v1.Trunkline/Get";
pub(crate) const RELOAD: &str = "/trunkline.service.v1.Admin/Reload";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A peer of another machine.
pub(crate) fn remote() -> Peer {
    Peer {
        source: Source::Tcp {
            remote: "192.0.2.7:50000".parse().unwrap(),
            local: "192.0.2.1:7460".parse().unwrap(),
        },
        certificate: None,
        is_loopback: false,
        is_tls: false,
    }
}

pub(crate) fn local() -> Peer {
    Peer {
        source: Source::Tcp {
            remote: "127.0.0.1:50000".parse().unwrap(),
            local: "127.0.0.1:7460".parse().unwrap(),
        },
        is_loopback: true,
        ..remote()
    }
}

pub(crate) fn with_certificate(names: &[&str]) -> Peer {
    let certificate = ClientCertificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        subject: "CN=app".to_owned(),
        fingerprint: [0; 32],
    };
    Peer {
        certificate: Some(Arc::new(certificate)),
        is_tls: true,
        ..remote()
    }
}

pub(crate) fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

/// Returns an authenticator that checks its file each time.
pub(crate) fn watching(files: &Files) -> Arc<Authenticator> {
    let config = ServerConfig {
        tokens_path: files.path("tokens.toml"),
        hosts: "db.example".to_owned(),
        ..ServerConfig::default()
    };
    Arc::new(Authenticator::open_with(&config, Duration::ZERO).unwrap())
}

pub(crate) fn without_tokens() -> Arc<Authenticator> {
    Arc::new(Authenticator::open(&ServerConfig::default()).unwrap())
}

pub(crate) fn router(authenticator: &Arc<Authenticator>) -> Router {
    let name = async |principal: Option<axum::Extension<Principal>>| {
        principal.map_or("nobody".to_owned(), |principal| principal.0.name)
    };
    let router = Router::new()
        .route("/read", require(Scope::Read, get(name)))
        .route("/write", require(Scope::Write, post(name)))
        .route("/admin", require(Scope::Admin, get(name)))
        .route("/any", get(name).post(name))
        .route("/page", get(name))
        .route("/page/private", require(Scope::Read, get(name)))
        .route("/live", get(name))
        .route("/ready", get(name))
        .route(HEALTH, post(name))
        .route(SUBMIT, post(name))
        .route(GET, post(name))
        .route(RELOAD, post(name))
        .merge(auth::login_routes(authenticator));
    auth::protect(router, authenticator, |_, path| path.starts_with("/page"))
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) async fn call(
    authenticator: &Arc<Authenticator>,
    peer: &Peer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    let host = if peer.is_loopback {
        "localhost:7460"
    } else {
        "192.0.2.1:7460"
    };
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", host);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(peer.clone());
    let response = router(authenticator).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) fn bearer(token: &NewToken) -> String {
    format!("Bearer {}", token.secret)
}

/// Calls with a token.
async fn with(
    authenticator: &Arc<Authenticator>,
    token: &NewToken,
    method: Method,
    path: &str,
) -> Answer {
    let header = bearer(token);
    let headers = [("authorization", header.as_str())];
    call(authenticator, &remote(), method, path, &headers, "").await
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_name() {
    let files = Files::new();
    let reader = new_token("reader", scopes(&[Scope::Read]));
    let writer = new_token("writer", scopes(&[Scope::Write]));
    let all = new_token("all", Scopes::all());
    let entries = [&reader, &writer, &all].map(|token| token.entry.as_str());
    files.write("tokens.toml", &entries.concat());
    let authenticator = watching(&files);
    let routes = [
        (Method::GET, "/read", Scope::Read),
        (Method::POST, "/write", Scope::Write),
        (Method::GET, "/admin", Scope::Admin),
    ];
    for (method, path, scope) in routes {
        for (token, name, has) in [
            (&reader, "reader", scope == Scope::Read),
            (&writer, "writer", scope == Scope::Write),
            (&all, "all", true),
        ] {
            let answer = with(&authenticator, token, method.clone(), path).await;
            if has {
                assert_eq!(
                    (answer.status, answer.body.as_str()),
                    (StatusCode::OK, name)
                );
            } else {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} for {name}");
                assert!(answer.body.contains(r#""code":"permission_denied""#));
            }
        }
    }
}

#[tokio::test]
async fn nothing_but_health_and_the_page_is_open_without_a_token() {
    let files = Files::new();
    files.write("tokens.toml", &new_token("app", Scopes::all()).entry);
    let authenticator = watching(&files);
    for path in ["/live", "/ready", "/page"] {
        let answer = call(&authenticator, &remote(), Method::GET, path, &[], "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "nobody")
        );
    }
    for path in ["/read", "/any", "/page/private", "/nowhere"] {
        let answer = call(&authenticator, &remote(), Method::GET, path, &[], "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(
            answer
                .body
                .starts_with(r#"{"code":"unauthenticated","message":""#)
        );
    }
}

#[tokio::test]
async fn grpc_gets_its_own_status_and_the_same_code() {
    let files = Files::new();
    let reader = new_token("reader", scopes(&[Scope::Read]));
    files.write("tokens.toml", &reader.entry);
    let authenticator = watching(&files);
    let header = bearer(&reader);
    let known = ("authorization", header.as_str());
    let grpc = ("content-type", "application/grpc");
    for (path, headers, status, code) in [
        (HEALTH, vec![grpc], "", ""),
        (GET, vec![grpc, known], "", ""),
        (GET, vec![grpc], "16", "unauthenticated"),
        (SUBMIT, vec![grpc, known], "7", "permission_denied"),
        (RELOAD, vec![grpc, known], "7", "permission_denied"),
    ] {
        let answer = call(&authenticator, &remote(), Method::POST, path, &headers, "").await;
        assert_eq!(answer.status, StatusCode::OK);
        let text = |name: &str| {
            answer
                .headers
                .get(name)
                .map_or("", |text| text.to_str().unwrap())
        };
        assert_eq!(
            (text("grpc-status"), text("trunkline-code")),
            (status, code),
            "{path}"
        );
        assert_eq!(answer.body.is_empty(), !status.is_empty());
    }
}

#[test]
fn each_method_of_the_protocol_has_a_scope() {
    let protocol = include_str!("../../proto/trunkline/service/v1/service.proto");
    let mut service = "";
    let mut count = 0;
    for line in protocol.lines() {
        let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
        match words.next() {
            Some("service") => service = words.next().unwrap(),
            Some("rpc") => {
                let method = words.next().unwrap();
                let path = format!("/trunkline.service.v1.{service}/{method}");
                let expected = match (service, method) {
                    ("Admin", _) => Scope::Admin,
                    (_, "Submit") => Scope::Write,
                    _ => Scope::Read,
                };
                assert_eq!(
                    auth::grpc_need(&path),
                    Some(auth::Need::Scope(expected)),
                    "{path}"
                );
                count += 1;
            }
            _ => {}
        }
    }
    assert!(count >= 13);
    let unknown = auth::grpc_need("/trunkline.service.v1.Trunkline/Unknown");
    assert_eq!(unknown, Some(auth::Need::Scope(Scope::Admin)));
}

#[tokio::test]
async fn tokens_that_are_wrong_or_not_well_formed_are_refused() {
    let files = Files::new();
    let token = new_token("app", Scopes::all());
    let hash = blake3::hash(token.secret.as_bytes()).to_hex();
    files.write("tokens.toml", &token.entry);
    let authenticator = watching(&files);
    let secret = &token.secret;
    let wrong = [
        format!("Bearer {hash}"),
        format!("Bearer {}", &secret[1..]),
        format!("Bearer {secret}x"),
        format!("Basic {secret}"),
        secret.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ];
    for value in &wrong {
        let headers = [("authorization", value.as_str())];
        let answer = call(&authenticator, &remote(), Method::GET, "/any", &headers, "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value}");
    }
    let right = bearer(&token);
    let twice = [
        ("authorization", right.as_str()),
        ("authorization", right.as_str()),
    ];
    let answer = call(&authenticator, &remote(), Method::GET, "/any", &twice, "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = with(&authenticator, &token, Method::GET, "/any").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_peer_that_fails_often_is_told_so_and_a_valid_token_still_works() {
    let files = Files::new();
    let token = new_token("app", Scopes::all());
    files.write("tokens.toml", &token.entry);
    let authenticator = watching(&files);
    let headers = [("authorization", "Bearer wrong")];
    let mut statuses = Vec::new();
    // At most two windows of a minute.
    for _ in 0..21 {
        let answer = call(&authenticator, &remote(), Method::GET, "/any", &headers, "").await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses[0], StatusCode::UNAUTHORIZED);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
    let answer = with(&authenticator, &token, Method::GET, "/any").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let files = Files::new();
    let (old, young) = (
        new_token("old", Scopes::all()),
        new_token("young", Scopes::all()),
    );
    let text = format!(
        "{}expires = 2020-01-01T00:00:00Z\n{}expires = 2999-01-01T00:00:00Z\n",
        old.entry, young.entry
    );
    files.write("tokens.toml", &text);
    let authenticator = watching(&files);
    let answer = with(&authenticator, &old, Method::GET, "/any").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = with(&authenticator, &young, Method::GET, "/any").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_a_broken_one_keeps_the_old_tokens() {
    let files = Files::new();
    let (first, second) = (
        new_token("first", Scopes::all()),
        new_token("second", Scopes::all()),
    );
    files.write("tokens.toml", &first.entry);
    let authenticator = watching(&files);
    let status = async |token: &NewToken| {
        with(&authenticator, token, Method::GET, "/any")
            .await
            .status
    };
    assert_eq!(status(&second).await, StatusCode::UNAUTHORIZED);

    files.write("tokens.toml", &second.entry);
    assert_eq!(status(&second).await, StatusCode::OK);
    assert_eq!(status(&first).await, StatusCode::UNAUTHORIZED);

    files.write("tokens.toml", "[[token]]\nname = ");
    assert_eq!(status(&second).await, StatusCode::OK);
    assert!(matches!(
        authenticator.reload(),
        Err(TokensError::Form { .. })
    ));
    fs::remove_file(files.path("tokens.toml")).unwrap();
    assert_eq!(status(&second).await, StatusCode::OK);
    assert!(matches!(authenticator.reload(), Err(TokensError::File(_))));

    files.write("tokens.toml", &first.entry);
    assert!(authenticator.reload().unwrap());
    assert_eq!(status(&first).await, StatusCode::OK);
    assert!(!authenticator.reload().unwrap());
}

#[tokio::test]
async fn without_a_token_file_local_peers_and_verified_certificates_may_do_everything() {
    let authenticator = without_tokens();
    let unix = Peer {
        source: Source::Unix {
            uid: 1000,
            pid: None,
        },
        is_loopback: false,
        ..local()
    };
    let certified = with_certificate(&["app.example"]);
    for (peer, name) in [
        (&local(), "local"),
        (&unix, "local"),
        (&certified, "app.example"),
    ] {
        let answer = call(&authenticator, peer, Method::GET, "/admin", &[], "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, name)
        );
    }
    let answer = call(&authenticator, &remote(), Method::GET, "/any", &[], "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_a_token_file_local_peers_need_a_token_too() {
    let files = Files::new();
    files.write("tokens.toml", &new_token("app", Scopes::all()).entry);
    let answer = call(&watching(&files), &local(), Method::GET, "/any", &[], "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[test]
fn certificates_get_the_scopes_of_their_first_name_that_has_an_entry() {
    let files = Files::new();
    let text = "[[certificate]]\nname = \"b.example\"\nscopes = [\"read\"]\n";
    write(&files.path("tokens.toml"), text);
    let authenticator = watching(&files);
    let authenticate =
        |peer: &Peer| authenticator.authenticate(&Method::GET, &HeaderMap::new(), peer);
    let principal = authenticate(&with_certificate(&["a.example", "b.example"])).unwrap();
    let expected = Principal {
        name: "b.example".to_owned(),
        scopes: scopes(&[Scope::Read]),
    };
    assert_eq!(principal, expected);
    let unknown = authenticate(&with_certificate(&["a.example"]));
    assert_eq!(unknown, Err(AuthError::UnknownCertificate));
    assert_eq!(authenticate(&local()), Err(AuthError::Missing));
}
