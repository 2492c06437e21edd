//! Measures members over three NATS servers on loopback, which it starts (`nats-server` has to be on the path).
//!
//! `cargo bench -p trunkline-replication --bench members -- PART [ROUNDS]`, where PART is
//!
//! * `levels`: latency and puts per second until a batch is durable, replicated and followed(1), interleaved in one
//!   run;
//! * `cost`: processor time per put of a primary's process, alone and while it publishes, in turns, and that of the
//!   publishing threads; the rest of the difference is due to the servers, which use the caches of the same cores;
//! * `replica`: reads per second of a replica while it follows, and the time until it is promoted, with a million keys.
//!
//! All members run in one process, and the servers share the machine with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use trunkline::core::frame::SecretKey;
use trunkline::{Batch, Config, Engine};
use trunkline_replication::nats::{NatsCarrier, NatsOptions};
use trunkline_replication::{Following, Level, Options, Primary};
use trunkline_testkit::nats::Cluster;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
/// Keys and puts of `levels`: its runs are short.
const LEVELS_KEYS: u64 = 200_000;
const COST_PUTS: u64 = 1_000_000;
const LEVELS_SECONDS: Duration = Duration::from_millis(1500);
const LEVELS: [Level; 3] = [Level::Durable, Level::Replicated, Level::Followed(1)];
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok());
    let asked = |part: &str| words.iter().any(|word| word == part);
    if asked("levels") {
        levels(rounds.unwrap_or(3)).await;
    }
    if asked("cost") {
        cost(rounds.unwrap_or(5)).await;
    }
    if asked("replica") {
        replica(rounds.unwrap_or(3)).await;
    }
}

/// Two members of a new tree, with their stream.
struct Members {
    directory: TempDir,
    carriers: [Arc<NatsCarrier>; 2],
}

impl Members {
    async fn new(cluster: &Cluster, stream: &str) -> Self {
        Self {
            directory: tempfile::tempdir().expect("there is room for temporary files"),
            carriers: [
                connect(cluster, stream).await,
                connect(cluster, stream).await,
            ],
        }
    }

    fn options(&self, name: &str) -> Options {
        let key = |name: &str| SecretKey::generate(*blake3::hash(name.as_bytes()).as_bytes());
        let memory = self.directory.path().join(format!("{name}.memory"));
        Options {
            keys: ["a", "b"].map(|name| key(name).public()).to_vec(),
            ..Options::new(name, &["a", "b"], key(name), memory)
        }
    }

    fn config(&self, name: &str) -> Config {
        let mut config = Config::in_directory(self.directory.path().join(name));
        config.log.held_bytes_max = 8 << 30;
        config
    }

    async fn lead(&self) -> Primary {
        let engine = Engine::open(self.config("a")).await;
        let engine = engine.expect("the directory is new");
        let carrier = self.carriers[0].clone();
        let started = Primary::start(engine, carrier, self.options("a")).await;
        started.expect("the stream is new")
    }

    async fn follow(&self, primary: &Primary) -> Following {
        let options = self.options("b");
        let builder = Engine::builder(self.config("b")).params(&primary.engine().params());
        let replica = builder.open_replica(options.keys.clone()).await;
        let replica = replica.expect("the directory is new");
        let carrier = self.carriers[1].clone();
        let following = Following::start(replica, carrier, options, None).await;
        following.expect("the stream answers")
    }
}

