//! The error of a request: a stable code, a message that says what to do, and the time after which a retry can help.

use std::time::Duration;

use trunkline::{
    BatchError, EngineFailure, EvidenceError, FeedError, ForkError, PastError, ReadError,
    RevertError, SnapshotError, SnapshotProveError, SubmitError,
};
use trunkline_replication::{AcknowledgeError, LevelError};

use crate::observe::table::{Rejection, rejected};

/// The stable code of an error. `docs/SERVICE.md` explains each to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request breaks a rule; the same request will fail again.
    InvalidRequest,
    /// The request is larger than the service accepts.
    TooLarge,
    /// The caller has not authenticated.
    Unauthenticated,
    /// The caller lacks the scope.
    PermissionDenied,
    /// There is no such path or method.
    NotFound,
    /// The version is no longer kept.
    VersionExpired,
    /// The version is not durable yet.
    VersionNotReached,
    /// The idempotency key belongs to another batch.
    IdempotencyKeyReused,
    /// This process does not write.
    NotPrimary,
    /// The service has more work than it can do; the request had no effect.
    Overloaded,
    /// The deadline has passed. A submitted batch may still take effect.
    DeadlineExceeded,
    /// The batch is durable here, but the requested level of replication was not reached in time.
    LevelNotReached,
    /// The service is stopping; the request had no effect.
    Draining,
    /// The engine has stopped.
    EngineFailed,
    /// An internal error occurred while the request was served.
    Internal,
}

impl Code {
    /// Returns the code in the form for callers.
    pub fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::VersionExpired => "version_expired",
            Self::VersionNotReached => "version_not_reached",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::NotPrimary => "not_primary",
            Self::Overloaded => "overloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::LevelNotReached => "level_not_reached",
            Self::Draining => "draining",
            Self::EngineFailed => "engine_failed",
            Self::Internal => "internal",
        }
    }

    /// Returns the status of an HTTP response.
    pub fn http_status(self) -> axum::http::StatusCode {
        use axum::http::StatusCode;
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::VersionExpired => StatusCode::GONE,
            Self::VersionNotReached | Self::IdempotencyKeyReused => StatusCode::CONFLICT,
            Self::NotPrimary => StatusCode::MISDIRECTED_REQUEST,
            Self::Overloaded | Self::Draining | Self::EngineFailed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::DeadlineExceeded | Self::LevelNotReached => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the reason under which metrics count the error. Other errors are counted only by their status.
    pub fn rejection(self) -> Option<Rejection> {
        Some(match self {
            Self::InvalidRequest => Rejection::Invalid,
            Self::TooLarge => Rejection::TooLarge,
            Self::Unauthenticated => Rejection::Authentication,
            Self::PermissionDenied => Rejection::Scope,
            Self::NotPrimary => Rejection::Replica,
            Self::Overloaded => Rejection::Overload,
            Self::DeadlineExceeded => Rejection::Deadline,
            Self::Draining => Rejection::Draining,
            _ => return None,
        })
    }

    /// Returns the status of a gRPC response.
    pub fn grpc_code(self) -> tonic::Code {
        match self {
            Self::InvalidRequest => tonic::Code::InvalidArgument,
            Self::Overloaded | Self::TooLarge => tonic::Code::ResourceExhausted,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::Unimplemented,
            Self::VersionExpired | Self::VersionNotReached => tonic::Code::OutOfRange,
            Self::IdempotencyKeyReused => tonic::Code::AlreadyExists,
            Self::NotPrimary => tonic::Code::FailedPrecondition,
            Self::DeadlineExceeded | Self::LevelNotReached => tonic::Code::DeadlineExceeded,
            Self::Draining | Self::EngineFailed => tonic::Code::Unavailable,
            Self::Internal => tonic::Code::Internal,
        }
    }
}

/// An error of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// The stable code.
    pub code: Code,
    /// The reason, with what to do.
    pub message: String,
    /// The time after which the same request may succeed, if a retry can help. The request then had no effect.
    pub retry_after: Option<Duration>,
}

impl ServiceError {
    /// Counts the error, once it is clear that a caller gets it.
    pub(crate) fn count(&self) {
        if let Some(reason) = self.code.rejection() {
            rejected(reason).increment(1);
        }
    }

    /// Creates an error that a retry does not fix.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Creates a temporary error.
    pub fn passing(code: Code, message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(code, message)
        }
    }

    /// Creates the error of a request whose deadline has passed.
    pub fn deadline() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            "the deadline has passed; a batch that was submitted may still take effect: submit it again with the same \
             idempotency key",
        )
    }

    /// Creates the error of a submission whose deadline passed before the engine accepted it.
    pub fn too_late() -> Self {
        let message = "the deadline has passed before the batch was accepted; nothing was done: try again, or give it more time";
        Self::passing(Code::DeadlineExceeded, message, RETRY_AFTER)
    }

    fn of(code: Code, error: &dyn std::error::Error) -> Self {
        Self::new(code, with_causes(error))
    }
}

/// Returns the message of an error and its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += ": ";
        text += &error.to_string();
        cause = error.source();
    }
    text
}

impl From<BatchError> for ServiceError {
    fn from(error: BatchError) -> Self {
        Self::of(Code::InvalidRequest, &error)
    }
}

