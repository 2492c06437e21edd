//! NATS JetStream as the carrier.
//!
//! One stream has the messages, a second one the last value of each key. Each append has the header
//! `Nats-Expected-Last-Sequence`, which the stream's leader compares; its error code for another last message is 10071.
//! The server's deduplication is not used: that header makes the server refuse a repeated append.
//!
//! The subject of the stream ends with random letters. They change when the stream is renewed after a loss, so messages
//! from writers that connected earlier no longer arrive.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::{ContextBuilder, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, StorageType, Stream,
};
use bytes::Bytes;
use tokio::sync::{Mutex, RwLock};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::carrier::{Append, Carried, Carrier, CarrierError, Ends};
use crate::wire::MESSAGE_BYTES_LEAST;

/// Most bytes of a message that headers and subject take.
const HEADER_BYTES: usize = 1024;
/// Time between signs of life of a server. A connection is closed after two missing ones.
const PING: Duration = Duration::from_secs(2);
/// Size of the stream of values in bytes. Reports replace each other, so little is enough.
const VALUES_BYTES_MAX: i64 = 16 << 20;

/// The stream of a tree, and its servers.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Addresses of servers, for instance `nats://10.0.0.1:4222`.
    pub servers: Vec<String>,
    /// Name of the stream, of letters, digits, `-` and `_`.
    pub stream: String,
    /// Number of servers that store the stream, used if it does not exist yet: 3 or 5, so that a majority survives the
    /// loss of one or two.
    pub replicas: usize,
    /// Size of the stream in bytes, used if it does not exist yet. Beyond that, the oldest messages are removed.
    pub bytes_max: i64,
    /// The longest wait for a response. After it, the outcome of an append is unknown.
    pub timeout: Duration,
    /// The longest wait for the next message.
    pub poll: Duration,
    /// A credentials file (JWT and seed), if the servers require one.
    pub credentials: Option<std::path::PathBuf>,
}

impl NatsOptions {
    /// Returns options with three replicas of at most 8 GiB.
    pub fn new(servers: Vec<String>, stream: &str) -> Self {
        Self {
            servers,
            stream: stream.into(),
            replicas: 3,
            bytes_max: 8 << 30,
            timeout: Duration::from_secs(5),
            poll: Duration::from_millis(500),
            credentials: None,
        }
    }
}

/// The reason why a stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No server can be reached, or it does not answer as expected.
    #[error("{action}: {cause}")]
    Server {
        /// The step that failed.
        action: &'static str,
        /// The cause, as stated by the server or the connection.
        cause: String,
    },
    /// The server appends a message although another one than the expected one is last.
    #[error(
        "the server accepted a stale append to stream {0}: it does not compare sequence numbers, so two primaries could write; use NATS 2.9 or later"
    )]
    NotFenced(String),
    /// The stream has another purpose.
    #[error(
        "stream {0} is not one of trunkline's: it has no subject of its own; choose another name"
    )]
    NotOurs(String),
    /// The server's message limit is too low.
    #[error("the server accepts messages of at most {0} bytes; raise max_payload")]
    MessageBytes(usize),
}

fn failed<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> NatsError {
    move |error| NatsError::Server {
        action,
        cause: error.to_string(),
    }
}

/// A stream of NATS JetStream.
pub struct NatsCarrier {
    context: Context,
    stream: Stream,
    values: Stream,
    options: NatsOptions,
    subject: RwLock<String>,
    message_bytes_max: usize,
    reading: Mutex<Option<Reading>>,
}

/// A consumer that has delivered everything before `next`.
struct Reading {
    next: u64,
    messages: Ordered,
}

