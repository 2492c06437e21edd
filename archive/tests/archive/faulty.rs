//! Stores that fail, and one that replaces objects.

#![allow(unreachable_pub, reason = "modules of one test binary")]

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use trunkline_archive::object_store;

/// The fault at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store returns an error and does nothing: a timeout, a refusal, an overload.
    Refused,
    /// The store carries out the call, but its response is lost.
    AnswerLost,
    /// Read data ends early with an error. Other calls are refused.
    Truncated,
    /// Read data ends early without an error, as if it were complete. Other calls are refused.
    Shortened,
}

pub const FAULTS: [Fault; 4] = [
    Fault::Refused,
    Fault::AnswerLost,
    Fault::Truncated,
    Fault::Shortened,
];

/// A store that fails at one call, or from one call on.
#[derive(Debug)]
pub struct Faulty {
    store: Arc<dyn ObjectStore>,
    fault: Fault,
    failing: Mutex<Range<u64>>,
    calls: AtomicU64,
    before_puts: Mutex<Hook>,
}

/// A function that is called with the name of each object before it is put.
pub struct Hook(pub Box<dyn FnMut(&Path) + Send>);

impl fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hook")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Faulty({})", self.store)
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "Faulty",
        source: Box::new(io::Error::from(io::ErrorKind::TimedOut)),
    }
}

impl Faulty {
    /// Creates a store that fails at these calls, counted from 0.
    pub fn new(store: Arc<dyn ObjectStore>, fault: Fault, failing: Range<u64>) -> Self {
        Self {
            store,
            fault,
            failing: Mutex::new(failing),
            calls: AtomicU64::new(0),
            before_puts: Mutex::new(Hook(Box::new(|_| {}))),
        }
    }

    /// Calls a function with the name of each object before it is put.
    pub fn before_puts(&self, call: impl FnMut(&Path) + Send + 'static) {
        *self.before_puts.lock().unwrap() = Hook(Box::new(call));
    }

    /// Returns the number of calls.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Makes every call fail from now on, or none.
    pub fn fail(&self, fails: bool) {
        *self.failing.lock().unwrap() = if fails { 0..u64::MAX } else { 0..0 };
    }

    /// Counts a call. Returns its fault.
    fn fault(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let is_failing = self.failing.lock().unwrap().contains(&call);
        is_failing.then_some(self.fault)
    }

    /// Makes a call that changes the store.
    async fn change<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fault() {
            None => call.await,
            Some(Fault::AnswerLost) => {
                call.await?;
                Err(broken())
            }
            Some(_) => Err(broken()),
        }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.before_puts.lock().unwrap().0(location);
        self.change(self.store.put_opts(location, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(fault) = self.fault() else {
            return self.store.get_opts(location, options).await;
        };
        if matches!(fault, Fault::Refused | Fault::AnswerLost) {
            return Err(broken());
        }
        let mut found = self.store.get_opts(location, options).await?;
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let (meta, range) = (found.meta.clone(), found.range.clone());
        found.attributes = attributes.clone();
        let bytes = found.bytes().await?;
        let half = Ok(bytes.slice(..bytes.len() / 2));
        let items: Vec<Result<Bytes>> = match fault {
            Fault::Truncated => vec![half, Err(broken())],
            _ => vec![half],
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter(items).boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fault = self.fault();
        if fault.is_some_and(|fault| fault != Fault::AnswerLost) {
            return stream::iter([Err(broken())]).boxed();
        }
        let deleted = self.store.delete_stream(locations);
        match fault {
            None => deleted,
            Some(_) => deleted.and_then(async |_| Err(broken())).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault() {
            None => self.store.list(prefix),
            Some(Fault::Truncated) => {
                let some = self.store.list(prefix).take(1);
                some.chain(stream::iter([Err(broken())])).boxed()
            }
            Some(_) => stream::iter([Err(broken())]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// A store that replaces objects, whatever mode is requested.
#[derive(Debug)]
pub struct Replacing(pub InMemory);

impl fmt::Display for Replacing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Replacing")
    }
}

#[async_trait]
impl ObjectStore for Replacing {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mode = PutMode::Overwrite;
        self.0
            .put_opts(location, payload, PutOptions { mode, ..options })
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
