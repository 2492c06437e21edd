//! Logging in to the page, and out. An EventSource cannot send a token, so a browser gets a cookie for it.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;

use crate::auth::authenticator::Authenticator;
use crate::auth::error::AuthError;
use crate::auth::reply::refusal;
use crate::auth::sessions::set_cookie;
use crate::auth::sites::is_from_our_page;
use crate::peer::Peer;

const BODY_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
struct Login {
    token: String,
}

/// Returns the routes for logging in and out: `POST /login` with `{"token": "…"}` sets the cookie of a session, and
/// `POST /logout` ends it. They work behind [`protect`](crate::auth::protect).
pub fn login_routes<S: Clone + Send + Sync + 'static>(
    authenticator: &Arc<Authenticator>,
) -> Router<S> {
    Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(authenticator.clone())
}

async fn log_in(
    State(authenticator): State<Arc<Authenticator>>,
    Extension(peer): Extension<Peer>,
    Json(login): Json<Login>,
) -> Response {
    match authenticator.log_in(&login.token, &peer) {
        Ok(Some(id)) => with_cookie(&id, &peer),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal(&authenticator.refuse(error, "/login", &peer), false),
    }
}

async fn log_out(
    State(authenticator): State<Arc<Authenticator>>,
    Extension(peer): Extension<Peer>,
    request: Parts,
) -> Response {
    if !is_from_our_page(&request.method, &request.headers) {
        return refusal(&AuthError::WrongOrigin, false);
    }
    let headers: &HeaderMap = &request.headers;
    authenticator.log_out(headers, &peer);
    with_cookie("", &peer)
}

fn with_cookie(id: &str, peer: &Peer) -> Response {
    let cookie = set_cookie(id, peer.is_tls);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}