impl NatsCarrier {
    /// Connects, creates the stream and the bucket if necessary, and checks that the server refuses stale appends.
    ///
    /// # Errors
    ///
    /// Fails if no server answers, or if the stream cannot fence.
    pub async fn open(options: NatsOptions) -> Result<Self, NatsError> {
        let client = connect(&options).await?;
        let message_bytes_max = client
            .server_info()
            .max_payload
            .saturating_sub(HEADER_BYTES);
        if message_bytes_max < MESSAGE_BYTES_LEAST {
            return Err(NatsError::MessageBytes(message_bytes_max));
        }
        let context = ContextBuilder::new()
            .timeout(options.timeout)
            .ack_timeout(options.timeout)
            .build(client);
        let stream = open_stream(&context, &options).await?;
        let values = open_values(&context, &options).await?;
        let subject = subject_of(&stream, &options)?;
        let carrier = Self {
            context,
            stream,
            values,
            options,
            subject: RwLock::new(subject),
            message_bytes_max,
            reading: Mutex::new(None),
        };
        carrier.check_fence().await?;
        Ok(carrier)
    }

    /// Appends after messages that are not last, and checks that each append is refused.
    async fn check_fence(&self) -> Result<(), NatsError> {
        let ends = self.ends().await.map_err(failed("ask for the stream"))?;
        // The check includes 0, which not every server compares. For an empty stream it uses a number that is far away.
        let stale = match ends.last {
            0 => [1 << 32, 1 << 32],
            last => [last - 1, 0],
        };
        for expected in stale {
            match self.publish(Bytes::from_static(b"probe"), expected).await {
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
                Ok(_) => return Err(NatsError::NotFenced(self.options.stream.clone())),
                Err(error) => return Err(failed("append to the stream")(error)),
            }
        }
        Ok(())
    }

    async fn publish(&self, payload: Bytes, expected_last: u64) -> Result<u64, PublishError> {
        let subject = self.subject.read().await.clone();
        let message = PublishMessage::build()
            .payload(payload)
            .expected_last_sequence(expected_last)
            .expected_stream(&self.options.stream);
        let acknowledgement = self.context.send_publish(subject, message).await?.await?;
        Ok(acknowledgement.sequence)
    }

    async fn consumer(&self, from: u64) -> Result<Ordered, CarrierError> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: from.max(1),
            },
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let consumer = self.in_time(self.stream.create_consumer(config)).await?;
        self.in_time(consumer.messages()).await
    }

    async fn in_time<T, E: std::fmt::Display>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CarrierError> {
        match timeout(self.options.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| CarrierError(error.to_string())),
            Err(_) => Err(CarrierError("no answer in time".into())),
        }
    }
}

async fn connect(options: &NatsOptions) -> Result<async_nats::Client, NatsError> {
    let connect = async_nats::ConnectOptions::new()
        .name(format!("trunkline {}", options.stream))
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .ping_interval(PING)
        .reconnect_delay_callback(|attempts| Duration::from_millis(50 * attempts.min(20) as u64));
    let connect = match &options.credentials {
        None => connect,
        Some(path) => connect
            .credentials_file(path)
            .await
            .map_err(failed("read the credentials"))?,
    };
    let connected = connect.connect(&options.servers).await;
    connected.map_err(failed("connect to the servers"))
}

async fn open_stream(context: &Context, options: &NatsOptions) -> Result<Stream, NatsError> {
    let letters: [u8; 8] = rand::random();
    let config = Config {
        name: options.stream.clone(),
        subjects: vec![subject(options, &letters)],
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_bytes: options.bytes_max,
        discard: DiscardPolicy::Old,
        // The server does not recognise repeated appends by message ids.
        duplicate_window: Duration::from_millis(100),
        ..Config::default()
    };
    let stream = context.get_or_create_stream(config).await;
    stream.map_err(failed("open the stream"))
}

fn subject(options: &NatsOptions, letters: &[u8; 8]) -> String {
    let letters = u64::from_le_bytes(*letters);
    format!("trunkline.{}.{letters:016x}", options.stream)
}

fn subject_of(stream: &Stream, options: &NatsOptions) -> Result<String, NatsError> {
    let prefix = format!("trunkline.{}.", options.stream);
    match &stream.cached_info().config.subjects[..] {
        [subject] if subject.starts_with(&prefix) => Ok(subject.clone()),
        _ => Err(NatsError::NotOurs(options.stream.clone())),
    }
}

