//! Batches by the clock: each has an intended start from which its latency counts, so that a stall counts for every
//! batch that it delayed, and not only for the first.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engines::Peer;
use crate::error::BenchError;
use crate::figures::{Figures, Quantiles};
use crate::job::{Job, Schedule};
use crate::workload::Updates;
use crate::{pipeline, process, run};

/// Preloads, then submits on schedule; a thread waits for the batches in order.
pub(crate) fn run(
    job: &Job,
    schedule: Schedule,
    mut peer: Box<dyn Peer + '_>,
) -> Result<(Figures, u64), BenchError> {
    let (mut figures, written_before) = run::preload_and_rest(job, peer.as_mut())?;
    let cpu_before = process::cpu_seconds();
    let started_at = Instant::now();
    let durable = submit_all(job, schedule, peer.as_mut(), started_at)?;
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
) -> Result<Histogram<u64>, BenchError> {
    let interval = Duration::from_secs_f64(job.batch as f64 / schedule.rate);
    let mut updates = Updates::after_preload(job.keys, job.fresh);
    let mut batches = job.batches();
    let mut due_at = started_at;
    pipeline::submit(peer, |batch, _| {
        updates.fill(batch, batches.next()?);
        let intended_at = due_at;
        due_at += interval;
        thread::sleep(intended_at.saturating_duration_since(Instant::now()));
        Some(intended_at)
    })
}
