//! The service as one router: authentication and admission around gRPC and HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout_at;

use crate::api::{Api, Call};
use crate::auth::{self, Authenticator, Scope, is_grpc, require};
use crate::error::{Code, ServiceError};
use crate::observe::request::observe;
use crate::page::{self, Live};
use crate::{grpc, http};

/// The paths of submissions.
const SUBMITS: [&str; 2] = ["/v1/submit", "/trunkline.service.v1.Trunkline/Submit"];
/// The paths that are answered regardless of load.
const HEALTH: [&str; 4] = ["/live", "/ready", "/metrics", "/grpc.health.v1.Health/"];

/// Returns the router of all requests. Each needs a [`Peer`](crate::Peer) as an extension, which the listeners add.
pub fn router(api: Arc<Api>, authenticator: &Arc<Authenticator>) -> Router {
    let live = Arc::new(Live::of_service(api.clone()));
    let page = page::routes(live, |route| require(Scope::Read, route));
    let admitted = http::routes(api.clone())
        .merge(grpc::routes(api.clone()))
        .merge(page)
        .merge(auth::login_routes(authenticator))
        .fallback(unknown)
        .layer(from_fn_with_state(api, admit));
    auth::protect(admitted, authenticator, page::is_public)
        .layer(from_fn(observe))
        .layer(map_response(never_guess))
}

/// Forbids browsers to treat the value of a key as a script or a page.
async fn never_guess(mut response: Response) -> Response {
    let name = header::X_CONTENT_TYPE_OPTIONS;
    let headers = response.headers_mut();
    headers.insert(name, HeaderValue::from_static("nosniff"));
    response
}

/// Decides from the head of a request whether it is served, and enforces its deadline.
async fn admit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if HEALTH.iter().any(|health| path.starts_with(health)) {
        return next.run(request).await;
    }
    let is_grpc = is_grpc(request.headers());
    let admitted = head(&api, &request);
    let (admitted, call) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => return refusal(error, is_grpc),
    };
    let (deadline, queued) = (call.deadline, call.queued.clone());
    request.extensions_mut().insert(call);
    let answered = timeout_at(deadline.into(), next.run(request)).await;
    drop(admitted);
    answered.unwrap_or_else(|_| {
        let has_effect = queued.is_none_or(|queued| queued.is_accepted());
        let error = match has_effect {
            true => ServiceError::deadline(),
            false => ServiceError::too_late(),
        };
        refusal(error, is_grpc)
    })
}

fn head(api: &Api, request: &Request) -> Result<(crate::admission::Admitted, Call), ServiceError> {
    if api.is_draining() {
        return Err(ServiceError::draining());
    }
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    let body_bytes = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let deadline = api.deadline(wanted_deadline(headers)?);
    let admitted = api.admission.admit(body_bytes)?;
    let mut call = Call {
        deadline,
        queued: None,
    };
    if SUBMITS.contains(&request.uri().path()) {
        let queued = api.admission.enqueue(body_bytes, call.left())?;
        call.queued = Some(Arc::new(queued));
    }
    Ok((admitted, call))
}

/// Returns the time limit that a request sets: `trunkline-deadline-ms`, or `grpc-timeout`.
fn wanted_deadline(headers: &HeaderMap) -> Result<Option<Duration>, ServiceError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let wanted = match (text(http::DEADLINE_HEADER), text("grpc-timeout")) {
        (Some(text), _) => text.parse().ok().map(Duration::from_millis),
        (None, Some(text)) => grpc_timeout(text),
        (None, None) => return Ok(None),
    };
    let message =
        "trunkline-deadline-ms is a number of milliseconds, grpc-timeout up to 8 digits and a unit";
    let wanted = wanted.ok_or_else(|| ServiceError::new(Code::InvalidRequest, message))?;
    Ok(Some(wanted))
}

/// Parses the header `grpc-timeout` (gRPC over HTTP/2, "Requests").
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (last, _) = text.char_indices().next_back()?;
    let (digits, unit) = text.split_at(last);
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Returns an error in the form of the request.
pub(crate) fn refusal(error: ServiceError, is_grpc: bool) -> Response {
    match is_grpc {
        true => grpc::refusal(error),
        false => error.into_response(),
    }
}

async fn unknown(request: Request) -> Response {
    let message = format!(
        "there is no {} {}; see /openapi.json, or reflection for gRPC",
        request.method(),
        request.uri().path()
    );
    let error = ServiceError::new(Code::NotFound, message);
    refusal(error, is_grpc(request.headers()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_up_to_eight_digits_and_a_unit() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("2S"), Some(Duration::from_secs(2)));
        for wrong in ["", "m", "250", "123456789m", "-1S", "1x", "1\u{e9}"] {
            assert_eq!(grpc_timeout(wrong), None, "{wrong}");
        }
    }
}
