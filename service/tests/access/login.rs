//! Sessions of the page.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use trunkline_service::Peer;
use trunkline_service::auth::{Authenticator, NewToken, Scope, Scopes, new_token};

use crate::support::Files;
use crate::tokens::{Answer, call, local, scopes, watching, without_tokens};

const ORIGIN: (&str, &str) = ("origin", "http://localhost:7460");

async fn log_in(authenticator: &Arc<Authenticator>, peer: &Peer, secret: &str) -> Answer {
    let origin = if peer.is_tls {
        ("origin", "https://localhost:7460")
    } else {
        ORIGIN
    };
    let headers = [("content-type", "application/json"), origin];
    let body = format!(r#"{{"token":"{secret}"}}"#);
    call(authenticator, peer, Method::POST, "/login", &headers, &body).await
}

/// Returns the cookie that a browser would send back.
async fn cookie(authenticator: &Arc<Authenticator>, token: &NewToken) -> String {
    let answer = log_in(authenticator, &local(), &token.secret).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    set.split(';').next().unwrap().to_owned()
}

async fn status(
    authenticator: &Arc<Authenticator>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> StatusCode {
    let answer = call(authenticator, &local(), method, path, headers, "").await;
    answer.status
}

fn open(scopes: Scopes) -> (Files, Arc<Authenticator>, NewToken) {
    let (files, token) = (Files::new(), new_token("page", scopes));
    files.write("tokens.toml", &token.entry);
    let authenticator = watching(&files);
    (files, authenticator, token)
}

#[tokio::test]
async fn a_session_may_do_what_its_token_may() {
    let (_files, authenticator, token) = open(scopes(&[Scope::Read, Scope::Write]));
    let cookie = cookie(&authenticator, &token).await;
    assert!(!cookie.contains(&token.secret));
    let cookie = ("cookie", cookie.as_str());
    let get = async |path: &str| status(&authenticator, Method::GET, path, &[cookie]).await;
    assert_eq!(get("/read").await, StatusCode::OK);
    assert_eq!(get("/admin").await, StatusCode::FORBIDDEN);
    let among_others = [("cookie", "a=b"), cookie];
    let found = status(&authenticator, Method::GET, "/read", &among_others).await;
    assert_eq!(found, StatusCode::OK);
}

#[tokio::test]
async fn what_changes_something_must_say_that_our_page_sent_it() {
    let (_files, authenticator, token) = open(Scopes::all());
    let cookie = cookie(&authenticator, &token).await;
    let cookie = ("cookie", cookie.as_str());
    let post = async |headers: &[(&str, &str)]| {
        status(&authenticator, Method::POST, "/write", headers).await
    };
    assert_eq!(post(&[cookie, ORIGIN]).await, StatusCode::OK);
    assert_eq!(
        post(&[cookie, ("sec-fetch-site", "same-origin")]).await,
        StatusCode::OK
    );
    assert_eq!(post(&[cookie]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        post(&[cookie, ("sec-fetch-site", "none")]).await,
        StatusCode::UNAUTHORIZED
    );
    let other = [cookie, ("origin", "http://localhost:3000")];
    assert_eq!(post(&other).await, StatusCode::FORBIDDEN);
    let link = [
        cookie,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let followed = status(&authenticator, Method::GET, "/read", &link).await;
    assert_eq!(followed, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_when_asked() {
    let (files, authenticator, token) = open(Scopes::all());
    let first = cookie(&authenticator, &token).await;
    let second = cookie(&authenticator, &token).await;
    let get = async |cookie: &str| {
        status(&authenticator, Method::GET, "/read", &[("cookie", cookie)]).await
    };
    assert_eq!(
        (get(&first).await, get(&second).await),
        (StatusCode::OK, StatusCode::OK)
    );

    let headers = [("cookie", first.as_str()), ORIGIN];
    let answer = call(
        &authenticator,
        &local(),
        Method::POST,
        "/logout",
        &headers,
        "",
    )
    .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(
        answer.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(get(&first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&second).await, StatusCode::OK);
    let forged = [("cookie", second.as_str())];
    let refused = status(&authenticator, Method::POST, "/logout", &forged).await;
    assert_eq!(refused, StatusCode::FORBIDDEN);

    // The same name with another secret is another token.
    files.write("tokens.toml", &new_token("page", Scopes::all()).entry);
    assert_eq!(get(&second).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_for_no_script() {
    let (_files, authenticator, token) = open(Scopes::all());
    let set = async |peer: &Peer| {
        let answer = log_in(&authenticator, peer, &token.secret).await;
        answer.headers["set-cookie"].to_str().unwrap().to_owned()
    };
    let plain = set(&local()).await;
    assert!(plain.starts_with("trunkline="), "{plain}");
    for part in [
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=43200",
    ] {
        assert!(plain.contains(part), "{plain}");
    }
    assert!(
        !plain.contains("Secure") && !plain.contains("Domain"),
        "{plain}"
    );
    let tls = Peer {
        is_tls: true,
        ..local()
    };
    let secure = set(&tls).await;
    assert!(secure.starts_with("__Host-trunkline="), "{secure}");
    assert!(secure.contains("; Secure"), "{secure}");
}

#[tokio::test]
async fn a_wrong_token_begins_no_session() {
    let (_files, authenticator, _) = open(Scopes::all());
    let answer = log_in(&authenticator, &local(), "wrong").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!answer.headers.contains_key("set-cookie"));
    let cookie = ("cookie", "trunkline=0000");
    let refused = status(&authenticator, Method::GET, "/read", &[cookie]).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
    let long = "x".repeat(5000);
    let answer = log_in(&authenticator, &local(), &long).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn where_no_token_is_needed_logging_in_sets_no_cookie() {
    let answer = log_in(&without_tokens(), &local(), "anything").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!answer.headers.contains_key("set-cookie"));
}
