//! Authenticates requests.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use trunkline::config::ServerConfig;

use crate::auth::error::AuthError;
use crate::auth::failures::Failures;
use crate::auth::scope::{Principal, Scopes};
use crate::auth::sessions::{Sessions, session_id};
use crate::auth::sites::{Sites, is_from_our_page};
use crate::auth::tokens::{Tokens, TokensError};
use crate::observe::table::{ReloadedFile, rejected};
use crate::peer::Peer;
use crate::watched::Watched;

/// The least time between two checks of the token file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The error of opening an [`Authenticator`].
#[derive(Debug, thiserror::Error)]
pub enum OpenAuthError {
    /// The token file cannot be used.
    #[error("server.tokens_path: {0}")]
    Tokens(#[from] TokensError),
    /// A name in `server.hosts` is not a host.
    #[error(
        "server.hosts: {0:?} is not a host; write names or addresses, each with or without a port, separated by commas"
    )]
    Hosts(String),
}

/// Authenticates the senders of requests, and refuses requests from other sites' pages.
///
/// Without a token file, local peers may do everything (as the principal `local`), and so may clients with a
/// certificate of the authorities in `server.tls_client_ca_path` (by the certificate's name). With one, a request needs
/// a token, a session that was begun with a token, or a certificate whose name is in the file.
pub struct Authenticator {
    tokens: Option<Watched<Tokens, TokensError>>,
    sites: Sites,
    sessions: Sessions,
    failures: Failures,
}

impl Authenticator {
    /// Reads the token file, if there is one.
    pub fn open(config: &ServerConfig) -> Result<Self, OpenAuthError> {
        Self::open_with(config, CHECK_INTERVAL)
    }

    /// Works like [`open`](Self::open), with another time between two checks of the token file.
    pub fn open_with(config: &ServerConfig, interval: Duration) -> Result<Self, OpenAuthError> {
        let path = &config.tokens_path;
        let tokens = if path.as_os_str().is_empty() {
            None
        } else {
            Some(watch(path.clone(), interval)?)
        };
        Ok(Self {
            tokens,
            sites: Sites::parse(&config.hosts).map_err(OpenAuthError::Hosts)?,
            sessions: Sessions::default(),
            failures: Failures::new(),
        })
    }

    /// Reads the token file now. Returns whether it changed. If it cannot be used, the old content stays in force.
    pub fn reload(&self) -> Result<bool, TokensError> {
        self.tokens.as_ref().map_or(Ok(false), Watched::reload)
    }

    /// Checks that the request names one of our hosts and does not come from another site's page.
    pub fn check_site(&self, request: &Parts, peer: &Peer) -> Result<(), AuthError> {
        self.sites.check(request, peer)
    }

    /// Returns the principal of a request. Call [`check_site`](Self::check_site) first.
    pub fn authenticate(
        &self,
        method: &Method,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Principal, AuthError> {
        let Some(tokens) = &self.tokens else {
            return without_tokens(peer);
        };
        let tokens = tokens.get();
        if headers.contains_key(AUTHORIZATION) {
            return by_token(&tokens, headers);
        }
        let session = session_id(headers, peer.is_tls);
        if let Some(id) = session.filter(|_| is_from_our_page(method, headers)) {
            return self.by_session(&tokens, id);
        }
        by_certificate(&tokens, peer)
    }

    fn by_session(&self, tokens: &Tokens, id: &str) -> Result<Principal, AuthError> {
        let token = self.sessions.token(id, Instant::now());
        let token = token.and_then(|hash| tokens.by_hash(&hash, SystemTime::now()));
        let token = token.ok_or(AuthError::UnknownSession)?;
        Ok(Principal {
            name: token.name.clone(),
            scopes: token.scopes,
        })
    }

    /// Begins a session with a token and returns its id, or none if no token is needed.
    pub(crate) fn log_in(&self, secret: &str, peer: &Peer) -> Result<Option<String>, AuthError> {
        let Some(tokens) = &self.tokens else {
            return without_tokens(peer).map(|_| None);
        };
        let tokens = tokens.get();
        let found = tokens.find(secret.as_bytes(), SystemTime::now());
        let (hash, _) = found.ok_or(AuthError::UnknownToken)?;
        Ok(Some(self.sessions.begin(hash, Instant::now())))
    }

    /// Ends the session of a request, if it has one.
    pub(crate) fn log_out(&self, headers: &HeaderMap, peer: &Peer) {
        if let Some(id) = session_id(headers, peer.is_tls) {
            self.sessions.end(id);
        }
    }

    /// Counts and logs a refusal, without the request's credentials. Returns the error for the reply.
    pub(crate) fn refuse(&self, error: AuthError, path: &str, peer: &Peer) -> AuthError {
        rejected(error.rejection()).increment(1);
        if !self.failures.count(peer.address()) {
            return if error.is_guess() {
                AuthError::TooMany
            } else {
                error
            };
        }
        // The peer chooses the path of a request. `{:?}` escapes it.
        let path: String = path.chars().take(128).collect();
        tracing::warn!(%peer, ?path, reason = error.reason(), "request refused");
        error
    }
}

fn watch(path: PathBuf, interval: Duration) -> Result<Watched<Tokens, TokensError>, TokensError> {
    Watched::open(ReloadedFile::Tokens, vec![path], interval, |contents| {
        Tokens::parse(&contents[0])
    })
}

/// Returns a principal that may do everything. Only local peers and verified certificates can get here (`listen`
/// refuses to bind otherwise), and this is checked again.
fn without_tokens(peer: &Peer) -> Result<Principal, AuthError> {
    let name = match &peer.certificate {
        Some(certificate) => certificate.names.first().unwrap_or(&certificate.subject),
        None if peer.is_local() => "local",
        None => return Err(AuthError::Missing),
    };
    Ok(Principal {
        name: name.to_owned(),
        scopes: Scopes::all(),
    })
}

fn by_token(tokens: &Tokens, headers: &HeaderMap) -> Result<Principal, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(AuthError::Malformed);
    };
    let secret = bearer(value.as_bytes()).ok_or(AuthError::Malformed)?;
    let found = tokens.find(secret, SystemTime::now());
    let (_, token) = found.ok_or(AuthError::UnknownToken)?;
    Ok(Principal {
        name: token.name.clone(),
        scopes: token.scopes,
    })
}

/// Returns the token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    let secret = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !secret.is_empty()).then_some(secret)
}

fn by_certificate(tokens: &Tokens, peer: &Peer) -> Result<Principal, AuthError> {
    let certificate = peer.certificate.as_ref().ok_or(AuthError::Missing)?;
    let entry = tokens.by_certificate(certificate);
    let (name, scopes) = entry.ok_or(AuthError::UnknownCertificate)?;
    Ok(Principal { name, scopes })
}
