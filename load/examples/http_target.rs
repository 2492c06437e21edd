//! Loads an HTTP service that puts, gets and deletes values at `/keys/KEY`: a service of your own, or without an
//! address a small one that this example starts itself.
//!
//! ```sh
//! cargo run --release -p trunkline-load --example http_target -- 5000
//! cargo run --release -p trunkline-load --example http_target -- 5000 http://127.0.0.1:8080
//! ```
//!
//! The load measures latency from the time at which an operation was due, so a stalled service cannot hide it; the
//! target only sends requests. Connections stay open: each lane of writes has one, and so does each thread that reads.
//! All writes of a key take the same lane, one after the other, so that they arrive in order and the load knows what
//! each key must hold.

use std::collections::HashMap;
use std::error::Error;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use trunkline_load::{
    Load, Outcome, Pending, Plan, Target, TargetError, Workload, WriteBatch, Written,
};
use ureq::Agent;

/// Connections that write.
const LANES: usize = 8;
/// Writes that may wait for a lane. Above that, submitting blocks.
const WAITING_MAX: usize = 1_000;
/// Time after which a request fails.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A reason why a request failed.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("no answer")]
    Http(#[from] ureq::Error),
    #[error("the service answered {0}")]
    Status(u16),
}

/// A client of the service.
#[derive(Clone)]
struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    fn new(url: &str, connections: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections_per_host(connections)
            .timeout_global(Some(TIMEOUT))
            .build();
        let (agent, url) = (config.into(), url.to_owned());
        Self { agent, url }
    }

    /// Returns the address of a key. The load's keys are letters and digits; others would have to be encoded.
    fn address(&self, key: &[u8]) -> String {
        format!("{}/keys/{}", self.url, String::from_utf8_lossy(key))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RequestError> {
        let mut response = self.agent.get(self.address(key)).call()?;
        // The response is read to its end in any case: only then is the connection reused.
        let body = response.body_mut().read_to_vec()?;
        match response.status().as_u16() {
            200 => Ok(Some(body.into())),
            404 => Ok(None),
            status => Err(RequestError::Status(status)),
        }
    }

    fn write(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), RequestError> {
        let mut response = match value {
            Some(value) => self.agent.put(self.address(key)).send(value)?,
            None => self.agent.delete(self.address(key)).call()?,
        };
        response.body_mut().read_to_vec()?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(RequestError::Status(status.as_u16())),
        }
    }
}

/// A write in flight.
struct Job {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    done: Sender<Result<(), RequestError>>,
}

/// A service behind HTTP.
struct HttpTarget {
    reader: Client,
    lanes: Vec<SyncSender<Job>>,
}

impl HttpTarget {
    fn new(url: &str, readers: usize) -> Self {
        let lane = |_| {
            let (jobs, waiting) = sync_channel::<Job>(WAITING_MAX);
            let client = Client::new(url, 1);
            thread::spawn(move || {
                for job in waiting {
                    let written = client.write(&job.key, job.value.as_deref());
                    // Nobody is waiting any more if the load has ended.
                    let _ = job.done.send(written);
                }
            });
            jobs
        };
        Self {
            // One more is for the submitting thread, which reads the keys that read-modify-writes require.
            reader: Client::new(url, readers + 1),
            lanes: (0..LANES).map(lane).collect(),
        }
    }

    fn lane(&self, key: &[u8]) -> &SyncSender<Job> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.lanes[hash as usize % self.lanes.len()]
    }
}

impl Target for HttpTarget {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        if batch.requirements() > 0 {
            return Err(TargetError::Unsupported("write only what is unchanged"));
        }
        let (done, results) = channel();
        batch.for_each(|write| {
            let job = Job {
                key: write.key.to_vec(),
                value: write.value.map(<[u8]>::to_vec),
                done: done.clone(),
            };
            // A lane that has ended answers nothing, which is noticed below.
            let _ = self.lane(write.key).send(job);
        });
        drop(done);
        let writes = batch.len();
        Ok(Box::new(move || written(results, writes)))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.reader.get(key).map_err(TargetError::failed)
    }
}

/// Waits for the answers to all writes of a batch.
fn written(
    results: Receiver<Result<(), RequestError>>,
    writes: usize,
) -> Result<Written, TargetError> {
    let mut answered = 0;
    for result in results {
        result.map_err(TargetError::failed)?;
        answered += 1;
    }
    match answered == writes {
        true => Ok(Written::Applied),
        false => Err(TargetError::ended(std::io::Error::other(
            "a lane has ended",
        ))),
    }
}

