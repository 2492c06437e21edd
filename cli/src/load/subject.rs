//! The target of a load: an engine in this process, or a running service. Both state a root at the end, and prove keys
//! against it.

use bytes::Bytes;
use trunkline::core::record::Root;
use trunkline::{Engine, MetricsSnapshot, Snapshot, TopKind};
use trunkline_load::Target;

use super::service::Service;
use crate::error::CommandError;

/// The target of a load.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Engine(&'a Engine),
    Service(&'a Service),
}

impl<'a> Subject<'a> {
    pub(super) fn target(self) -> &'a dyn Target {
        match self {
            Self::Engine(engine) => engine,
            Self::Service(service) => service,
        }
    }

    /// Waits until everything submitted is durable, and returns that state.
    pub(super) fn settle(self) -> Result<State<'a>, CommandError> {
        match self {
            Self::Engine(engine) => {
                engine.drain_blocking()?;
                Ok(State::Snapshot(engine.snapshot()))
            }
            // All batches were waited for.
            Self::Service(service) => {
                let root = service.newest_root(true)?;
                Ok(State::Stated { service, root })
            }
        }
    }

    /// Returns the root of the last durable version.
    pub(super) fn root(self) -> Result<Root, CommandError> {
        match self {
            Self::Engine(engine) => Ok(engine.snapshot().root()),
            Self::Service(service) => Ok(service.newest_root(false)?),
        }
    }

    /// Returns the metrics of an engine in this process.
    pub(super) fn metrics(self) -> Option<MetricsSnapshot> {
        match self {
            Self::Engine(engine) => Some(engine.metrics()),
            Self::Service(_) => None,
        }
    }
}

/// A state whose keys are proven.
pub(super) enum State<'a> {
    Snapshot(Snapshot),
    /// The state of a root that a service stated.
    Stated {
        service: &'a Service,
        root: Root,
    },
}

impl State<'_> {
    pub(super) fn root(&self) -> Root {
        match self {
            Self::Snapshot(snapshot) => snapshot.root(),
            Self::Stated { root, .. } => *root,
        }
    }

    /// Returns the bytes of a proof of keys.
    pub(super) fn prove<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Bytes>,
        top: TopKind,
    ) -> Result<Bytes, CommandError> {
        match self {
            Self::Snapshot(snapshot) => Ok(snapshot.prove(keys, top)?.encode()?.into()),
            Self::Stated { service, root } => {
                let keys = keys.into_iter().cloned().collect();
                // The proof is checked against the root above, not against the one next to it.
                let (_, proof) = service.prove(keys, root.version, top)?;
                Ok(proof)
            }
        }
    }
}
