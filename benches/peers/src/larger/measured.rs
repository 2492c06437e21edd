//! The child: fills a state, or runs the phases on one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::choice::{Chooser, Distribution};
use super::{LargerJob, cgroup};
use crate::engines::{Peer, with_engine};
use crate::error::BenchError;
use crate::figures::Quantiles;
use crate::job::Job;
use crate::workload::{self, Write};
use crate::{pipeline, process, run};

/// The figures of one child.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Measured {
    /// The time of the fill, if this was one, seconds.
    pub(crate) fill_seconds: f64,
    /// The time of opening, seconds.
    pub(crate) open_seconds: f64,
    /// Puts a second, by phase.
    pub(crate) puts: Vec<Puts>,
    /// Reads of present keys a second, uniformly chosen.
    pub(crate) reads_per_second: f64,
    /// The resident bytes after the last phase.
    pub(crate) resident_bytes: u64,
    /// The peak of the resident bytes.
    pub(crate) resident_bytes_peak: u64,
    /// The engine's own count of its memory after the last phase, by owner, if it has one.
    pub(crate) counted_bytes: Vec<(String, u64)>,
    /// The bytes allocated to the engine's files after it was closed.
    pub(crate) disk_bytes: u64,
}

/// A phase of puts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Puts {
    pub(crate) distribution: Distribution,
    pub(crate) per_second: f64,
    pub(crate) durable: Quantiles,
    /// The bytes handed to block devices for each put.
    pub(crate) written_bytes: f64,
    pub(crate) cpu_seconds: f64,
}

/// Does the work that the parent asks for.
pub(crate) fn measure_in_child(larger: &LargerJob) -> Result<Measured, BenchError> {
    if let Some(group) = &larger.group {
        cgroup::enter(group)?;
    }
    let (job, opening) = (&larger.job, Instant::now());
    let mut measured = with_engine(job, &job.directory, |peer| {
        let opened_s = opening.elapsed().as_secs_f64();
        match larger.seconds {
            None => fill(job, peer),
            Some(seconds) => {
                let mut measured = phases(job, Duration::from_secs(seconds), peer)?;
                measured.open_seconds = opened_s;
                Ok(measured)
            }
        }
    })?;
    measured.disk_bytes = process::disk_bytes(&job.directory);
    Ok(measured)
}

fn fill(job: &Job, mut peer: Box<dyn Peer + '_>) -> Result<Measured, BenchError> {
    let fill_seconds = run::preload(job, peer.as_mut())?;
    peer.close()?;
    Ok(Measured {
        fill_seconds,
        ..Measured::default()
    })
}

fn phases(
    job: &Job,
    length: Duration,
    mut peer: Box<dyn Peer + '_>,
) -> Result<Measured, BenchError> {
    let mut measured = Measured::default();
    let uniform = put_for(job, length, Distribution::Uniform, peer.as_mut())?;
    measured.puts.push(uniform);
    measured.reads_per_second = read_for(job, length, peer.as_mut())?;
    for distribution in [Distribution::Hot, Distribution::Zipf] {
        let puts = put_for(job, length, distribution, peer.as_mut())?;
        measured.puts.push(puts);
    }
    measured.resident_bytes = process::resident_bytes();
    measured.resident_bytes_peak = process::resident_bytes_peak();
    measured.counted_bytes = peer.memory_by_owner();
    peer.close()?;
    Ok(measured)
}

fn put_for(
    job: &Job,
    length: Duration,
    distribution: Distribution,
    peer: &mut dyn Peer,
) -> Result<Puts, BenchError> {
    let mut chooser = Chooser::new(distribution, job.keys, distribution as u64);
    let (written, cpu) = (process::written_bytes(), process::cpu_seconds());
    let (started_at, mut count, mut slots) = (Instant::now(), 0, job.line.in_flight);
    let mut chosen = HashSet::new();
    let durable = pipeline::submit(peer, |batch, landed| {
        if started_at.elapsed() >= length {
            return None;
        }
        fill_batch(batch, &mut chosen, &mut chooser, job);
        match slots.checked_sub(1) {
            Some(left) => slots = left,
            None => landed.recv().ok()?,
        }
        count += batch.len();
        Some(Instant::now())
    })?;
    let seconds = started_at.elapsed().as_secs_f64();
    let written = process::written_bytes() - written;
    Ok(Puts {
        distribution,
        per_second: count as f64 / seconds,
        durable: Quantiles::of(&durable),
        written_bytes: written as f64 / count.max(1) as f64,
        cpu_seconds: process::cpu_seconds() - cpu,
    })
}

/// Fills a batch. No key occurs twice in it, since not every engine accepts that.
fn fill_batch(batch: &mut Vec<Write>, chosen: &mut HashSet<u64>, chooser: &mut Chooser, job: &Job) {
    batch.clear();
    chosen.clear();
    while (batch.len() as u64) < job.batch {
        let index = chooser.next();
        if chosen.insert(index) {
            batch.push(Write {
                key: workload::key(index),
                value: updated(index, job),
            });
        }
    }
}

fn updated(index: u64, job: &Job) -> workload::Value {
    workload::value(job.keys + index)
}

fn read_for(job: &Job, length: Duration, peer: &mut dyn Peer) -> Result<f64, BenchError> {
    let mut chooser = Chooser::new(Distribution::Uniform, job.keys, u64::MAX / 3);
    let (started_at, mut count) = (Instant::now(), 0_u64);
    while started_at.elapsed() < length {
        for _ in 0..64 {
            let index = chooser.next();
            let found = peer.get(&workload::key(index))?;
            if found != Some(workload::value(index)) && found != Some(updated(index, job)) {
                return Err(BenchError::WrongRead { read: "present" });
            }
        }
        count += 64;
    }
    Ok(count as f64 / started_at.elapsed().as_secs_f64())
}
