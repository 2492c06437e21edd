//! Compares the service with the engine alone, and measures the service under ten times the load that it can handle.
//!
//! `cargo bench -p trunkline-service --bench service -- throughput [rounds]` puts batches of 10,000 and 1,000, 8 in
//! flight, into an engine and, through gRPC over loopback, into a service, in turn.
//!
//! `… -- overload [rounds] [batch]` pins a server to one core and a client to another (`taskset`), fills the tree,
//! finds the peak by a closed loop, asks for ten times as much by an open loop, and finds the peak again, since a core
//! is not always equally fast. A request counts if its response arrives within the deadline, measured from the time at
//! which it was due.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tonic::transport::Channel;
use tower::Service;
use trunkline::{Batch, Config, Engine};
use trunkline_service::proto::trunkline_client::TrunklineClient;
use trunkline_service::proto::{Operation, Put, SubmitRequest, operation};
use trunkline_service::{Backend, Server};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Length of each measurement.
const LENGTH: Duration = Duration::from_secs(4);
const IN_FLIGHT: usize = 8;
/// Size of keys and of values in bytes.
const BYTES: usize = 32;
const KEYS: u64 = 1_000_000;

/// The deadline under overload, and the number of the client's concurrent requests.
const DEADLINE: Duration = Duration::from_millis(1000);
const OUTSTANDING_MAX: usize = 4096;
const CHANNELS: usize = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rounds = |text: &str| text.parse().unwrap_or(3);
    match arguments[..] {
        ["server", directory] => serve_for_parent(directory),
        ["client", address, size, rate] => {
            drive_for_parent(address, size.parse().unwrap(), rate.parse().unwrap());
        }
        ["overload"] => overload(3, 100),
        ["overload", times] => overload(rounds(times), 100),
        ["overload", times, size] => overload(rounds(times), size.parse().unwrap()),
        ["throughput", ref rest @ ..] => throughput(rest.first().map_or(3, |text| rounds(text))),
        _ => {
            throughput(3);
            overload(3, 100);
        }
    }
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build().unwrap()
}

/// Returns a key that exists already half of the time, by a generator that needs no state.
fn number(place: u64) -> u64 {
    let mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)) % KEYS
}

fn padded(number: u64) -> [u8; BYTES] {
    let mut bytes = [b'k'; BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn batch(size: u64, first: u64) -> Batch {
    let mut batch = Batch::with_capacity(size as usize, size as usize * 2 * BYTES);
    for place in first..first + size {
        batch.put(padded(number(place)), padded(place));
    }
    batch
}

fn request(size: u64, first: u64) -> SubmitRequest {
    let operations = (first..first + size).map(|place| {
        let put = Put {
            key: Bytes::copy_from_slice(&padded(number(place))),
            value: Bytes::copy_from_slice(&padded(place)),
        };
        Operation {
            kind: Some(operation::Kind::Put(put)),
        }
    });
    SubmitRequest {
        operations: operations.collect(),
        ..SubmitRequest::default()
    }
}

/// Submits in a closed loop and returns puts per second.
async fn closed_loop<F: Future<Output = ()> + Send>(
    size: u64,
    in_flight: usize,
    submit: impl Fn(u64) -> F + Clone + Send + 'static,
) -> f64 {
    let (next, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (next, done, submit) = (next.clone(), done.clone(), submit.clone());
        callers.spawn(async move {
            while began.elapsed() < LENGTH {
                submit(next.fetch_add(size, Ordering::Relaxed)).await;
                done.fetch_add(size, Ordering::Relaxed);
            }
        });
    }
    while callers.join_next().await.is_some() {}
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn embedded(size: u64) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(Config::in_directory(directory.path())).await;
    let engine = engine.unwrap();
    let submitting = engine.clone();
    let rate = closed_loop(size, IN_FLIGHT, move |first| {
        let engine = submitting.clone();
        async move {
            let receipt = engine.submit(batch(size, first)).await.unwrap();
            receipt.durable().await.unwrap();
        }
    });
    let rate = rate.await;
    engine.shutdown().await.unwrap();
    rate
}

async fn served(size: u64) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let (address, engine, stop, serving) = serve(directory.path()).await;
    let client = connect(address).await;
    let rate = closed_loop(size, IN_FLIGHT, move |first| {
        let mut client = client.clone();
        async move {
            client.submit(request(size, first)).await.unwrap();
        }
    });
    let rate = rate.await;
    stop.send(()).unwrap();
    serving.await.unwrap();
    engine.shutdown().await.unwrap();
    rate
}

type Serving = tokio::task::JoinHandle<()>;

async fn serve(
    directory: &std::path::Path,
) -> (
    SocketAddr,
    Engine,
    tokio::sync::oneshot::Sender<()>,
    Serving,
) {
    let mut config = Config::in_directory(directory);
    config.server.listen = "127.0.0.1:0".to_owned();
    let server = Server::bind(&config.server).unwrap();
    let address = server.addresses().tcp.unwrap();
    let engine = Engine::open(config).await.unwrap();
    let service = server.in_front_of(Backend::Engine(engine.clone()), Box::new(|| Ok(())));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
        };
        service.serve(stop).await.unwrap();
    });
    (address, engine, stop, serving)
}

