//! The service as a whole: it is bound, gets an engine, and serves until it is told to stop.

use std::io;
use std::sync::Arc;

use trunkline::config::ServerConfig;

use crate::api::{Api, Reload};
use crate::auth::{Authenticator, OpenAuthError};
use crate::backend::Backend;
use crate::error::{Code, ServiceError};
use crate::listen::{Addresses, Drained, Limits, ListenError, Listeners, Tls};
use crate::observe::table::{Attempt, ReloadedFile, file_reloads};
use crate::router::router;

/// The reason why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address or a certificate cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Auth(#[from] OpenAuthError),
}

/// Sockets, certificates and tokens, before there is an engine. Callers that connect meanwhile wait.
pub struct Server {
    config: ServerConfig,
    listeners: Listeners,
    authenticator: Arc<Authenticator>,
}

/// A service for an engine or replica.
pub struct Service {
    api: Arc<Api>,
    listeners: Listeners,
    limits: Limits,
    authenticator: Arc<Authenticator>,
}

impl Server {
    /// Reads certificates and tokens, and binds the addresses.
    ///
    /// # Errors
    ///
    /// Fails if one of them cannot be used, or if the addresses would let everyone in.
    pub fn bind(config: &ServerConfig) -> Result<Self, BindError> {
        Ok(Self {
            authenticator: Arc::new(Authenticator::open(config)?),
            listeners: Listeners::bind(config)?,
            config: config.clone(),
        })
    }

    /// Returns where it listens, with the port that the system chose if the configuration has port 0.
    pub fn addresses(&self) -> Addresses<'_> {
        self.listeners.addresses()
    }

    /// Adds the engine or replica to serve. `reload` reads the configuration file and passes it to the engine.
    pub fn in_front_of(self, backend: Backend, reload: Reload) -> Service {
        let limits = Limits::from(&self.config);
        let tls = self.listeners.tls();
        let reload = reload_all(reload, self.authenticator.clone(), tls);
        Service {
            api: Arc::new(Api::new(backend, self.config, reload)),
            listeners: self.listeners,
            limits,
            authenticator: self.authenticator,
        }
    }
}

/// Returns a function that reads configuration, tokens and certificates again: all of them, even if one cannot be used.
fn reload_all(config: Reload, authenticator: Arc<Authenticator>, tls: Option<Arc<Tls>>) -> Reload {
    let failed =
        |error: &dyn std::error::Error| ServiceError::new(Code::InvalidRequest, error.to_string());
    Box::new(move || {
        let configured = config();
        let attempt = match configured {
            Ok(()) => Attempt::Success,
            Err(_) => Attempt::Failure,
        };
        file_reloads(ReloadedFile::Config, attempt).increment(1);
        let tokens = authenticator.reload().map_err(|error| failed(&error));
        let tls = tls.as_ref().map(|tls| tls.reload()).transpose();
        let certificates = tls.map_err(|error| failed(&error));
        configured.and(tokens.map(drop)).and(certificates.map(drop))
    })
}

impl Service {
    /// Returns the handlers, to reload or to drain from outside a request.
    pub fn api(&self) -> Arc<Api> {
        self.api.clone()
    }

    /// Serves until `stop` is ready. New work is refused then, streams end, and requests in flight have
    /// `server.drain_ms` to end.
    ///
    /// # Errors
    ///
    /// Fails if the runtime cannot watch the sockets.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<Drained> {
        let router = router(self.api.clone(), &self.authenticator);
        let api = self.api;
        let stop = async move {
            stop.await;
            api.drain();
        };
        self.listeners.serve(router, self.limits, stop).await
    }
}
