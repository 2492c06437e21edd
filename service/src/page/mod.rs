//! The page at `/`: its files, and the stream of its figures (decision 054).
//!
//! [`Live`] does not depend on the source of its figures, so that a load generator can serve the same page.

mod engine;
mod files;
mod live;
mod observation;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get};

pub use files::is_public;
pub use live::Live;
pub use observation::{About, DecisionLine, Member, MemoryOwner, Observation, Position, Status};

/// The path of the stream of the page's figures.
pub const LIVE_PATH: &str = "/v1/live";

/// Returns the routes of the page: its files, and the stream at [`LIVE_PATH`], which `protect` puts behind a scope.
pub fn routes(
    live: Arc<Live>,
    protect: impl FnOnce(MethodRouter<Arc<Live>>) -> MethodRouter<Arc<Live>>,
) -> Router {
    let stream = Router::new()
        .route(LIVE_PATH, protect(get(live::stream)))
        .with_state(live);
    files::routes().merge(stream)
}
