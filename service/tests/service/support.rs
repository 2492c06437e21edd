//! A service for an engine in a temporary directory.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use trunkline::config::ServerConfig;
use trunkline::{Config, Engine};
use trunkline_service::api::Api;
use trunkline_service::auth::Authenticator;
use trunkline_service::{Backend, Peer, Source, router};

pub(crate) struct Service {
    pub(crate) engine: Engine,
    pub(crate) api: Arc<Api>,
    pub(crate) router: Router,
    _directory: TempDir,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::with_config(|config| change(&mut config.server)).await
    }

    pub(crate) async fn with_config(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::in_directory(directory.path());
        change(&mut config);
        let server = config.server.clone();
        let engine = Engine::open(config).await.unwrap();
        let backend = Backend::Engine(engine.clone());
        let authenticator = Arc::new(Authenticator::open(&server).unwrap());
        let api = Arc::new(Api::new(backend, server, Box::new(|| Ok(()))));
        let router = router(api.clone(), &authenticator);
        Self {
            engine,
            router: router.layer(Extension(local())),
            api,
            _directory: directory,
        }
    }

    /// Sends a request and returns the status and the body.
    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap();
        (status, body.to_bytes().to_vec())
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        json(self.send(request).await)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        json(self.send(request).await)
    }
}

/// A caller on a Unix socket.
fn local() -> Peer {
    Peer {
        source: Source::Unix { uid: 0, pid: None },
        certificate: None,
        is_loopback: true,
        is_tls: false,
    }
}

fn json((status, body): (StatusCode, Vec<u8>)) -> (StatusCode, Value) {
    let value = serde_json::from_slice(&body);
    (
        status,
        value.unwrap_or_else(|_| String::from_utf8_lossy(&body).into()),
    )
}
