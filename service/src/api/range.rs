//! Reading ranges of keys in byte order, page by page.

use std::ops::Bound;

use bytes::Bytes;
use trunkline::{KeyRange, RangePage};

use super::{Api, Call};
use crate::error::{Code, ServiceError};
use crate::proto::{Pair, RangeReply, RangeRequest, at};

/// Entries of a page if the caller sets no limit.
const LIMIT: usize = 1_000;
/// Most bytes of keys and values in a page, unless a single entry has more.
const PAGE_BYTES_MAX: usize = 1 << 20;

impl Api {
    /// Reads a page of a range.
    ///
    /// # Errors
    ///
    /// Fails if the bounds contradict each other, if the directory keeps no index of keys, or if the version is not kept
    /// or does not come before the deadline.
    pub async fn range(
        &self,
        call: &Call,
        request: RangeRequest,
    ) -> Result<RangeReply, ServiceError> {
        let limit = match request.limit {
            0 => LIMIT.min(self.config.keys_max),
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        if limit > self.config.keys_max {
            let message = format!(
                "a limit of {limit} is more than server.keys_max = {}; ask for less, and for the rest with the resume key",
                self.config.keys_max
            );
            return Err(ServiceError::new(Code::TooLarge, message));
        }
        self.reach(call, request.min_version).await?;
        let at = request.at.as_ref().and_then(|at| at.kind);
        let range = range(request)?.entries_max(limit);
        let range = range.bytes_max(PAGE_BYTES_MAX.min(self.config.message_bytes_max / 2));
        match at {
            Some(at::Kind::Latest(_)) => {
                let engine = self.backend.writer()?.clone();
                let read = move || Ok(engine.range(&range)?);
                Ok(reply(self.blocking(call, read).await?, None))
            }
            at => {
                let version = match at {
                    Some(at::Kind::Version(version)) => version,
                    _ => 0,
                };
                let snapshot = self.snapshot(version);
                let read = move || {
                    let snapshot = snapshot()?;
                    Ok((snapshot.range(&range)?, snapshot.version()))
                };
                let (page, version) = self.blocking(call, read).await?;
                Ok(reply(page, Some(version)))
            }
        }
    }
}

/// Returns the range of a request.
fn range(request: RangeRequest) -> Result<KeyRange, ServiceError> {
    let has_bounds = !request.from.is_empty() || !request.to.is_empty();
    let range = match (request.prefix.is_empty(), has_bounds) {
        (false, true) => {
            let message = "give a prefix, or from and to";
            return Err(ServiceError::new(Code::InvalidRequest, message));
        }
        (false, false) => KeyRange::prefix(&request.prefix),
        (true, _) => {
            let to = match request.to.is_empty() {
                true => Bound::Unbounded,
                false => Bound::Excluded(request.to),
            };
            // No key is empty, so the empty one is before all keys.
            KeyRange::new((Bound::Included(request.from), to))
        }
    };
    let range = match request.reverse {
        true => range.reversed(),
        false => range,
    };
    if request.after.is_empty() {
        return Ok(range);
    }
    if !range.contains(&request.after) {
        let message = "after is not in the range; give the resume key of a page of the same range";
        return Err(ServiceError::new(Code::InvalidRequest, message));
    }
    Ok(range.after(request.after))
}

fn reply(page: RangePage, version: Option<u64>) -> RangeReply {
    let pair = |(key, value): (Bytes, Bytes)| Pair { key, value };
    RangeReply {
        entries: page.entries.into_iter().map(pair).collect(),
        resume: page.resume,
        version,
    }
}
