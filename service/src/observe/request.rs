//! The middleware that measures an HTTP or gRPC request, and gives it a span.
//!
//! The span has no header, query, key or value of the request, so that it cannot contain secrets. The handlers add
//! facts with [`record_principal`], [`record_sequence`] and [`record_version`]; the version is that of the group's
//! span.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::observe::groups::as_attribute;
use crate::observe::held::Held;
use crate::observe::table::{self, Protocol};
use crate::observe::trace_context::{REQUEST_ID, TRACEPARENT, TraceParent, request_id};

/// Target of the spans of requests.
pub const TARGET: &str = "trunkline::request";

/// The gRPC methods. Others count as `other`: a name that a caller makes up is not used as a label.
pub const GRPC_METHODS: [&str; 17] = [
    "Submit",
    "Preview",
    "Get",
    "Range",
    "Prove",
    "GetRoot",
    "ListVersions",
    "ProveAncestor",
    "ProveConsistency",
    "ProveSubmission",
    "ProveAudit",
    "Feed",
    "GetStatus",
    "GetConfig",
    "Reload",
    "GetDecisions",
    "Revert",
];

/// Measures a request. Add it with [`axum::Router::layer`] as the outermost layer, so that every response is counted
/// and the route is known.
///
/// ```
/// use axum::{Router, middleware, routing::get};
/// use trunkline_service::observe::request;
///
/// let router: Router = Router::new()
///     .route("/v1/status", get(|| async { "ready" }))
///     .layer(middleware::from_fn(request::observe));
/// ```
pub async fn observe(request: Request, next: Next) -> Response {
    let protocol = protocol(request.headers());
    let method = method(protocol, &request);
    let (id, parent) = (
        request_id(request.headers()),
        TraceParent::of(request.headers()),
    );
    let span = info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.name = method,
        otel.kind = "server",
        protocol = protocol.name(),
        method,
        request_id = id,
        trace_id = parent.map(|parent| format!("{:032x}", parent.trace_id)),
        principal = Empty,
        sequence = Empty,
        version = Empty,
        code = Empty,
        otel.status_code = Empty,
    );
    let here = join(&span, parent);
    let outcome = Outcome {
        protocol,
        method,
        code: None,
        span: span.clone(),
    };
    let in_flight = Held::add(table::requests_in_flight(), 1);
    let request = request.map(|body| count_received(body, protocol));
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span).await;
    let seconds = table::request_seconds(protocol, outcome.method.clone());
    seconds.record(begun.elapsed().as_secs_f64());
    drop(in_flight);
    add_headers(response.headers_mut(), &id, here);
    outcome.follow(response)
}

/// Adds the name of the caller to the request's span. It must not be a secret.
pub fn record_principal(name: &str) {
    Span::current().record("principal", name);
}

/// Adds a submission's sequence number to the request's span.
pub fn record_sequence(sequence: u64) {
    Span::current().record("sequence", as_attribute(sequence));
}

/// Adds the version that the request wrote or read to the request's span.
pub fn record_version(version: u64) {
    Span::current().record("version", as_attribute(version));
}

fn protocol(headers: &HeaderMap) -> Protocol {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match media.is_some_and(|media| media.starts_with(b"application/grpc")) {
        true => Protocol::Grpc,
        false => Protocol::Http,
    }
}

/// Returns the name of the gRPC method, or the HTTP route.
fn method(protocol: Protocol, request: &Request) -> String {
    let other = || "other".to_owned();
    if protocol == Protocol::Http {
        let route = request.extensions().get::<MatchedPath>();
        return route.map_or_else(other, |route| route.as_str().to_owned());
    }
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    match GRPC_METHODS.contains(&name) {
        true => name.to_owned(),
        false => other(),
    }
}

/// Makes the span a child of the caller's. Returns the position in the trace for the caller.
#[cfg(feature = "otlp")]
fn join(span: &Span, parent: Option<TraceParent>) -> Option<TraceParent> {
    use crate::observe::otlp;
    if let Some(parent) = parent {
        otlp::join(span, parent);
    }
    otlp::place(span).or(parent)
}

#[cfg(not(feature = "otlp"))]
fn join(_: &Span, parent: Option<TraceParent>) -> Option<TraceParent> {
    parent
}

fn add_headers(headers: &mut HeaderMap, id: &str, here: Option<TraceParent>) {
    let here = here.map(|here| here.to_string());
    for (name, value) in [(REQUEST_ID, Some(id)), (TRACEPARENT, here.as_deref())] {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
}

fn count_received(body: Body, protocol: Protocol) -> Body {
    let received = table::received_bytes(protocol);
    Body::new(Watched {
        body,
        look: move |frame: &Frame<Bytes>| {
            received.increment(frame.data_ref().map_or(0, Bytes::len) as u64);
        },
    })
}

/// A body whose frames are observed as they pass. It keeps its length, which the header `content-length` needs.
struct Watched<L> {
    body: Body,
    look: L,
}

impl<L: FnMut(&Frame<Bytes>) + Unpin> HttpBody for Watched<L> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &next {
            (self.look)(frame);
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The result of a request. It is counted when the response was sent or dropped.
struct Outcome {
    protocol: Protocol,
    method: String,
    code: Option<String>,
    span: Span,
}

impl Outcome {
    /// Observes a response while it is sent: the gRPC status comes after the messages.
    fn follow(mut self, response: Response) -> Response {
        match self.protocol {
            Protocol::Http => self.see_status(response.status()),
            Protocol::Grpc => self.see_grpc_status(response.headers()),
        }
        let sent = table::sent_bytes(self.protocol);
        response.map(|body| {
            let look = move |frame: &Frame<Bytes>| {
                sent.increment(frame.data_ref().map_or(0, Bytes::len) as u64);
                if let Some(trailers) = frame.trailers_ref() {
                    self.see_grpc_status(trailers);
                }
            };
            Body::new(Watched { body, look })
        })
    }

    fn see_status(&mut self, status: StatusCode) {
        self.code = Some(status.as_str().to_owned());
        self.note_error(status.is_server_error());
    }

    fn see_grpc_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            let code = Code::from_bytes(status.as_bytes());
            self.code = Some(format!("{code:?}"));
            self.note_error(matches!(
                code,
                Code::Internal | Code::Unknown | Code::DataLoss
            ));
        }
    }

    fn note_error(&self, is_error: bool) {
        if is_error {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let code = self
            .code
            .take()
            .unwrap_or_else(|| format!("{:?}", Code::Cancelled));
        self.span.record("code", &code);
        table::requests(self.protocol, std::mem::take(&mut self.method), code).increment(1);
    }
}
