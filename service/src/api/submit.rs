//! Submitting batches.

use std::sync::Arc;

use bytes::Bytes;
use trunkline::core::outcome::IDEMPOTENCY_KEY_BYTES_MAX;
use trunkline::{Batch, Durable, Hashed, IdempotencyKey, Outcome, Receipt, Refusal, Requirement};
use trunkline_replication::Level;

use super::{Api, Call};
use crate::admission::Queued;
use crate::backend::Backend;
use crate::error::{Code, ServiceError};
use crate::observe::request::{record_sequence, record_version};
use crate::proto::{
    self, Applied, CoveringRoot, Operation, Refused, Reverted, SubmitReply, SubmitRequest, Wait,
    operation, outcome, requirement,
};

impl Api {
    /// Submits a batch and waits for the level that the request names.
    ///
    /// # Errors
    ///
    /// Fails, without any effect, if the batch breaks a rule or is not accepted before the deadline. If the deadline
    /// passes later, or the level is not reached, the batch may take effect.
    pub async fn submit(
        &self,
        call: &Call,
        request: SubmitRequest,
    ) -> Result<SubmitReply, ServiceError> {
        let engine = self.backend.writer()?;
        let level = level(request.wait, request.followers, &self.backend)?;
        let followers = request.followers as usize;
        let mut batch = batch(&request.operations, &request.requirements)?;
        if !request.metadata.is_empty() {
            batch.metadata(request.metadata.clone());
        }
        batch.idempotency_key(idempotency_key(&request.idempotency_key)?);
        let bytes = batch.bytes();
        // Keys and values were copied; the message need not wait for the disk.
        drop(request);
        let receipt = match call.within(engine.submit(batch)).await {
            Ok(receipt) => receipt?,
            Err(_) => return Err(ServiceError::too_late()),
        };
        record_sequence(receipt.sequence());
        if let Some(queued) = call.queued.clone() {
            queued.accept();
            tokio::spawn(hold_place(queued, receipt.clone(), bytes));
        }
        self.reply(call, &receipt, (level, followers)).await
    }

    /// Waits for the level, and replies.
    pub(super) async fn reply(
        &self,
        call: &Call,
        receipt: &Receipt,
        (level, followers): (Wait, usize),
    ) -> Result<SubmitReply, ServiceError> {
        let reply = call
            .within(self.answer(call, receipt, (level, followers)))
            .await?;
        if let Ok(Some(hashed)) = reply.as_ref().map(|reply| reply.hashed.as_ref()) {
            record_version(hashed.version);
        }
        reply
    }

    async fn answer(
        &self,
        call: &Call,
        receipt: &Receipt,
        (level, followers): (Wait, usize),
    ) -> Result<SubmitReply, ServiceError> {
        let mut reply = SubmitReply {
            sequence: receipt.sequence(),
            provisional_root: Bytes::copy_from_slice(&receipt.provisional_root()),
            reached: level.into(),
            is_repeat: receipt.is_repeat(),
            ..SubmitReply::default()
        };
        match level {
            Wait::Accepted => {}
            Wait::Hashed => reply.hashed = Some(hashed(receipt.hashed().await?)),
            Wait::Root => {
                reply.hashed = Some(hashed(receipt.hashed().await?));
                let ready = receipt.root_ready().await?;
                reply.root = Some(covering(ready.version, ready.kzg_root));
            }
            level => {
                let durable = self.durable(call, receipt, (level, followers)).await?;
                fill_durable(durable, &mut reply);
            }
        }
        Ok(reply)
    }

    /// Waits until a submission is durable, and has reached a level of replication if one is requested or configured.
    async fn durable(
        &self,
        call: &Call,
        receipt: &Receipt,
        (level, followers): (Wait, usize),
    ) -> Result<Durable, ServiceError> {
        let Backend::Primary(primary) = &self.backend else {
            return Ok(receipt.durable().await?);
        };
        let level = match level {
            Wait::Replicated => Level::Replicated,
            Wait::Followed => Level::Followed(followers),
            _ => return Ok(primary.acknowledged(receipt).await?),
        };
        let durable = receipt.durable().await?;
        primary
            .wait_for(durable.version, level, call.left())
            .await?;
        Ok(durable)
    }
}

/// Keeps a submission in the queue until it is durable, even if its caller has given up: the engine works on it anyway.
/// Otherwise the queue would look short when it is longest.
async fn hold_place(queued: Arc<Queued>, receipt: Receipt, bytes: usize) {
    if receipt.durable().await.is_ok() {
        queued.done(bytes);
    }
}

