//! Reading values and roots.

use bytes::Bytes;
use trunkline::Snapshot;
use trunkline::core::record::Root;

use super::{Api, Call};
use crate::error::ServiceError;
use crate::proto::{self, GetReply, GetRequest, GetRootRequest, RootReply, Value, at};

impl Api {
    /// Reads values.
    ///
    /// # Errors
    ///
    /// Fails if a key cannot be one, or if the version is not kept or does not come before the deadline.
    pub async fn get(&self, call: &Call, request: GetRequest) -> Result<GetReply, ServiceError> {
        self.check_keys(&request.keys)?;
        self.reach(call, request.min_version).await?;
        let keys = request.keys;
        match request.at.and_then(|at| at.kind) {
            Some(at::Kind::Latest(_)) => {
                let engine = self.backend.writer()?.clone();
                let read = move || Ok((engine.multi_get(&keys)?, None));
                reply(self.blocking(call, read).await?)
            }
            at => {
                let version = match at {
                    Some(at::Kind::Version(version)) => version,
                    _ => 0,
                };
                let snapshot = self.snapshot(version)?;
                let read = move || Ok((snapshot.multi_get(&keys)?, Some(snapshot.version())));
                reply(self.blocking(call, read).await?)
            }
        }
    }

    /// Returns a root and its commit record.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn root(
        &self,
        call: &Call,
        request: GetRootRequest,
    ) -> Result<RootReply, ServiceError> {
        self.reach(call, request.min_version).await?;
        let snapshot = self.snapshot(request.version)?;
        if !request.with_kzg_root {
            return Ok(root_reply(&snapshot));
        }
        let compute = move || {
            let _computed = snapshot.kzg_root();
            Ok(root_reply(&snapshot))
        };
        self.blocking(call, compute).await
    }
}

fn reply((values, version): (Vec<Option<Bytes>>, Option<u64>)) -> Result<GetReply, ServiceError> {
    let values = values.into_iter().map(|value| Value { value }).collect();
    Ok(GetReply { values, version })
}

fn root_reply(snapshot: &Snapshot) -> RootReply {
    let record = snapshot.record();
    RootReply {
        root: Some(root(&snapshot.root())),
        record: record.encode().into(),
        key_count: record.key_count,
        last_sequence: record.last_sequence,
        metadata: Bytes::copy_from_slice(&record.metadata),
    }
}

pub(super) fn root(root: &Root) -> proto::Root {
    let kzg_root = root.kzg_root.as_ref().map(|root| &root[..]);
    proto::Root {
        tree_id: Bytes::copy_from_slice(&root.tree_id),
        version: root.version,
        commit_id: Bytes::copy_from_slice(&root.commit_id),
        state_digest: Bytes::copy_from_slice(&root.state_digest),
        kzg_root: Bytes::copy_from_slice(kzg_root.unwrap_or_default()),
    }
}
