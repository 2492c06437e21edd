//! Single puts: each task puts one key, waits until it is durable, and continues. This measures the overhead of a batch
//! of one, and how well an engine shares a sync among the tasks that wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::iter;
use std::sync::mpsc;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline::Engine;

use crate::engines::Peer;
use crate::error::BenchError;
use crate::figures::{Figures, Quantiles, latencies};
use crate::job::Job;
use crate::workload::{Key, SinglePuts, Value, Write};
use crate::{process, run};

/// The number of threads of the runtime for the tasks.
const RUNTIME_THREADS: usize = 2;

/// The maximum number of puts of one task: with a sync for each, a million would take minutes.
const PUTS_PER_TASK_MAX: u64 = 5_000;

/// Returns the number of puts of all tasks together, the same number for each.
pub(crate) fn operations(wanted: u64, tasks: u64) -> u64 {
    (wanted / tasks).clamp(1, PUTS_PER_TASK_MAX) * tasks
}

/// Preloads, lets the tasks put, and checks the values that they wrote last.
pub(crate) fn run(
    job: &Job,
    tasks: u64,
    mut peer: Box<dyn Peer + '_>,
) -> Result<(Figures, u64), BenchError> {
    let (mut figures, written_before) = run::preload_and_rest(job, peer.as_mut())?;
    put(job, tasks, peer.as_mut(), &mut figures)?;
    figures.resident_bytes = process::resident_bytes();
    figures.resident_bytes_peak = process::resident_bytes_peak();
    let puts = (0..tasks).flat_map(|task| of_task(job, task, tasks));
    let last: HashMap<Key, Value> = puts.map(|write| (write.key, write.value)).collect();
    for (&key, &value) in last.iter().take(job.reads) {
        run::read_present(peer.as_mut(), &Write { key, value })?;
    }
    peer.close()?;
    Ok((figures, written_before))
}

/// Returns the puts of a task; called a second time for the values that must be read.
fn of_task(job: &Job, task: u64, tasks: u64) -> SinglePuts {
    SinglePuts::of_task(task, tasks, job.operations / tasks, job.keys, job.fresh)
}

fn put(
    job: &Job,
    tasks: u64,
    peer: &mut dyn Peer,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .build()
        .map_err(BenchError::at("start a runtime"))?;
    let cpu_before = process::cpu_seconds();
    let started_at = Instant::now();
    let tasks = match peer.shared() {
        Some(engine) => spawn(&runtime, job, tasks, &engine),
        None => {
            let (sender, receiver) = mpsc::channel();
            let tasks = spawn(&runtime, job, tasks, &Collector(sender));
            collect(peer, &receiver)?;
            tasks
        }
    };
    let latencies = runtime.block_on(join(tasks))?;
    let seconds = started_at.elapsed().as_secs_f64();
    figures.updates_per_second = job.operations as f64 / seconds;
    figures.cpu_seconds = process::cpu_seconds() - cpu_before;
    figures.durable = quantiles(latencies)?;
    Ok(())
}

/// The interface through which a task puts a key.
trait Putter: Clone + Send + Sync + 'static {
    /// Puts a key, and is ready once the put is durable.
    fn put(&self, write: Write) -> impl Future<Output = Result<(), BenchError>> + Send;
}

impl Putter for Engine {
    async fn put(&self, write: Write) -> Result<(), BenchError> {
        let receipt = Engine::put(self, write.key, write.value).await;
        let receipt = receipt.map_err(BenchError::at("submit"))?;
        let durable = receipt.durable().await.map_err(BenchError::at("commit"))?;
        match durable.outcome.is_applied() {
            true => Ok(()),
            false => Err(BenchError::at("commit")("the put was refused")),
        }
    }
}

/// A put that waits for the next batch, and the channel that reports that it is durable.
type Waiting = (Write, oneshot::Sender<()>);

/// The interface to an engine that one thread drives. A service would put something similar in front of it.
#[derive(Clone)]
struct Collector(mpsc::Sender<Waiting>);

impl Putter for Collector {
    async fn put(&self, write: Write) -> Result<(), BenchError> {
        let (sender, receiver) = oneshot::channel();
        let sent = self.0.send((write, sender));
        sent.map_err(|_| BenchError::at("submit")("the engine failed"))?;
        receiver.await.map_err(BenchError::at("commit"))
    }
}

/// Makes a batch of all waiting puts, repeatedly, until every task has finished.
fn collect(peer: &mut dyn Peer, receiver: &mpsc::Receiver<Waiting>) -> Result<(), BenchError> {
    let (mut batch, mut waiting) = (Vec::new(), Vec::new());
    while let Ok(first) = receiver.recv() {
        for (write, sender) in iter::once(first).chain(receiver.try_iter()) {
            batch.push(write);
            waiting.push(sender);
        }
        peer.submit(&batch)?()?;
        batch.clear();
        for sender in waiting.drain(..) {
            let _ = sender.send(()); // a task that is gone has an error to tell
        }
    }
    Ok(())
}

/// The latencies of a task's puts, microseconds.
type Task = JoinHandle<Result<Vec<u32>, BenchError>>;

fn spawn<P: Putter>(runtime: &Runtime, job: &Job, tasks: u64, putter: &P) -> Vec<Task> {
    let spawn = |task| {
        let putter = putter.clone();
        let puts = of_task(job, task, tasks);
        runtime.spawn(async move {
            let mut latencies = Vec::with_capacity(puts.len());
            for write in puts {
                let started_at = Instant::now();
                putter.put(write).await?;
                latencies.push(started_at.elapsed().as_micros() as u32);
            }
            Ok(latencies)
        })
    };
    (0..tasks).map(spawn).collect()
}

async fn join(tasks: Vec<Task>) -> Result<Vec<Vec<u32>>, BenchError> {
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await.map_err(BenchError::at("wait"))??);
    }
    Ok(latencies)
}

fn quantiles(all: Vec<Vec<u32>>) -> Result<Quantiles, BenchError> {
    let mut durable = latencies()?;
    for micros in all.into_iter().flatten() {
        durable.record(u64::from(micros.max(1)))?;
    }
    Ok(Quantiles::of(&durable))
}
