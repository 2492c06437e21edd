//! Replies to refused requests.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::error::AuthError;

const GRPC: &str = "application/grpc";

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
}

/// Returns whether a request uses gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|content_type| content_type.starts_with(GRPC.as_bytes()))
}

/// Returns the reply to a refused request, in the caller's protocol.
pub(crate) fn refusal(error: &AuthError, is_grpc: bool) -> Response {
    if is_grpc { grpc(error) } else { http(error) }
}

fn http(error: &AuthError) -> Response {
    let message = error.to_string();
    let body = Json(Body {
        code: error.code(),
        message: &message,
        retry_after_ms: (*error == AuthError::TooMany).then_some(60_000),
    });
    let mut response = (error.status(), body).into_response();
    let headers = response.headers_mut();
    match error.status() {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    response
}

/// Returns a response with only trailers, which are sent as its headers.
fn grpc(error: &AuthError) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(u16::from(error.grpc_status())),
    );
    headers.insert(
        HeaderName::from_static("grpc-message"),
        percent_encoded(&error.to_string()),
    );
    headers.insert(
        HeaderName::from_static("trunkline-code"),
        HeaderValue::from_static(error.code()),
    );
    if *error == AuthError::TooMany {
        headers.insert(
            HeaderName::from_static("trunkline-retry-after-ms"),
            HeaderValue::from_static("60000"),
        );
    }
    response
}

/// Returns the message in gRPC's form: printable ASCII without `%`, and the rest as `%XX`.
fn percent_encoded(message: &str) -> HeaderValue {
    let mut text = String::new();
    for byte in message.bytes() {
        match byte {
            b'%' => text.push_str("%25"),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