async fn open_values(context: &Context, options: &NatsOptions) -> Result<Stream, NatsError> {
    let config = Config {
        name: format!("{}-values", options.stream),
        subjects: vec![value_subject(options, "*")],
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_messages_per_subject: 1,
        max_bytes: VALUES_BYTES_MAX,
        discard: DiscardPolicy::Old,
        duplicate_window: Duration::from_millis(100),
        ..Config::default()
    };
    let stream = context.get_or_create_stream(config).await;
    stream.map_err(failed("open the stream of values"))
}

fn value_subject(options: &NatsOptions, key: &str) -> String {
    format!("trunkline-values.{}.{key}", options.stream)
}

impl Carrier for NatsCarrier {
    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    async fn append(&self, message: Bytes, expected_last: u64) -> Append {
        match timeout(self.options.timeout, self.publish(message, expected_last)).await {
            Ok(Ok(sequence)) => Append::Appended(sequence),
            Ok(Err(error)) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Append::Refused
            }
            Ok(Err(error)) => Append::Unknown(error.to_string()),
            Err(_) => Append::Unknown("no answer in time".into()),
        }
    }

    async fn ends(&self) -> Result<Ends, CarrierError> {
        let info = self.in_time(self.stream.get_info()).await?;
        let last = info.state.last_sequence;
        // An empty stream may report 0 as its first number.
        let first = match info.state.messages {
            0 => last + 1,
            _ => info.state.first_sequence,
        };
        Ok(Ends { first, last })
    }

    async fn read(&self, from: u64, count: usize) -> Result<Vec<Carried>, CarrierError> {
        let mut reading = self.reading.lock().await;
        let mut current = match reading.take() {
            Some(current) if current.next == from => current,
            _ => Reading {
                next: from,
                messages: self.consumer(from).await?,
            },
        };
        let mut carried = Vec::new();
        let mut wait = self.options.poll;
        while carried.len() < count
            && let Ok(next) = timeout(wait, current.messages.next()).await
        {
            let Some(message) = next else {
                return Ok(carried);
            };
            let message = message.map_err(|error| CarrierError(error.to_string()))?;
            let sequence = message
                .info()
                .map_err(|error| CarrierError(error.to_string()))?
                .stream_sequence;
            current.next = sequence + 1;
            let bytes = message.message.payload.clone();
            carried.push(Carried { sequence, bytes });
            // Messages that have arrived are returned too; no more are waited for.
            wait = Duration::from_millis(1);
        }
        // A consumer may vanish with its server, without an error.
        let is_silent = carried.is_empty() && self.ends().await?.last >= from;
        *reading = (!is_silent).then_some(current);
        Ok(carried)
    }

    async fn renew(&self) -> Result<(), CarrierError> {
        let info = self.in_time(self.stream.get_info()).await?;
        let renewed = subject(&self.options, &rand::random());
        let config = Config {
            subjects: vec![renewed.clone()],
            ..info.config
        };
        self.in_time(self.context.update_stream(config)).await?;
        *self.subject.write().await = renewed;
        Ok(())
    }

    async fn empty(&self) -> Result<(), CarrierError> {
        self.in_time(self.stream.purge().into_future()).await?;
        *self.reading.lock().await = None;
        Ok(())
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<(), CarrierError> {
        let subject = value_subject(&self.options, key);
        let acknowledgement = self.in_time(self.context.publish(subject, value)).await?;
        self.in_time(acknowledgement.into_future()).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CarrierError> {
        let subject = value_subject(&self.options, key);
        let asked = self.values.get_last_raw_message_by_subject(&subject);
        match timeout(self.options.timeout, asked).await {
            Ok(Ok(message)) => Ok(Some(message.payload)),
            Ok(Err(error)) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Ok(Err(error)) => Err(CarrierError(error.to_string())),
            Err(_) => Err(CarrierError("no answer in time".into())),
        }
    }
}

impl std::fmt::Debug for NatsCarrier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NatsCarrier")
            .field("stream", &self.options.stream)
            .finish_non_exhaustive()
    }
}
