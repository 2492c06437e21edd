//! A running service as the target of a load, over gRPC: it has less to encode than JSON, and allows many requests at
//! once on one connection.
//!
//! Concurrent requests may be accepted in another order than they were sent in. The reply has the position of each
//! batch, so the load knows which keys may hold what an earlier batch wrote ([`Written::OutOfOrder`]). A batch that
//! requires anything is sent alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use trunkline::TopKind;
use trunkline::core::proof::{Claim, Expected, Proof, verify};
use trunkline::core::record::Root;
use trunkline_load::{MustHold, Pending, ProofTop, Target, TargetError, WriteBatch, Written};
use trunkline_service::proto::trunkline_client::TrunklineClient;
use trunkline_service::proto::{
    self, Absent, At, GetRequest, GetRootRequest, Latest, Operation, ProveRequest, Put,
    Requirement, SubmitReply, SubmitRequest, Top, Wait, at, operation, outcome, requirement,
};

use crate::error::CommandError;

/// Most batches in flight. Above that, submitting blocks.
const BATCHES_MAX: u32 = 256;
/// Size of the longest reply in bytes.
const REPLY_BYTES_MAX: usize = 256 << 20;
/// Time limit for establishing a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time after which a request fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// Threads that send and receive.
const THREADS: usize = 2;

/// The address and credentials of a service.
#[derive(Debug, Args)]
pub(crate) struct ServiceArguments {
    /// Address of a running service to load (http:// or https://), instead of an engine of this process.
    #[arg(long, value_name = "URL", conflicts_with_all = ["dir", "config", "set"])]
    pub(super) target: Option<String>,
    /// File with the bearer token for the service.
    #[arg(long, value_name = "FILE", requires = "target")]
    token_file: Option<PathBuf>,
    /// File with the certificates (PEM) of the authorities that may have signed the service's certificate. Default:
    /// those of the system.
    #[arg(long, value_name = "FILE", requires = "target")]
    ca_file: Option<PathBuf>,
}

/// A reason why a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("{0:?} is not the address of a service; write http://HOST:PORT or https://HOST:PORT")]
    Address(String),
    #[error("a token would be sent to {0} without TLS; use https://, or a loopback address")]
    TokenInTheOpen(String),
    #[error("the token has characters that cannot be sent; its file must hold one line of text")]
    Token,
    #[error("cannot reach {url}; check the address, and that the service runs")]
    Connect {
        url: String,
        source: tonic::transport::Error,
    },
    #[error("the service refused: {} (trunkline code {})", .0.message(), code(.0))]
    Refused(Box<Status>),
    #[error("the service answered {0}, which its protocol does not allow")]
    Answer(&'static str),
    #[error("the proof is not valid")]
    Proof(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn refused(status: Status) -> ServiceError {
    ServiceError::Refused(Box::new(status))
}

/// Returns the stable code of an error, or an empty text if the error is not one of trunkline.
fn code(status: &Status) -> &str {
    let code = status.metadata().get("trunkline-code");
    code.and_then(|code| code.to_str().ok()).unwrap_or("none")
}

impl From<ServiceError> for TargetError {
    fn from(error: ServiceError) -> Self {
        let ends = matches!(&error, ServiceError::Refused(status)
            if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition));
        match ends {
            true => Self::ended(error),
            false => Self::failed(error),
        }
    }
}

/// Adds the token to every request.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        request.set_timeout(DEADLINE);
        Ok(request)
    }
}

type Client = TrunklineClient<InterceptedService<Channel, Bearer>>;

/// A running service.
pub(crate) struct Service {
    runtime: Runtime,
    client: Client,
    /// The id of the tree at the time of the connection. All proofs must be of this tree.
    tree_id: [u8; 32],
    batches: Arc<Semaphore>,
    /// Highest position of a batch that was waited for.
    sequence: Arc<AtomicU64>,
}

impl Service {
    /// Connects to a service.
    pub(crate) fn connect(arguments: &ServiceArguments, url: &str) -> Result<Self, CommandError> {
        let endpoint = endpoint(arguments, url)?;
        let token = token(arguments, &endpoint)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .map_err(CommandError::Thread)?;
        let connected = runtime.block_on(endpoint.connect());
        let channel = connected.map_err(|source| ServiceError::Connect {
            url: url.to_owned(),
            source,
        })?;
        let client = TrunklineClient::with_interceptor(channel, Bearer(token))
            .max_decoding_message_size(REPLY_BYTES_MAX);
        let mut service = Self {
            runtime,
            client,
            tree_id: [0; 32],
            batches: Arc::new(Semaphore::new(BATCHES_MAX as usize)),
            sequence: Arc::new(AtomicU64::new(0)),
        };
        service.tree_id = service.newest_root(false)?.tree_id;
        Ok(service)
    }

