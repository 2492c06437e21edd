//! What a load runs on: an engine of this process, or a running service. Both state a root in the end, and prove keys
//! against it.

use bytes::Bytes;
use trunkline::core::record::Root;
use trunkline::{Engine, MetricsSnapshot, Snapshot, TopKind};
use trunkline_load::Target;

use super::service::Service;
use crate::error::CommandError;

/// What a load runs on.
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

    /// Waits until everything that was submitted is durable, and takes that state.
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

    /// Returns the metrics of an engine of this process.
    pub(super) fn metrics(self) -> Option<MetricsSnapshot> {
        match self {
            Self::Engine(engine) => Some(engine.metrics()),
            Self::Service(_) => None,
        }
    }
}

/// A state that keys are proven of.
pub(super) enum State<'a> {
    Snapshot(Snapshot),
    /// That of a root which a service stated.
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
                // Checked against the root above, not against the one beside it.
                let (_, proof) = service.prove(keys, root.version, top)?;
                Ok(proof)
            }
        }
    }
}