async fn connect(cluster: &Cluster, stream: &str) -> Arc<NatsCarrier> {
    let began = Instant::now();
    loop {
        match NatsCarrier::open(NatsOptions::new(cluster.urls(), stream)).await {
            Ok(carrier) => return Arc::new(carrier),
            Err(error) => assert!(began.elapsed() < PATIENCE, "no stream: {error}"),
        }
    }
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns a batch of puts to consecutive numbers, modulo the number of keys.
fn batch(from: u64, puts: u64, keys: u64, round: u64) -> Batch {
    let mut batch = Batch::new();
    for number in from..from + puts {
        batch.put(bytes(number % keys), bytes(number ^ round << 40));
    }
    batch
}

/// Puts all keys once, in batches of 10,000 with 8 in flight. Returns when they are durable.
async fn put_all(engine: &Engine, keys: u64, round: u64) {
    let mut in_flight = std::collections::VecDeque::new();
    for from in (0..keys).step_by(10_000) {
        if in_flight.len() == 8 {
            let receipt: trunkline::Receipt = in_flight.pop_front().expect("some are in flight");
            receipt.durable().await.expect("the engine works");
        }
        let submitted = engine.submit(batch(from, 10_000, keys, round)).await;
        in_flight.push_back(submitted.expect("the engine works"));
    }
    for receipt in in_flight {
        receipt.durable().await.expect("the engine works");
    }
}

// Levels.

/// The figures of one level: puts per second in each round, and all latencies.
#[derive(Default)]
struct Figures {
    puts_per_s: Vec<f64>,
    latencies_ms: Vec<f64>,
}

async fn levels(rounds: usize) {
    let cluster = Cluster::start(3);
    let members = Members::new(&cluster, "levels").await;
    let primary = Arc::new(members.lead().await);
    let following = members.follow(&primary).await;
    put_all(primary.engine(), LEVELS_KEYS, 0).await;
    for puts in [1_000, 10_000] {
        for in_flight in [1, 8] {
            let mut figures = LEVELS.map(|_| Figures::default());
            for _ in 0..rounds {
                for (level, figures) in LEVELS.iter().zip(&mut figures) {
                    settle(&primary).await;
                    measure(&primary, *level, puts, in_flight, figures).await;
                }
            }
            for (level, figures) in LEVELS.iter().zip(&mut figures) {
                println!(
                    "{puts} puts, {in_flight} in flight, {level}: {}",
                    figures.summary()
                );
            }
        }
    }
    drop(following.stop().await.shutdown().await);
}

impl Figures {
    fn summary(&mut self) -> String {
        let latencies = &mut self.latencies_ms;
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, {:.0}k puts/s",
            at(0.5),
            at(0.99),
            median(self.puts_per_s.iter().copied()) / 1e3
        )
    }
}

/// Waits until the replica has every version.
async fn settle(primary: &Primary) {
    let version = primary.engine().synced_version();
    let followed = primary.followed(version, 1, PATIENCE).await;
    followed.expect("the replica follows");
}

async fn measure(
    primary: &Arc<Primary>,
    level: Level,
    puts: u64,
    in_flight: u64,
    figures: &mut Figures,
) {
    let began = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|caller| tokio::spawn(call(primary.clone(), level, puts, caller, began)))
        .collect();
    let mut batches = 0;
    for caller in callers {
        let latencies = caller.await.expect("the caller ends");
        batches += latencies.len() as u64;
        figures.latencies_ms.extend(latencies);
    }
    let puts_per_s = (batches * puts) as f64 / began.elapsed().as_secs_f64();
    figures.puts_per_s.push(puts_per_s);
}

/// Submits one batch after the other, each once the previous one has reached the level. Returns the latencies.
async fn call(
    primary: Arc<Primary>,
    level: Level,
    puts: u64,
    caller: u64,
    began: Instant,
) -> Vec<f64> {
    let mut latencies = Vec::new();
    let mut from = caller * 7919 * puts;
    while began.elapsed() < LEVELS_SECONDS {
        let batch = batch(from, puts, LEVELS_KEYS, latencies.len() as u64 + 1);
        from += puts;
        let submitted = Instant::now();
        let receipt = primary.engine().submit(batch).await;
        let durable = receipt.expect("the engine works").durable().await;
        let version = durable.expect("the engine works").version;
        let reached = primary.wait_for(version, level, PATIENCE).await;
        reached.expect("the members work");
        latencies.push(submitted.elapsed().as_secs_f64() * 1e3);
    }
    latencies
}

// Cost.

async fn cost(rounds: usize) {
    let cluster = Cluster::start(3);
    let mut all = Vec::new();
    for round in 1..=rounds {
        let members = Members::new(&cluster, &format!("cost-{round}")).await;
        let engine = Engine::open(members.config("alone")).await;
        let engine = engine.expect("the directory is new");
        put_all(&engine, COST_PUTS, 0).await;
        let alone = cpu_ns_per_put(async { put_all(&engine, COST_PUTS, 1).await }).await;
        engine.shutdown().await.expect("the engine works");

        let primary = members.lead().await;
        put_all(primary.engine(), COST_PUTS, 0).await;
        replicated(&primary).await;
        let before = runtime_ns();
        let publishing = cpu_ns_per_put(async {
            put_all(primary.engine(), COST_PUTS, 1).await;
            // Publishing the remaining versions is part of the cost.
            replicated(&primary).await;
        });
        let publishing = publishing.await;
        let threads = (runtime_ns() - before) / COST_PUTS as f64;
        primary.shutdown(PATIENCE).await.expect("the engine works");
        println!(
            "round {round}: {alone:.0} ns a put alone, {publishing:.0} ns while it publishes, {threads:.0} ns of them in threads that publish"
        );
        all.push([alone, publishing, threads]);
    }
    let of = |figure: fn(&[f64; 3]) -> f64| median(all.iter().map(figure));
    println!(
        "medians: {:.0} ns alone, {:.0} ns publishing ({:+.1} %), {:.0} ns in threads that publish ({:+.1} %)",
        of(|round| round[0]),
        of(|round| round[1]),
        (of(|round| round[1] / round[0]) - 1.0) * 100.0,
        of(|round| round[2]),
        of(|round| round[2] / round[0]) * 100.0,
    );
}