/// Returns the level that a request waits for, if this process can tell when it is reached.
pub(super) fn level(wait: i32, followers: u32, backend: &Backend) -> Result<Wait, ServiceError> {
    let invalid = |message: &str| Err(ServiceError::new(Code::InvalidRequest, message));
    let Ok(wait) = Wait::try_from(wait) else {
        return invalid("wait has no such value");
    };
    let is_primary = matches!(backend, Backend::Primary(_));
    match wait {
        Wait::Unspecified => Ok(Wait::Durable),
        Wait::Replicated | Wait::Followed if !is_primary => {
            invalid("this process replicates to nobody; wait for durable, or serve as a member")
        }
        Wait::Followed if followers == 0 => invalid("followed needs a number of followers"),
        wait => Ok(wait),
    }
}

/// Returns the batch of some operations and requirements.
pub(super) fn batch(
    operations: &[Operation],
    requirements: &[proto::Requirement],
) -> Result<Batch, ServiceError> {
    let bytes = operations.iter().map(|operation| match &operation.kind {
        Some(operation::Kind::Put(put)) => put.key.len() + put.value.len(),
        Some(operation::Kind::Delete(key)) => key.len(),
        None => 0,
    });
    let mut batch = Batch::with_capacity(operations.len(), bytes.sum());
    for (place, operation) in operations.iter().enumerate() {
        match &operation.kind {
            Some(operation::Kind::Put(put)) => batch.put(&put.key, &put.value),
            Some(operation::Kind::Delete(key)) => batch.delete(key),
            None => return Err(empty("operation", place)),
        };
    }
    for (place, requirement) in requirements.iter().enumerate() {
        let kind = match &requirement.kind {
            Some(requirement::Kind::Absent(_)) => Requirement::Absent,
            Some(requirement::Kind::Value(value)) => Requirement::value(value),
            Some(requirement::Kind::ValueHash(hash)) => value_hash(place, hash)?,
            None => return Err(empty("requirement", place)),
        };
        batch.require(&requirement.key, kind);
    }
    Ok(batch)
}

pub(super) fn idempotency_key(bytes: &[u8]) -> Result<IdempotencyKey, ServiceError> {
    IdempotencyKey::new(bytes).ok_or_else(|| {
        let message =
            format!("the idempotency key is longer than {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
        ServiceError::new(Code::InvalidRequest, message)
    })
}

fn value_hash(place: usize, hash: &[u8]) -> Result<Requirement, ServiceError> {
    hash.try_into().map(Requirement::ValueHash).map_err(|_| {
        let message = format!("requirement {place}: a value hash has 32 bytes");
        ServiceError::new(Code::InvalidRequest, message)
    })
}

fn empty(part: &str, place: usize) -> ServiceError {
    let message = format!("{part} {place} is empty");
    ServiceError::new(Code::InvalidRequest, message)
}

fn hashed(hashed: Hashed) -> proto::Hashed {
    proto::Hashed {
        version: hashed.version,
        commit_id: Bytes::copy_from_slice(&hashed.commit_id),
        state_digest: Bytes::copy_from_slice(&hashed.state_digest),
        outcome: Some(outcome_of(hashed.outcome)),
    }
}

fn fill_durable(durable: Durable, reply: &mut SubmitReply) {
    reply.durability = durable.durability.to_string();
    reply.root = durable
        .kzg_root
        .map(|kzg_root| covering(durable.version, kzg_root));
    reply.hashed = Some(hashed(Hashed {
        version: durable.version,
        commit_id: durable.commit_id,
        state_digest: durable.state_digest,
        outcome: durable.outcome,
    }));
}

fn covering(version: u64, kzg_root: [u8; 48]) -> CoveringRoot {
    CoveringRoot {
        version,
        kzg_root: Bytes::copy_from_slice(&kzg_root),
    }
}

pub(super) fn outcome_of(outcome: Outcome) -> proto::Outcome {
    let kind = match outcome {
        Outcome::Applied { displaced } => outcome::Kind::Applied(Applied { displaced }),
        Outcome::Reverted { commit_id } => outcome::Kind::Reverted(Reverted {
            commit_id: Bytes::copy_from_slice(&commit_id),
        }),
        Outcome::Refused(refusal) => {
            let (reason, key_hash) = match refusal {
                Refusal::RequirementFailed { key_hash } => ("requirement_failed", key_hash),
                Refusal::BucketFull { key_hash } => ("bucket_full", key_hash),
                Refusal::PathTaken { key_hash } => ("path_taken", key_hash),
            };
            outcome::Kind::Refused(Refused {
                reason: reason.to_owned(),
                key_hash: Bytes::copy_from_slice(&key_hash),
            })
        }
    };
    proto::Outcome { kind: Some(kind) }
}
