//! Reverting to an older version.

use trunkline::RevertOptions;

use super::submit::{idempotency_key, level};
use super::{Api, Call};
use crate::error::ServiceError;
use crate::observe::request::record_sequence;
use crate::proto::{RevertRequest, SubmitReply};

impl Api {
    /// Reverts to a version and waits for the level that the request names.
    ///
    /// # Errors
    ///
    /// Fails, without any effect, if the version is not kept or too much has changed since. If the deadline passes, the
    /// revert may take effect.
    pub async fn revert(
        &self,
        call: &Call,
        request: RevertRequest,
    ) -> Result<SubmitReply, ServiceError> {
        let engine = self.backend.writer()?;
        let level = level(request.wait, request.followers, &self.backend)?;
        let options = RevertOptions {
            metadata: request.metadata,
            idempotency_key: idempotency_key(&request.idempotency_key)?,
        };
        let reverting = engine.revert_to_with(request.version, options);
        let receipt = call.within(reverting).await??;
        record_sequence(receipt.sequence());
        self.reply(call, &receipt, (level, request.followers as usize))
            .await
    }
}
