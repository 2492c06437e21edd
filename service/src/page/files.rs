//! The files of the page. They are part of the program, so that they match it and need no path.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Allows only what the files need: no other origin, no inline code, no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal is $kind:ident $name:literal,)+) => {
        &[$(File {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/page/", $name)),
        },)+]
    };
}

const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

const FILES: &[File] = files! {
    "/" is HTML "index.html",
    "/page/style.css" is CSS "style.css",
    "/page/icon.svg" is SVG "icon.svg",
    "/page/app.js" is JAVASCRIPT "app.js",
    "/page/connection.js" is JAVASCRIPT "connection.js",
    "/page/elements.js" is JAVASCRIPT "elements.js",
    "/page/format.js" is JAVASCRIPT "format.js",
    "/page/history.js" is JAVASCRIPT "history.js",
    "/page/login.js" is JAVASCRIPT "login.js",
    "/page/pins.js" is JAVASCRIPT "pins.js",
    "/page/plots.js" is JAVASCRIPT "plots.js",
    "/page/proofs.js" is JAVASCRIPT "proofs.js",
    "/page/tables.js" is JAVASCRIPT "tables.js",
    "/page/timeline.js" is JAVASCRIPT "timeline.js",
    "/page/verify.js" is JAVASCRIPT "verify.js",
    "/page/verifier.js" is JAVASCRIPT "verifier.js",
    "/page/uPlot.js" is JAVASCRIPT "uPlot.iife.min.js",
    "/page/uPlot.css" is CSS "uPlot.min.css",
    "/page/uPlot.LICENSE" is TEXT "uPlot.LICENSE",
};

/// Returns whether a request is for a file of the page. Files are public: a browser needs the page to log in.
///
/// ```
/// use axum::http::Method;
/// use trunkline_service::page::is_public;
///
/// assert!(is_public(&Method::GET, "/"));
/// assert!(!is_public(&Method::GET, "/v1/live"));
/// ```
pub fn is_public(method: &Method, path: &str) -> bool {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    is_read && FILES.iter().any(|file| file.path == path)
}

pub(super) fn routes() -> Router {
    let add = |router: Router, file: &File| {
        let (file, etag) = (*file, etag(file.bytes));
        let answer = move |headers: HeaderMap| async move { file.answer(&headers, etag) };
        router.route(file.path, get(answer))
    };
    FILES.iter().fold(Router::new(), add)
}

/// Returns a strong tag of the content, which no other version of the file has.
fn etag(bytes: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", blake3::hash(bytes).to_hex());
    // Hexadecimal digits and quotes are valid in a header.
    HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!())
}

impl File {
    fn answer(self, request: &HeaderMap, etag: HeaderValue) -> Response {
        let known = request.get_all(header::IF_NONE_MATCH);
        let mut response = match known.iter().any(|known| is_same(known, &etag)) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => self.bytes.into_response(),
        };
        let headers = response.headers_mut();
        let headers_of_all = [
            (header::CONTENT_TYPE, self.kind),
            // A browser asks each time whether its copy matches the service.
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "same-origin"),
        ];
        for (name, value) in headers_of_all {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            (
                "permissions-policy",
                "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::ETAG, etag);
        response
    }
}

/// Compares a list of tags with ours, weakly, as `If-None-Match` does.
fn is_same(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let tags = known.to_str().unwrap_or("").split(',').map(str::trim);
    tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag))
        .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}
