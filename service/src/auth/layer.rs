//! Refuses requests before a handler sees them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::auth::authenticator::Authenticator;
use crate::auth::error::AuthError;
use crate::auth::grpc::{Need, grpc_need, is_health};
use crate::auth::reply::{is_grpc, refusal};
use crate::auth::scope::{Principal, Scope};
use crate::observe::request::record_principal;
use crate::peer::Peer;

/// Returns whether a path is public: the files of the page, which are read before a login.
pub type IsPublic = fn(&Method, &str) -> bool;

#[derive(Clone)]
struct Gate {
    authenticator: Arc<Authenticator>,
    is_public: IsPublic,
}

/// Protects all routes of a router: host and origin are checked, then the request is authenticated and gets its
/// [`Principal`] as an extension. gRPC methods need the scope of the table in [`grpc_need`]; HTTP routes declare theirs
/// with [`require`]. All paths except health checks and public files need at least a principal, so that a route whose
/// scope was forgotten is not open to everybody.
///
/// Requests need a [`Peer`] as an extension; without one they are refused.
///
/// ```
/// # use std::sync::Arc;
/// use axum::{Router, routing::get};
/// use trunkline::config::ServerConfig;
/// use trunkline_service::auth::{self, Authenticator, Scope, require};
///
/// let authenticator = Arc::new(Authenticator::open(&ServerConfig::default())?);
/// let router = Router::new()
///     .route("/v1/status", require(Scope::Read, get(|| async { "fine" })))
///     .merge(auth::login_routes(&authenticator));
/// let router: Router = auth::protect(router, &authenticator, |_, path| path == "/");
/// # Ok::<(), auth::OpenAuthError>(())
/// ```
pub fn protect<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    authenticator: &Arc<Authenticator>,
    is_public: IsPublic,
) -> Router<S> {
    let gate = Gate {
        authenticator: authenticator.clone(),
        is_public,
    };
    router
        .layer(middleware::from_fn_with_state(gate, pass))
        .layer(Extension(authenticator.clone()))
}

async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let is_grpc = is_grpc(request.headers());
    let path = request.uri().path().to_owned();
    if is_health(&path) {
        return next.run(request).await;
    }
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return refusal(&AuthError::Missing, is_grpc);
    };
    let (parts, body) = request.into_parts();
    let admitted = gate.admit(&parts, &path, &peer);
    request = Request::from_parts(parts, body);
    match admitted {
        Ok(principal) => {
            if let Some(principal) = principal {
                record_principal(&principal.name);
                request.extensions_mut().insert(principal);
            }
            next.run(request).await
        }
        Err(error) => refusal(&gate.authenticator.refuse(error, &path, &peer), is_grpc),
    }
}

impl Gate {
    /// Returns the principal; `None` if the path needs none and the request has no valid credentials.
    fn admit(
        &self,
        request: &axum::http::request::Parts,
        path: &str,
        peer: &Peer,
    ) -> Result<Option<Principal>, AuthError> {
        self.authenticator.check_site(request, peer)?;
        let principal = self
            .authenticator
            .authenticate(&request.method, &request.headers, peer);
        let is_public =
            matches!(path, "/login" | "/logout") || (self.is_public)(&request.method, path);
        if is_public && grpc_need(path).is_none() {
            return Ok(principal.ok());
        }
        let principal = principal?;
        if let Some(Need::Scope(scope)) = grpc_need(path) {
            check(&principal, scope)?;
        }
        Ok(Some(principal))
    }
}

fn check(principal: &Principal, scope: Scope) -> Result<(), AuthError> {
    if principal.scopes.contains(scope) {
        return Ok(());
    }
    Err(AuthError::Scope {
        name: principal.name.clone(),
        scope,
    })
}

/// Restricts a route to requests with this scope.
pub fn require<S: Clone + Send + Sync + 'static>(
    scope: Scope,
    route: MethodRouter<S>,
) -> MethodRouter<S> {
    route.layer(middleware::from_fn_with_state(scope, pass_with_scope))
}

async fn pass_with_scope(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>();
    let checked = principal
        .ok_or(AuthError::Missing)
        .and_then(|principal| check(principal, scope));
    let Err(error) = checked else {
        return next.run(request).await;
    };
    let extensions = request.extensions();
    let error = match (
        extensions.get::<Arc<Authenticator>>(),
        extensions.get::<Peer>(),
    ) {
        (Some(authenticator), Some(peer)) => {
            authenticator.refuse(error, request.uri().path(), peer)
        }
        _ => error,
    };
    refusal(&error, is_grpc(request.headers()))
}