    /// Returns the root of the newest durable version, as stated by the service.
    pub(crate) fn newest_root(&self, with_kzg_root: bool) -> Result<Root, ServiceError> {
        let request = GetRootRequest {
            with_kzg_root,
            ..GetRootRequest::default()
        };
        let mut client = self.client.clone();
        let reply = self.runtime.block_on(client.get_root(request));
        let reply = reply.map_err(refused)?.into_inner();
        root(reply.root)
    }

    /// Returns a proof of keys at a version, with the root that the service states.
    pub(crate) fn prove(
        &self,
        keys: Vec<Bytes>,
        version: u64,
        top: TopKind,
    ) -> Result<(Root, Bytes), ServiceError> {
        let top = match top {
            TopKind::Kzg => Top::Kzg,
            TopKind::Hash => Top::Hash,
        };
        let request = ProveRequest {
            keys,
            version,
            top: top.into(),
            ..ProveRequest::default()
        };
        let mut client = self.client.clone();
        let reply = self.runtime.block_on(client.prove(request));
        let reply = reply.map_err(refused)?.into_inner();
        Ok((root(reply.root)?, reply.proof))
    }

    fn get(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, ServiceError> {
        let count = keys.len();
        let request = GetRequest {
            keys,
            at: Some(At {
                kind: Some(at::Kind::Latest(Latest {})),
            }),
            ..GetRequest::default()
        };
        let mut client = self.client.clone();
        let reply = self.runtime.block_on(client.get(request));
        let values = reply.map_err(refused)?.into_inner().values;
        match values.len() == count {
            true => Ok(values.into_iter().map(|value| value.value).collect()),
            false => Err(ServiceError::Answer("another number of values than keys")),
        }
    }

    /// Waits for free places: one, or all of them for a batch that must neither overtake nor be overtaken.
    fn room(&self, batch: &WriteBatch) -> Result<OwnedSemaphorePermit, TargetError> {
        let places = if batch.requirements() > 0 {
            BATCHES_MAX
        } else {
            1
        };
        let room = Arc::clone(&self.batches).acquire_many_owned(places);
        self.runtime.block_on(room).map_err(TargetError::ended)
    }
}

impl Target for Service {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let request = request(batch);
        let room = self.room(batch)?;
        let (mut client, sequence) = (self.client.clone(), Arc::clone(&self.sequence));
        let (send, receive) = sync_channel(1);
        self.runtime.spawn(async move {
            let reply = client.submit(request).await;
            drop(room);
            let _ = send.send(reply);
        });
        Ok(Box::new(move || {
            let reply = receive.recv().map_err(TargetError::ended)?;
            let reply = reply.map_err(refused)?.into_inner();
            Ok(written(reply, &sequence)?)
        }))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        let values = self.get(vec![Bytes::copy_from_slice(key)])?;
        Ok(values.into_iter().next().flatten())
    }

    fn read_many(&self, keys: &[[u8; 16]]) -> Result<Vec<Option<Bytes>>, TargetError> {
        let keys = keys.iter().map(|key| Bytes::copy_from_slice(key));
        Ok(self.get(keys.collect())?)
    }

    /// Reads a key of the newest durable version with a proof. Checks that the proof leads to the root that the service
    /// states, and that the root is of the same tree as at the beginning. This is the work of a client, which would
    /// compare the root with one that it trusts.
    fn read_proven(&self, key: &[u8], top: ProofTop) -> Result<Option<Bytes>, TargetError> {
        let top = match top {
            ProofTop::Hash => TopKind::Hash,
            ProofTop::Kzg => TopKind::Kzg,
        };
        let (root, proof) = self.prove(vec![Bytes::copy_from_slice(key)], 0, top)?;
        if root.tree_id != self.tree_id {
            return Err(ServiceError::Answer("the root of another tree").into());
        }
        let invalid = |error: Box<dyn std::error::Error + Send + Sync>| ServiceError::Proof(error);
        let proof = Proof::decode(&proof).map_err(|error| invalid(error.into()))?;
        let verified =
            verify(&proof, &Expected::Root(root)).map_err(|error| invalid(error.into()))?;
        match verified.claim(key) {
            Some(Claim::Present(value)) => Ok(Some(Bytes::copy_from_slice(value))),
            Some(Claim::Absent) => Ok(None),
            _ => Err(ServiceError::Answer("a proof without the key").into()),
        }
    }
}

