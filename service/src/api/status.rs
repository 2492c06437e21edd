//! The state of the service.

use bytes::Bytes;

use super::Api;
use crate::error::{Code, ServiceError};
use crate::proto::StatusReply;

impl Api {
    /// Returns the state of the service.
    pub fn status(&self) -> StatusReply {
        let snapshot = self.backend.snapshot();
        StatusReply {
            tree_id: Bytes::copy_from_slice(&snapshot.record().tree_id),
            role: self.backend.role().to_owned(),
            durable_version: snapshot.version(),
            synced_version: self.backend.synced_version(),
            oldest_version: self.backend.oldest_version(),
            key_count: snapshot.key_count(),
            epoch: self.backend.epoch(),
            lag_versions: self.backend.lag_versions(),
            failure: self.backend.failure().unwrap_or_default(),
            uptime_ms: self.backend.uptime_us() / 1000,
            is_draining: self.is_draining(),
        }
    }

    /// Returns whether the service accepts work: its engine runs, and no stop has begun.
    ///
    /// # Errors
    ///
    /// Fails otherwise, with the reason.
    pub fn ready(&self) -> Result<(), ServiceError> {
        if self.is_draining() {
            return Err(ServiceError::draining());
        }
        match self.backend.failure() {
            Some(failure) => Err(ServiceError::new(Code::EngineFailed, failure)),
            None => Ok(()),
        }
    }
}
