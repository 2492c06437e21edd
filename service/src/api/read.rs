//! Reading values and roots.

use bytes::Bytes;
use trunkline::core::record::Root;
use trunkline::{KeptVersion, Snapshot};

use super::{Api, Call};
use crate::error::ServiceError;
use crate::proto::{
    self, GetReply, GetRequest, GetRootRequest, ListVersionsRequest, RootReply, Value,
    VersionsReply, at,
};

/// Number of versions that are listed by default, which is also the most.
const VERSIONS_DEFAULT: u32 = 20;
const VERSIONS_MAX: u32 = 1000;

impl Api {
    /// Reads values.
    ///
    /// # Errors
    ///
    /// Fails if a key is invalid, or if the version is not kept or does not come before the deadline.
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
                let open = self.snapshot(version);
                let read = move || {
                    let snapshot = open()?;
                    Ok((snapshot.multi_get(&keys)?, Some(snapshot.version())))
                };
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
        let open = self.snapshot(request.version);
        if request.version == 0 && !request.with_kzg_root {
            return Ok(root_reply(&open()?));
        }
        let compute = move || {
            let snapshot = open()?;
            if request.with_kzg_root {
                let _computed = snapshot.kzg_root();
            }
            Ok(root_reply(&snapshot))
        };
        self.blocking(call, compute).await
    }

    /// Returns versions that can be read, ascending.
    ///
    /// # Errors
    ///
    /// Fails if the archive of versions cannot be read.
    pub async fn versions(
        &self,
        call: &Call,
        request: ListVersionsRequest,
    ) -> Result<VersionsReply, ServiceError> {
        let backend = self.backend.clone();
        let list = move || {
            let newest = backend.snapshot().version();
            let count = match request.count {
                0 => VERSIONS_DEFAULT,
                count => count.min(VERSIONS_MAX),
            };
            let from = match request.from {
                0 => (newest + 1).saturating_sub(count.into()),
                from => from,
            };
            let kept = backend.kept_versions(from, count as usize)?;
            Ok(VersionsReply {
                oldest_version: backend.oldest_version(),
                newest_version: newest,
                versions: kept.iter().map(kept_version).collect(),
            })
        };
        self.blocking(call, list).await
    }
}

fn kept_version(kept: &KeptVersion) -> proto::KeptVersion {
    let kzg_root = kept.kzg_root.as_ref().map(|root| &root[..]);
    proto::KeptVersion {
        version: kept.version,
        commit_id: Bytes::copy_from_slice(&kept.commit_id),
        state_digest: Bytes::copy_from_slice(&kept.state_digest),
        kzg_root: Bytes::copy_from_slice(kzg_root.unwrap_or_default()),
        key_count: kept.key_count,
        durable_unix_ms: kept.durable_ms.unwrap_or(0),
        is_archived: kept.is_archived,
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
