//! The scope that each method of gRPC needs.

use crate::auth::scope::Scope;

/// The scope that a path needs, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, for health checks.
    Nothing,
    /// This scope.
    Scope(Scope),
}

/// Returns the scope that a gRPC method needs, by its path; `None` if the path is not a known gRPC method. A method of
/// our own that is not listed needs `admin`.
///
/// ```
/// use trunkline_service::auth::{Need, Scope, grpc_need};
///
/// let need = grpc_need("/trunkline.service.v1.Trunkline/Submit");
/// assert_eq!(need, Some(Need::Scope(Scope::Write)));
/// ```
pub fn grpc_need(path: &str) -> Option<Need> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let scope = match service {
        "grpc.health.v1.Health" => return Some(Need::Nothing),
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
            Scope::Read
        }
        "trunkline.service.v1.Trunkline" => match method {
            "Submit" => Scope::Write,
            "Preview" | "Get" | "Range" | "Prove" | "GetRoot" | "ListVersions"
            | "ProveAncestor" | "ProveConsistency" | "ProveSubmission" | "ProveAudit" | "Feed"
            | "GetStatus" => Scope::Read,
            _ => Scope::Admin,
        },
        _ if service.starts_with("trunkline.") => Scope::Admin,
        _ => return None,
    };
    Some(Need::Scope(scope))
}

/// Returns whether a path is a health check, which needs no authentication.
pub(crate) fn is_health(path: &str) -> bool {
    matches!(path, "/live" | "/ready") || grpc_need(path) == Some(Need::Nothing)
}