/// Returns the processor time of the runtime's threads in ns. They publish; the main thread submits.
fn runtime_ns() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let thread = thread.ok()?.path();
        let name = std::fs::read_to_string(thread.join("comm")).ok()?;
        let times = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        let ran_ns = times.split(' ').next()?.parse::<f64>().ok()?;
        name.starts_with("tokio").then_some(ran_ns)
    };
    threads.filter_map(of_thread).sum()
}

async fn replicated(primary: &Primary) {
    let version = primary.engine().synced_version();
    let replicated = primary.replicated(version, PATIENCE).await;
    replicated.expect("the servers work");
}

/// Returns the user and system time of this process per put.
async fn cpu_ns_per_put(work: impl Future<Output = ()>) -> f64 {
    let cpu_ns = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = cpu_ns();
    work.await;
    (cpu_ns() - before) / COST_PUTS as f64
}

// Replica.

async fn replica(rounds: usize) {
    let cluster = Cluster::start(3);
    let mut all = Vec::new();
    for round in 1..=rounds {
        let members = Members::new(&cluster, &format!("replica-{round}")).await;
        let primary = members.lead().await;
        let following = members.follow(&primary).await;
        put_all(primary.engine(), KEYS, 0).await;
        settle(&primary).await;
        let (reads, puts) = reads_while_following(&primary, &following).await;
        settle(&primary).await;
        primary.shutdown(PATIENCE).await.expect("the engine works");

        let began = Instant::now();
        let (carrier, options) = (members.carriers[1].clone(), members.options("b"));
        let promoted = following.promote(carrier, options).await;
        let promoted = promoted.expect("nobody else writes");
        let receipt = promoted.engine().put("first", "x").await;
        let durable = receipt.expect("the engine works").durable().await;
        durable.expect("the engine works");
        let promotion_ms = began.elapsed().as_secs_f64() * 1e3;
        promoted.shutdown(PATIENCE).await.expect("the engine works");
        println!(
            "round {round}: {:.0}k reads/s of a replica that follows {:.0}k puts/s; promoted in {promotion_ms:.0} ms",
            reads / 1e3,
            puts / 1e3
        );
        all.push((reads, puts, promotion_ms));
    }
    println!(
        "medians: {:.0}k reads/s, {:.0}k puts/s, promoted in {:.0} ms",
        median(all.iter().map(|(reads, ..)| *reads)) / 1e3,
        median(all.iter().map(|(_, puts, _)| *puts)) / 1e3,
        median(all.iter().map(|(.., promotion_ms)| *promotion_ms)),
    );
}

/// Returns the reads per second of one thread, and the puts per second that the replica follows meanwhile.
async fn reads_while_following(primary: &Primary, following: &Following) -> (f64, f64) {
    let is_done = Arc::new(AtomicBool::new(false));
    let reading = {
        let (replica, is_done) = (following.replica().clone(), is_done.clone());
        tokio::task::spawn_blocking(move || {
            let mut reads = 0_u64;
            while !is_done.load(Ordering::Relaxed) {
                let value = replica
                    .get(&bytes(reads % KEYS))
                    .expect("the replica works");
                assert!(value.is_some(), "the key was put");
                reads += 1;
            }
            reads
        })
    };
    let began = Instant::now();
    put_all(primary.engine(), KEYS, 1).await;
    settle(primary).await;
    is_done.store(true, Ordering::Relaxed);
    let reads = reading.await.expect("the reader ends");
    let seconds = began.elapsed().as_secs_f64();
    (reads as f64 / seconds, KEYS as f64 / seconds)
}

/// Returns 32 pseudo-random bytes for a number (SplitMix64: Steele, Lea, Flood 2014).
fn bytes(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = number.wrapping_mul(0xd134_2543_de82_ef95);
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    bytes
}