async fn channel(address: SocketAddr) -> Channel {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    channel.connect().await.unwrap()
}

async fn connect(address: SocketAddr) -> TrunklineClient<Channel> {
    TrunklineClient::new(channel(address).await)
}

fn throughput(rounds: usize) {
    let runtime = runtime(2);
    println!(
        "| batch | embedded, puts/s | served, puts/s | served ÷ embedded |\n| --- | --- | --- | --- |"
    );
    for size in [10_000, 1000] {
        let mut ratios = Vec::new();
        for _ in 0..rounds {
            let alone = runtime.block_on(embedded(size));
            let served = runtime.block_on(served(size));
            ratios.push(served / alone);
            println!(
                "| {size} | {alone:.0} | {served:.0} | {:.2} |",
                served / alone
            );
        }
        println!("| {size} | | median | **{:.2}** |", median(&mut ratios));
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Serves until standard input ends.
fn serve_for_parent(directory: &str) {
    runtime(2).block_on(async {
        let (address, engine, stop, serving) = serve(directory.as_ref()).await;
        println!("{address}");
        let wait = || std::io::stdin().lines().count();
        tokio::task::spawn_blocking(wait).await.unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap();
        engine.shutdown().await.unwrap();
    });
}

/// Drives a server and prints its figures: in a closed loop if the rate is 0, otherwise at `rate` requests per second.
fn drive_for_parent(address: &str, size: u64, rate: f64) {
    let address = address.parse().unwrap();
    runtime(1).block_on(async {
        if rate == 0.0 {
            let (channel, bodies) = (channel(address).await, Bodies::new(size));
            let rate = closed_loop(size, 64, move |first| {
                let body = bodies.get(first / size);
                let channel = channel.clone();
                async move {
                    let calm = 10 * DEADLINE;
                    // The service must first learn how fast it is.
                    while submit_encoded(channel.clone(), body.clone(), calm)
                        .await
                        .unwrap()
                        != Answer::Done
                    {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
            return println!("{:.0}", rate.await);
        }
        println!("{}", open_loop(address, size, rate).await);
    });
}

/// Requests that are encoded except for their values: encoding them each time would use the client's core.
struct Bodies {
    encoded: Vec<Vec<u8>>,
    /// Offset of the first value, and the distance to each next one.
    value_at: usize,
    stride: usize,
}

impl Bodies {
    /// Encodes requests that together have every key once.
    fn new(size: u64) -> Arc<Self> {
        let encoded = |part| {
            let message = request(size, part * size);
            // The prefix: not compressed, and the length (gRPC over HTTP/2, "Length-Prefixed-Message").
            let mut body = vec![0];
            body.extend((message.encoded_len() as u32).to_be_bytes());
            message.encode(&mut body).unwrap();
            body
        };
        let encoded: Vec<_> = (0..KEYS / size).map(encoded).collect();
        let stride = (encoded[0].len() - 5) / size as usize;
        assert_eq!(encoded[0].len(), 5 + stride * size as usize);
        Arc::new(Self {
            encoded,
            value_at: 5 + stride - BYTES,
            stride,
        })
    }

    /// Returns a request whose values no other request has.
    fn get(&self, number: u64) -> Bytes {
        let mut body = self.encoded[number as usize % self.encoded.len()].clone();
        for place in (self.value_at..body.len()).step_by(self.stride) {
            body[place + 8..place + 16].copy_from_slice(&number.to_be_bytes());
        }
        body.into()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// Refused, with a time after which it may be tried again.
    Refused,
    /// Another gRPC status, or none.
    Other(Option<axum::http::HeaderValue>),
}

/// Submits an encoded request with a deadline.
async fn submit_encoded(
    mut channel: Channel,
    body: Bytes,
    deadline: Duration,
) -> Result<Answer, tonic::transport::Error> {
    let request = axum::http::Request::post("/trunkline.service.v1.Trunkline/Submit")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis()))
        .body(tonic::body::Body::new(Full::new(body)))
        .unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    let response = channel.call(request).await?;
    if response.headers().contains_key("trunkline-retry-after-ms") {
        return Ok(Answer::Refused);
    }
    let mut status = response.headers().get("grpc-status").cloned();
    if let Ok(body) = response.into_body().collect().await {
        let trailers = body.trailers();
        status = status.or_else(|| trailers?.get("grpc-status").cloned());
    }
    match status {
        Some(status) if status == "0" => Ok(Answer::Done),
        status => Ok(Answer::Other(status)),
    }
}

#[derive(Default)]
struct Counts {
    good: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
    other: AtomicU64,
    unanswered: AtomicU64,
    unsent: AtomicU64,
}

impl Counts {
    /// Counts a request that was due at a time.
    fn add(
        &self,
        answer: &Result<Result<Answer, tonic::transport::Error>, Elapsed>,
        due_at: Instant,
    ) {
        let count = match answer {
            Ok(Ok(Answer::Done)) if due_at.elapsed() <= DEADLINE => &self.good,
            Ok(Ok(Answer::Done)) => &self.late,
            Ok(Ok(Answer::Refused)) => &self.refused,
            Ok(other) => {
                if self.other.load(Ordering::Relaxed) == 0 {
                    eprintln!("{other:?}");
                }
                &self.other
            }
            Err(_) => &self.unanswered,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn open_loop(address: SocketAddr, size: u64, rate: f64) -> String {
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(channel(address).await);
    }
    let bodies = Bodies::new(size);
    let counts = Arc::new(Counts::default());
    let room = Arc::new(tokio::sync::Semaphore::new(OUTSTANDING_MAX));
    let began = Instant::now();
    let mut calls = JoinSet::new();
    let mut sent = 0_u64;
    while began.elapsed() < LENGTH {
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        while sent < due {
            let due_at = began + Duration::from_secs_f64(sent as f64 / rate);
            sent += 1;
            let Ok(permit) = room.clone().try_acquire_owned() else {
                counts.unsent.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let channel = channels[sent as usize % CHANNELS].clone();
            let body = bodies.get(sent);
            let counts = counts.clone();
            calls.spawn(async move {
                let _permit = permit;
                let answer = timeout(2 * DEADLINE, submit_encoded(channel, body, DEADLINE));
                counts.add(&answer.await, due_at);
            });
        }
        while calls.try_join_next().is_some() {}
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let good = counts.good.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    while calls.join_next().await.is_some() {}
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    format!(
        "{:.0} {} {} {} {} {} {}",
        good * size as f64,
        count(&counts.good),
        count(&counts.late),
        count(&counts.refused),
        count(&counts.other),
        count(&counts.unanswered),
        count(&counts.unsent)
    )
}

/// Starts a process of this bench on one core.
fn pinned(core: usize, role: &[&str]) -> Child {
    Command::new("taskset")
        .args(["-c", &core.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn client(address: &str, size: u64, rate: f64) -> String {
    let arguments = ["client", address, &size.to_string(), &rate.to_string()];
    let mut client = pinned(1, &arguments);
    let line = first_line(&mut client);
    client.wait().unwrap();
    line
}

fn overload(rounds: usize, size: u64) {
    println!(
        "| peak before and after, puts/s | goodput at 10 ×, puts/s | ÷ mean of the peaks | good | late | refused with a hint | other | no answer in twice the deadline | not sent by the client |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let mut server = pinned(0, &["server", directory.path().to_str().unwrap()]);
        let address = first_line(&mut server);
        let peak = || client(&address, size, 0.0).parse::<f64>().unwrap();
        // The first run fills the tree.
        let _filled = peak();
        let before = peak();
        let line = client(&address, size, 10.0 * before / size as f64);
        let after = peak();
        let fields: Vec<&str> = line.split(' ').collect();
        let goodput: f64 = fields[0].parse().unwrap();
        let ratio = goodput / ((before + after) / 2.0);
        ratios.push(ratio);
        println!(
            "| {before:.0}, {after:.0} | {goodput:.0} | {ratio:.2} | {} |",
            fields[1..].join(" | ")
        );
        drop(server.stdin.take());
        server.wait().unwrap();
    }
    println!("| | median | **{:.2}** | | | | | | |", median(&mut ratios));
}
