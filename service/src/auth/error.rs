//! The reasons why a request is refused before it is handled.

use axum::http::StatusCode;

use crate::auth::scope::Scope;
use crate::observe::table::Rejection;

/// The reason why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request has no credentials.
    #[error("show a token: `authorization: Bearer TOKEN`; `trunkline token` makes one")]
    Missing,
    /// The header exists, but is not `Bearer TOKEN`.
    #[error("the header `authorization` must be `Bearer TOKEN`")]
    Malformed,
    /// No entry of the token file has this token, or it has expired.
    #[error("the token is unknown or has expired; ask the operator for another")]
    UnknownToken,
    /// The certificate is valid, but none of its names has an entry in the token file.
    #[error("no name of the client's certificate has an entry [[certificate]] in the token file")]
    UnknownCertificate,
    /// The session has ended, or its token was removed.
    #[error("the session has ended; log in again")]
    UnknownSession,
    /// The peer failed too often.
    #[error("too many failures from this address; try again in a minute")]
    TooMany,
    /// The principal may not do this.
    #[error(
        "{name:?} does not have the scope {scope:?}; the operator can add it to the token file"
    )]
    Scope {
        /// Name of the principal.
        name: String,
        /// Scope that the request needs.
        scope: Scope,
    },
    /// The request names no host.
    #[error("the request names no host")]
    NoHost,
    /// The request names a host that is not ours.
    #[error("the service does not have this host name; the operator can add it to server.hosts")]
    WrongHost,
    /// A page of another site sent the request.
    #[error("requests from pages of other sites are refused")]
    WrongOrigin,
}

impl AuthError {
    /// Returns the stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing
            | Self::Malformed
            | Self::UnknownToken
            | Self::UnknownCertificate
            | Self::UnknownSession => "unauthenticated",
            Self::TooMany => "too_many_failures",
            Self::Scope { .. } => "permission_denied",
            Self::NoHost | Self::WrongHost => "wrong_host",
            Self::WrongOrigin => "wrong_origin",
        }
    }

    /// Returns the reason as a label of metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownToken => "token",
            Self::UnknownCertificate => "certificate",
            Self::UnknownSession => "session",
            Self::TooMany => "too_many",
            Self::Scope { .. } => "scope",
            Self::NoHost | Self::WrongHost => "host",
            Self::WrongOrigin => "origin",
        }
    }

    /// Returns the reason under which metrics count the error.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Scope { .. } => Rejection::Scope,
            Self::NoHost | Self::WrongHost | Self::WrongOrigin => Rejection::Host,
            _ => Rejection::Authentication,
        }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self.code() {
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "too_many_failures" => StatusCode::TOO_MANY_REQUESTS,
            "wrong_host" => StatusCode::MISDIRECTED_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// Returns the gRPC status.
    pub fn grpc_status(&self) -> u8 {
        const RESOURCE_EXHAUSTED: u8 = 8;
        const PERMISSION_DENIED: u8 = 7;
        const UNAUTHENTICATED: u8 = 16;
        match self.code() {
            "unauthenticated" => UNAUTHENTICATED,
            "too_many_failures" => RESOURCE_EXHAUSTED,
            _ => PERMISSION_DENIED,
        }
    }

    /// Returns whether a guess failed. Guesses are limited for each peer.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::UnknownToken | Self::UnknownCertificate | Self::UnknownSession
        )
    }
}
