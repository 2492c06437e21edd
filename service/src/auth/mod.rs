//! Authentication and authorization: tokens, sessions and certificates, scopes, and the sites whose pages may send
//! requests (decision 052).

mod authenticator;
mod error;
mod failures;
mod grpc;
mod layer;
mod login;
mod new_token;
mod reply;
mod scope;
mod sessions;
mod sites;
mod tokens;

pub use authenticator::{Authenticator, OpenAuthError};
pub use error::AuthError;
pub use grpc::{Need, grpc_need};
pub use layer::{IsPublic, protect, require};
pub use login::login_routes;
pub use new_token::{NewToken, new_token};
pub(crate) use reply::is_grpc;
pub use scope::{Principal, Scope, Scopes};
pub use tokens::TokensError;
