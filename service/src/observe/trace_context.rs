//! Names of requests: the request id, and the W3C Trace Context header `traceparent`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;

/// The header with the request id, in both directions.
pub const REQUEST_ID: &str = "x-request-id";
/// The header with the caller's span and, in a response, the service's.
pub const TRACEPARENT: &str = "traceparent";
/// Longest request id in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Returns the caller's request id, or a new one. An id with other characters than letters, digits, `-`, `_` and `.` is
/// replaced, because ids are written to logs.
pub fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_allowed = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
    };
    given
        .filter(is_allowed)
        .map_or_else(new_request_id, str::to_owned)
}

/// Returns a random number of the process, with the number of the request in it.
fn new_request_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A position in a trace of several programs.
///
/// ```
/// use trunkline_service::observe::trace_context::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent = TraceParent::parse(text).unwrap();
/// assert!(parent.is_sampled());
/// assert_eq!(parent.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace id; not 0.
    pub trace_id: u128,
    /// The id of the span in the trace; not 0.
    pub span_id: u64,
    /// Flags; bit 0 means that the trace is recorded.
    pub flags: u8,
}

impl TraceParent {
    /// Parses the header; `None` if it is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |digits| {
            let part = parts.next()?;
            let is_hex = part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let part = (part.len() == digits && is_hex).then_some(part)?;
            u128::from_str_radix(part, 16).ok()
        };
        let (version, trace_id, span_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Later versions may add parts; 255 is not a version.
        let is_known = version != 0xff && (version != 0 || parts.next().is_none());
        (is_known && trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id: span_id as u64,
            flags: flags as u8,
        })
    }

    /// Parses the header of a request; `None` if it is missing, repeated or invalid.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        Self::parse(only.to_str().ok()?)
    }

    /// Returns whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(formatter, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_is_not_a_traceparent_is_not_taken() {
        for text in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00-{TRACE}-00f067aa0ba902b7-é"),
        ] {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
        assert!(TraceParent::parse(&format!("01-{TRACE}-00f067aa0ba902b7-01-more")).is_some());
    }

    #[test]
    fn a_request_id_is_taken_over_if_it_is_harmless() {
        let mut headers = HeaderMap::new();
        let (one, other) = (request_id(&headers), request_id(&headers));
        assert_ne!(one, other);
        headers.insert(REQUEST_ID, "a.B-3_".parse().unwrap());
        assert_eq!(request_id(&headers), "a.B-3_");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            headers.insert(REQUEST_ID, bad.parse().unwrap());
            assert_ne!(request_id(&headers), bad);
        }
    }
}
