//! Previews of batches: a fork that is dropped.

use bytes::Bytes;

use super::submit::{batch, outcome_of};
use super::{Api, Call};
use crate::error::ServiceError;
use crate::proto::{PreviewReply, PreviewRequest};

impl Api {
    /// Applies batches to a fork of a version, and drops it.
    ///
    /// # Errors
    ///
    /// Fails if a batch breaks a rule, if the version is not in memory, or if forks have no room for the batches.
    pub async fn preview(
        &self,
        call: &Call,
        request: PreviewRequest,
    ) -> Result<PreviewReply, ServiceError> {
        let engine = self.backend.writer()?.clone();
        let tried = move || {
            let mut fork = match request.version {
                0 => engine.fork()?,
                version => engine.fork_at(version)?,
            };
            let mut outcomes = Vec::with_capacity(request.batches.len());
            for tried in request.batches {
                let batch = batch(&tried.operations, &tried.requirements)?;
                outcomes.push(outcome_of(fork.apply(batch)?));
            }
            Ok(PreviewReply {
                version: fork.version(),
                outcomes,
                state_digest: Bytes::copy_from_slice(&fork.state_digest()?),
                kzg_root: Bytes::copy_from_slice(&fork.kzg_root()?),
                key_count: fork.key_count(),
            })
        };
        self.blocking(call, tried).await
    }
}
