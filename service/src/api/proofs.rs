//! Proofs of keys, of the history, of submissions, and audits.

use trunkline::{ProveOptions, ShownValues, TopKind};

use super::read::root;
use super::{Api, Call};
use crate::error::{Code, ServiceError};
use crate::proto::{
    ProofBytes, ProveAncestorRequest, ProveAuditRequest, ProveConsistencyRequest, ProveReply,
    ProveRequest, ProveSubmissionRequest, Top,
};

impl Api {
    /// Proves the value of each key, or that it has none.
    ///
    /// # Errors
    ///
    /// Fails if no proof can be made for the keys, or if the version is not kept or does not come before the deadline.
    pub async fn prove(
        &self,
        call: &Call,
        request: ProveRequest,
    ) -> Result<ProveReply, ServiceError> {
        self.check_keys(&request.keys)?;
        let options = options(&request)?;
        self.reach(call, request.min_version).await?;
        let open = self.snapshot(request.version);
        let prove = move || {
            let snapshot = open()?;
            let proof = snapshot.prove_with(&request.keys, &options)?;
            Ok(ProveReply {
                root: Some(root(&snapshot.root())),
                proof: encoded(proof.encode())?.into(),
            })
        };
        self.blocking(call, prove).await
    }

    /// Proves that an older version is an ancestor.
    ///
    /// # Errors
    ///
    /// Fails if it is not older, or if the version is not kept.
    pub async fn prove_ancestor(
        &self,
        call: &Call,
        request: ProveAncestorRequest,
    ) -> Result<ProofBytes, ServiceError> {
        let open = self.snapshot(request.version);
        let prove = move || {
            let snapshot = open()?;
            let proof = snapshot.prove_ancestor(request.ancestor)?;
            Ok(ProofBytes {
                proof: encoded(proof.encode())?.into(),
                version: snapshot.version(),
            })
        };
        self.blocking(call, prove).await
    }

    /// Proves that the history continues that of an older version.
    ///
    /// # Errors
    ///
    /// As [`Self::prove_ancestor`].
    pub async fn prove_consistency(
        &self,
        call: &Call,
        request: ProveConsistencyRequest,
    ) -> Result<ProofBytes, ServiceError> {
        let open = self.snapshot(request.version);
        let prove = move || {
            let snapshot = open()?;
            let proof = snapshot.prove_consistency(request.older_version)?;
            Ok(ProofBytes {
                proof: encoded(proof.encode())?.into(),
                version: snapshot.version(),
            })
        };
        self.blocking(call, prove).await
    }

    /// Proves the position and the outcome of a submission.
    ///
    /// # Errors
    ///
    /// Fails if its version is not kept, or not durable yet.
    pub async fn prove_submission(
        &self,
        call: &Call,
        request: ProveSubmissionRequest,
    ) -> Result<ProofBytes, ServiceError> {
        let backend = self.backend.clone();
        let prove = move || {
            let evidence = backend.evidence(request.sequence)?;
            Ok(ProofBytes {
                proof: encoded(evidence.encode())?.into(),
                version: evidence.record.version,
            })
        };
        self.blocking(call, prove).await
    }

    /// Proves that the state digest and the KZG root are of the same state.
    ///
    /// # Errors
    ///
    /// Fails if the version is not kept.
    pub async fn prove_audit(
        &self,
        call: &Call,
        request: ProveAuditRequest,
    ) -> Result<ProofBytes, ServiceError> {
        let open = self.snapshot(request.version);
        let prove = move || {
            let snapshot = open()?;
            Ok(ProofBytes {
                proof: encoded(snapshot.audit().encode())?.into(),
                version: snapshot.version(),
            })
        };
        self.blocking(call, prove).await
    }
}

fn options(request: &ProveRequest) -> Result<ProveOptions, ServiceError> {
    let top = match Top::try_from(request.top) {
        Ok(Top::Unspecified | Top::Kzg) => TopKind::Kzg,
        Ok(Top::Hash) => TopKind::Hash,
        Err(_) => {
            let message = "top has no such value";
            return Err(ServiceError::new(Code::InvalidRequest, message));
        }
    };
    let values = match request.value_bytes_max {
        None => ShownValues::All,
        Some(0) => ShownValues::None,
        Some(bytes) => ShownValues::UpTo {
            value_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
        },
    };
    Ok(ProveOptions { top, values })
}

/// Encodes a proof. Every proof of the engine has a wire form, unless it is too large.
fn encoded<E: std::error::Error>(bytes: Result<Vec<u8>, E>) -> Result<Vec<u8>, ServiceError> {
    bytes.map_err(|error| ServiceError::new(Code::TooLarge, error.to_string()))
}