type Values = Arc<Mutex<HashMap<String, Bytes>>>;

/// The small service, with the number of connections that it has had.
struct Service {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Service {
    /// Starts the service on a free loopback port, in a thread that ends with the process.
    fn start() -> Result<Self, Box<dyn Error>> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(move |stream| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    // Small responses must not wait for each other.
                    let _ = stream.set_nodelay(true);
                });
                axum::serve(listener, routes()).await
            })
        });
        Ok(Self {
            address,
            connections,
        })
    }
}

fn routes() -> Router {
    let of_key = get(answer).put(store).delete(remove);
    let router = Router::new().route("/keys/{key}", of_key);
    router.with_state(Values::default())
}

async fn answer(
    State(values): State<Values>,
    Path(key): Path<String>,
) -> Result<Bytes, StatusCode> {
    let value = values.lock().unwrap().get(&key).cloned();
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn store(State(values): State<Values>, Path(key): Path<String>, value: Bytes) -> StatusCode {
    values.lock().unwrap().insert(key, value);
    StatusCode::NO_CONTENT
}

async fn remove(State(values): State<Values>, Path(key): Path<String>) -> StatusCode {
    values.lock().unwrap().remove(&key);
    StatusCode::NO_CONTENT
}

/// Returns a plan of half reads and half updates, at a rate.
fn plan(rate: f64) -> Plan {
    Plan {
        keys: 1_000,
        workload: Workload::A,
        rate: Some(rate),
        // The writes that are due within a millisecond are submitted together, and sent by all lanes in parallel.
        batch: 100,
        readers: Some(4),
        duration_s: Some(5.0),
        ..Plan::default()
    }
}

fn run(url: &str, plan: &Plan) -> Result<(Outcome, HttpTarget), Box<dyn Error>> {
    let target = HttpTarget::new(url, plan.readers());
    let outcome = Load::new(plan, &target)?.run()?;
    Ok((outcome, target))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rate = arguments.next().unwrap_or("2000".to_owned()).parse()?;
    let own = Service::start()?;
    let url = arguments
        .next()
        .unwrap_or_else(|| format!("http://{}", own.address));
    let (outcome, _target) = run(&url, &plan(rate))?;
    let totals = &outcome.run.totals;
    println!(
        "offered {:.0}/s, achieved {:.0}/s, dropped {}, failed {}",
        totals.offered_per_second(),
        totals.achieved_per_second(),
        totals.dropped,
        totals.failed
    );
    for (kind, total) in &totals.operations {
        let (latency, service) = (&total.latency, &total.service);
        println!(
            "{}: latency {:.0} µs (p50), {:.0} µs (p99); service {:.0} µs, {:.0} µs",
            kind.name(),
            latency.p50_us,
            latency.p99_us,
            service.p50_us,
            service.p99_us,
        );
    }
    let connections = own.connections.load(Ordering::Relaxed);
    if connections > 0 {
        println!("over {connections} connections");
    }
    for warning in &outcome.run.warnings {
        println!("warning: {warning}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_load::Shares;

    #[test]
    fn the_service_holds_what_the_load_wrote_over_few_connections() {
        let service = Service::start().unwrap();
        let url = format!("http://{}", service.address);
        let plan = Plan {
            mix: Some(Shares {
                read: 40,
                update: 40,
                insert: 10,
                delete: 10,
                ..Shares::default()
            }),
            keys: 200,
            duration_s: None,
            ops: Some(2_000),
            ..plan(20_000.0)
        };
        let (outcome, target) = run(&url, &plan).unwrap();
        let totals = &outcome.run.totals;
        assert_eq!((totals.achieved, totals.failed), (2_000, 0));
        for index in 0..outcome.records.len() {
            let held = target.read(&outcome.records.key(index)).unwrap();
            assert_eq!(
                held.map(Vec::from),
                outcome.records.value(index),
                "key {index}"
            );
        }
        let connections = service.connections.load(Ordering::Relaxed);
        let most = LANES + plan.readers() + 1;
        assert!((1..=most as u64).contains(&connections), "{connections}");
    }

    #[test]
    fn a_service_that_is_not_there_fails_the_fill() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let Err(error) = run(&url, &plan(100.0)) else {
            panic!("nobody answers");
        };
        assert!(
            error
                .to_string()
                .starts_with("the keys could not be put: no answer"),
            "{error}"
        );
    }
}
