//! Batches by the clock: each has an intended start, and its latency counts from there, so that a stall
//! is charged to every batch that it kept waiting and not only to the one that met it.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engines::{Peer, Pending};
use crate::error::BenchError;
use crate::figures::{Figures, Quantiles, latencies};
use crate::job::{Job, Schedule};
use crate::workload::Updates;
use crate::{process, run};

/// Preloads, then submits as scheduled; a thread waits for the batches in order.
pub(crate) fn run(
    job: &Job,
    schedule: Schedule,
    mut peer: Box<dyn Peer + '_>,
) -> Result<(Figures, u64), BenchError> {
    let mut figures = Figures {
        preload_seconds: run::preload(job, peer.as_mut())?,
        ..Figures::default()
    };
    process::wait_until_idle();
    process::warm_memory().map_err(BenchError::Process)?;
    let written_before = process::written_bytes();
    let cpu_before = process::cpu_seconds();
    let (sender, receiver) = mpsc::channel();
    let started_at = Instant::now();
    let durable = thread::scope(|scope| {
        let landing = scope.spawn(move || land(&receiver));
        let submitted = submit_all(job, schedule, peer.as_mut(), started_at, &sender);
        drop(sender);
        let landed = landing.join();
        submitted?;
        landed.map_err(|_| BenchError::at("wait")("the waiting thread panicked"))?
    })?;
    let seconds = started_at.elapsed().as_secs_f64();
    figures.updates_per_second = job.operations as f64 / seconds;
    figures.durable = Quantiles::of(&durable);
    figures.cpu_seconds = process::cpu_seconds() - cpu_before;
    figures.resident_bytes = process::resident_bytes();
    figures.resident_bytes_peak = process::resident_bytes_peak();
    peer.close()?;
    Ok((figures, written_before))
}

fn submit_all(
    job: &Job,
    schedule: Schedule,
    peer: &mut dyn Peer,
    started_at: Instant,
    sender: &mpsc::Sender<(Instant, Pending)>,
) -> Result<(), BenchError> {
    let interval = Duration::from_secs_f64(job.batch as f64 / schedule.rate);
    let mut updates = Updates::after_preload(job.keys, job.fresh);
    let mut batch = Vec::with_capacity(job.batch as usize);
    let mut intended_at = started_at;
    for operations in job.batches() {
        updates.fill(&mut batch, operations);
        thread::sleep(intended_at.saturating_duration_since(Instant::now()));
        let pending = peer.submit(&batch)?;
        if sender.send((intended_at, pending)).is_err() {
            break; // the waiting thread has an error to tell
        }
        intended_at += interval;
    }
    Ok(())
}

fn land(receiver: &mpsc::Receiver<(Instant, Pending)>) -> Result<Histogram<u64>, BenchError> {
    let mut durable = latencies()?;
    for (intended_at, pending) in receiver {
        pending()?;
        let micros = intended_at.elapsed().as_micros() as u64;
        durable.record(micros.max(1))?;
    }
    Ok(durable)
}