impl From<EngineFailure> for ServiceError {
    fn from(failure: EngineFailure) -> Self {
        match failure {
            EngineFailure::Closed => Self::new(Code::Draining, "the engine was shut down"),
            failure => Self::of(Code::EngineFailed, &failure),
        }
    }
}

/// Time after which a caller that was refused for lack of capacity may try again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

impl From<SubmitError> for ServiceError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Batch(error) => error.into(),
            SubmitError::Busy => Self::overloaded(),
            SubmitError::IdempotencyKeyReused { .. } => {
                Self::of(Code::IdempotencyKeyReused, &error)
            }
            // These are errors of forks, which callers of the service do not commit.
            SubmitError::Overtaken { .. } | SubmitError::Repeat { .. } => {
                Self::of(Code::Internal, &error)
            }
            SubmitError::Engine(failure) => failure.into(),
        }
    }
}

impl From<ForkError> for ServiceError {
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::Version(error) => error.into(),
            ForkError::Full(error) => {
                Self::passing(Code::Overloaded, error.to_string(), RETRY_AFTER)
            }
            ForkError::Batch(error) => error.into(),
            ForkError::Read(error) => error.into(),
            ForkError::Engine(failure) => failure.into(),
        }
    }
}

impl From<RevertError> for ServiceError {
    fn from(error: RevertError) -> Self {
        match error {
            RevertError::Version(error) => error.into(),
            RevertError::Read(error) => error.into(),
            RevertError::Submit(error) => error.into(),
            RevertError::TooLarge { .. } => Self::of(Code::TooLarge, &error),
            RevertError::Thread(_) => Self::of(Code::Internal, &error),
        }
    }
}

impl ServiceError {
    /// Creates the error of a request that comes while the service stops.
    pub fn draining() -> Self {
        let message =
            "the service is stopping; nothing was done: use another one, or try again later";
        Self::passing(Code::Draining, message, Duration::from_secs(1))
    }

    /// Creates the error of a request for which the service has no capacity.
    pub fn overloaded() -> Self {
        let message = "the service has more to do than it can; nothing was done: try again later, with a pause that grows";
        Self::passing(Code::Overloaded, message, RETRY_AFTER)
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Key(error) => error.into(),
            ReadError::Engine(failure) => failure.into(),
            ReadError::Closed => EngineFailure::Closed.into(),
            ReadError::Expired { .. } => Self::of(Code::VersionExpired, &error),
            ReadError::NoKeyOrder => Self::of(Code::InvalidRequest, &error),
            ReadError::Past(past) => past.into(),
            error => Self::of(Code::Internal, &error),
        }
    }
}

impl From<SnapshotError> for ServiceError {
    fn from(error: SnapshotError) -> Self {
        let code = match error {
            SnapshotError::Expired { .. } => Code::VersionExpired,
            SnapshotError::NotYet { .. } => Code::VersionNotReached,
            SnapshotError::Past(past) => return past.into(),
        };
        Self::of(code, &error)
    }
}

impl From<PastError> for ServiceError {
    fn from(error: PastError) -> Self {
        Self::of(code_of_past(&error), &error)
    }
}

fn code_of_past(error: &PastError) -> Code {
    match error {
        PastError::Pruned { .. } | PastError::NotArchived { .. } => Code::VersionExpired,
        PastError::Closed => Code::Draining,
        _ => Code::Internal,
    }
}

impl From<SnapshotProveError> for ServiceError {
    fn from(error: SnapshotProveError) -> Self {
        match error {
            SnapshotProveError::Read(error) => error.into(),
            error => Self::of(Code::InvalidRequest, &error),
        }
    }
}

impl From<EvidenceError> for ServiceError {
    fn from(error: EvidenceError) -> Self {
        let code = match error {
            EvidenceError::NotYet { .. } => Code::VersionNotReached,
            EvidenceError::Expired { .. } | EvidenceError::NotInLog { .. } => Code::VersionExpired,
            EvidenceError::Gone => Code::Draining,
            EvidenceError::Past(ref past) => code_of_past(past),
            EvidenceError::Engine(failure) => return failure.into(),
            EvidenceError::Prove(_) => Code::InvalidRequest,
        };
        Self::of(code, &error)
    }
}

impl From<trunkline::HistoryError> for ServiceError {
    fn from(error: trunkline::HistoryError) -> Self {
        let code = match error {
            trunkline::HistoryError::NotOlder { .. } => Code::InvalidRequest,
            _ => Code::Internal,
        };
        Self::of(code, &error)
    }
}

impl From<FeedError> for ServiceError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Gap { .. } => Self::of(Code::VersionExpired, &error),
            FeedError::Engine(failure) => failure.into(),
            error => Self::of(Code::Internal, &error),
        }
    }
}

impl From<LevelError> for ServiceError {
    fn from(error: LevelError) -> Self {
        let code = match error {
            LevelError::Timeout { .. } => Code::LevelNotReached,
            LevelError::Failed { .. } => Code::EngineFailed,
            LevelError::TooFewMembers(_) => Code::InvalidRequest,
        };
        Self::of(code, &error)
    }
}

impl From<AcknowledgeError> for ServiceError {
    fn from(error: AcknowledgeError) -> Self {
        match error {
            AcknowledgeError::Engine(failure) => failure.into(),
            AcknowledgeError::Level { source, .. } => source.into(),
        }
    }
}