/// Returns the result of a submission, by its position among the others.
fn written(reply: SubmitReply, sequence: &AtomicU64) -> Result<Written, ServiceError> {
    let hashed = reply
        .hashed
        .ok_or(ServiceError::Answer("a durable batch without a version"))?;
    let outcome = hashed.outcome.and_then(|outcome| outcome.kind);
    match outcome.ok_or(ServiceError::Answer("a durable batch without an outcome"))? {
        outcome::Kind::Refused(refused) => Ok(Written::Refused(refused.reason)),
        outcome::Kind::Applied(_) | outcome::Kind::Reverted(_) => {
            let before = sequence.fetch_max(reply.sequence, Ordering::Relaxed);
            Ok(match before > reply.sequence {
                true => Written::OutOfOrder,
                false => Written::Applied,
            })
        }
    }
}

fn request(batch: &WriteBatch) -> SubmitRequest {
    let mut request = SubmitRequest {
        operations: Vec::with_capacity(batch.len()),
        wait: Wait::Durable.into(),
        ..SubmitRequest::default()
    };
    batch.for_each(|write| {
        let key = Bytes::copy_from_slice(write.key);
        if let Some(required) = write.requires {
            let kind = match required {
                MustHold::Absent => requirement::Kind::Absent(Absent {}),
                MustHold::Value(value) => requirement::Kind::Value(Bytes::copy_from_slice(value)),
            };
            request.requirements.push(Requirement {
                key: key.clone(),
                kind: Some(kind),
            });
        }
        let kind = match write.value {
            Some(value) => operation::Kind::Put(Put {
                key,
                value: Bytes::copy_from_slice(value),
            }),
            None => operation::Kind::Delete(key),
        };
        request.operations.push(Operation { kind: Some(kind) });
    });
    request
}

fn root(root: Option<proto::Root>) -> Result<Root, ServiceError> {
    let root = root.ok_or(ServiceError::Answer("no root"))?;
    let kzg_root = (!root.kzg_root.is_empty()).then(|| array(&root.kzg_root));
    Ok(Root {
        tree_id: array(&root.tree_id)?,
        version: root.version,
        commit_id: array(&root.commit_id)?,
        state_digest: array(&root.state_digest)?,
        kzg_root: kzg_root.transpose()?,
    })
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ServiceError> {
    let array = bytes.try_into();
    array.map_err(|_| ServiceError::Answer("a root of another length"))
}

fn endpoint(arguments: &ServiceArguments, url: &str) -> Result<Endpoint, CommandError> {
    let address = || ServiceError::Address(url.to_owned());
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| address())?;
    let endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
    match endpoint.uri().scheme_str() {
        Some("http") if arguments.ca_file.is_none() => Ok(endpoint),
        Some("https") => {
            let mut tls = ClientTlsConfig::new();
            tls = match &arguments.ca_file {
                Some(path) => {
                    let pem = std::fs::read(path).map_err(CommandError::file("read", path))?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
                None => tls.with_native_roots(),
            };
            Ok(endpoint.tls_config(tls).map_err(|_| address())?)
        }
        _ => Err(address().into()),
    }
}

fn token(
    arguments: &ServiceArguments,
    endpoint: &Endpoint,
) -> Result<Option<MetadataValue<Ascii>>, CommandError> {
    let Some(path) = &arguments.token_file else {
        return Ok(None);
    };
    let uri = endpoint.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if uri.scheme_str() == Some("http") && !is_loopback {
        return Err(ServiceError::TokenInTheOpen(host.to_owned()).into());
    }
    let text = std::fs::read_to_string(path).map_err(CommandError::file("read", path))?;
    let token = text.trim();
    let is_word = !token.is_empty() && !token.contains(char::is_whitespace);
    let mut value: MetadataValue<Ascii> = is_word
        .then(|| format!("Bearer {token}").parse().ok())
        .flatten()
        .ok_or(ServiceError::Token)?;
    value.set_sensitive(true);
    Ok(Some(value))
}
