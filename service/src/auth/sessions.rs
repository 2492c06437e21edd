//! Sessions of the page, for browsers that have shown a token once. They are kept in memory and end with the process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use parking_lot::Mutex;

/// Most sessions at the same time. A further one ends the oldest.
const SESSIONS_MAX: usize = 1024;
/// Longest duration of a session.
pub(crate) const SESSION_AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions by the hash of their id, each with the hash of the token that began it.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: Mutex<HashMap<blake3::Hash, Session>>,
}

struct Session {
    token: blake3::Hash,
    begun: Instant,
}

impl Sessions {
    /// Begins a session and returns its id.
    pub(crate) fn begin(&self, token: blake3::Hash, now: Instant) -> String {
        let id = hex::encode(rand::random::<[u8; 32]>());
        let mut sessions = self.by_id.lock();
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.begun);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(blake3::hash(id.as_bytes()), Session { token, begun: now });
        id
    }

    /// Returns the hash of the token that began the session.
    pub(crate) fn token(&self, id: &str, now: Instant) -> Option<blake3::Hash> {
        let sessions = self.by_id.lock();
        let session = sessions.get(&blake3::hash(id.as_bytes()))?;
        (!session.is_over(now)).then_some(session.token)
    }

    /// Ends a session.
    pub(crate) fn end(&self, id: &str) {
        self.by_id.lock().remove(&blake3::hash(id.as_bytes()));
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= SESSION_AGE_MAX
    }
}

/// Returns the name of the cookie. With this prefix, a browser accepts it only from this host over TLS.
pub(crate) fn cookie_name(is_tls: bool) -> &'static str {
    if is_tls {
        "__Host-trunkline"
    } else {
        "trunkline"
    }
}

/// Returns the session id from the cookies of a request.
pub(crate) fn session_id(headers: &HeaderMap, is_tls: bool) -> Option<&str> {
    let name = cookie_name(is_tls);
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| {
        let (key, value) = cookie.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// Returns the header `set-cookie` that begins a session, or ends it if the id is empty.
pub(crate) fn set_cookie(id: &str, is_tls: bool) -> String {
    let age = if id.is_empty() {
        0
    } else {
        SESSION_AGE_MAX.as_secs()
    };
    let secure = if is_tls { "; Secure" } else { "" };
    let name = cookie_name(is_tls);
    format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_further_session_ends_the_oldest() {
        let sessions = Sessions::default();
        let token = blake3::hash(b"token");
        let begun = Instant::now();
        let second = |at: usize| begun + Duration::from_secs(at as u64);
        let ids: Vec<String> = (0..=SESSIONS_MAX)
            .map(|at| sessions.begin(token, second(at)))
            .collect();
        let now = second(SESSIONS_MAX);
        assert_eq!(sessions.token(&ids[0], now), None);
        assert!(
            ids[1..]
                .iter()
                .all(|id| sessions.token(id, now) == Some(token))
        );
        assert_eq!(sessions.by_id.lock().len(), SESSIONS_MAX);
    }

    #[test]
    fn a_session_ends_by_itself() {
        let sessions = Sessions::default();
        let begun = Instant::now();
        let id = sessions.begin(blake3::hash(b"token"), begun);
        let last = begun + SESSION_AGE_MAX - Duration::from_nanos(1);
        assert!(sessions.token(&id, last).is_some());
        assert_eq!(sessions.token(&id, begun + SESSION_AGE_MAX), None);
    }
}
