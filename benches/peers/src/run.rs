//! One run: preload, updates, reads, proofs. Closed loops are timed only here.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engines::{Peer, with_engine};
use crate::error::BenchError;
use crate::figures::{Figures, ProofFigures, Quantiles, latencies};
use crate::job::Job;
use crate::workload::{self, Key, Updates, Write};
use crate::{open_loop, pipeline, process, single_puts};

/// The minimum time for which reads of a kind are timed.
const READ_TIME_MIN: Duration = Duration::from_millis(500);

/// Runs a job in a directory of its own, which is removed afterwards.
pub(crate) fn run(job: &Job) -> Result<Figures, BenchError> {
    let file_error = |source| BenchError::File {
        path: job.directory.clone(),
        source,
    };
    let directory = tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(&job.directory)
        .map_err(file_error)?;
    let state = directory.path().join("state");
    std::fs::create_dir(&state).map_err(file_error)?;
    let (mut figures, written_before) =
        with_engine(job, &state, |peer| match (job.schedule, job.line.tasks) {
            (Some(schedule), _) => open_loop::run(job, schedule, peer),
            (None, Some(tasks)) => single_puts::run(job, tasks, peer),
            (None, None) => closed_loop(job, peer),
        })?;
    let written = process::written_bytes() - written_before;
    figures.written_bytes_per_update = written as f64 / job.operations as f64;
    figures.disk_bytes = process::disk_bytes(&state);
    directory.close().map_err(file_error)?;
    Ok(figures)
}

fn closed_loop(job: &Job, mut peer: Box<dyn Peer + '_>) -> Result<(Figures, u64), BenchError> {
    let mut figures = Figures {
        preload_seconds: preload(job, peer.as_mut())?,
        ..Figures::default()
    };
    process::warm_memory().map_err(BenchError::Process)?;
    let written_before = process::written_bytes();
    update(job, peer.as_mut(), &mut figures)?;
    figures.resident_bytes = process::resident_bytes();
    figures.resident_bytes_peak = process::resident_bytes_peak();
    process::wait_until_idle();
    let expected = workload::sample(
        job.keys,
        job.fresh,
        job.batches(),
        job.reads.max(job.proofs),
    );
    read(job, peer.as_mut(), &expected, &mut figures)?;
    prove(job, peer.as_mut(), &expected, &mut figures)?;
    peer.close()?;
    Ok((figures, written_before))
}

/// Puts the keys that exist before the updates, and returns its time, which does not count otherwise. Later background
/// work for them counts for the engine.
pub(crate) fn preload(job: &Job, peer: &mut dyn Peer) -> Result<f64, BenchError> {
    let started_at = Instant::now();
    let mut from = 0;
    submit(job, peer, |batch| {
        let to = job.keys.min(from + job.preload_batch);
        workload::fill_preload(batch, from, to);
        from = to;
        !batch.is_empty()
    })?;
    Ok(started_at.elapsed().as_secs_f64())
}

/// Preloads, and waits until the engine is idle and memory is warm. Also returns the bytes written until then.
pub(crate) fn preload_and_rest(
    job: &Job,
    peer: &mut dyn Peer,
) -> Result<(Figures, u64), BenchError> {
    let figures = Figures {
        preload_seconds: preload(job, peer)?,
        ..Figures::default()
    };
    process::wait_until_idle();
    process::warm_memory().map_err(BenchError::Process)?;
    Ok((figures, process::written_bytes()))
}

fn update(job: &Job, peer: &mut dyn Peer, figures: &mut Figures) -> Result<(), BenchError> {
    let mut updates = Updates::after_preload(job.keys, job.fresh);
    let mut batches = job.batches();
    let cpu_before = process::cpu_seconds();
    let started_at = Instant::now();
    let durable = submit(job, peer, |batch| {
        let operations = batches.next();
        updates.fill(batch, operations.unwrap_or(0));
        operations.is_some()
    })?;
    let seconds = started_at.elapsed().as_secs_f64();
    figures.updates_per_second = job.operations as f64 / seconds;
    figures.cpu_seconds = process::cpu_seconds() - cpu_before;
    figures.durable = Quantiles::of(&durable);
    Ok(())
}

/// Submits batches until `fill` has no more, with at most the line's number of them in flight, and returns their
/// durable latencies.
fn submit(
    job: &Job,
    peer: &mut dyn Peer,
    mut fill: impl FnMut(&mut Vec<Write>) -> bool,
) -> Result<Histogram<u64>, BenchError> {
    if job.line.in_flight == 1 {
        return submit_in_turn(peer, fill);
    }
    let mut slots = job.line.in_flight;
    pipeline::submit(peer, |batch, landed| {
        if !fill(batch) {
            return None;
        }
        match slots.checked_sub(1) {
            Some(left) => slots = left,
            None => landed.recv().ok()?,
        }
        Some(Instant::now())
    })
}

fn submit_in_turn(
    peer: &mut dyn Peer,
    mut fill: impl FnMut(&mut Vec<Write>) -> bool,
) -> Result<Histogram<u64>, BenchError> {
    let mut durable = latencies()?;
    let mut batch = Vec::new();
    while fill(&mut batch) {
        let started_at = Instant::now();
        peer.submit(&batch)?()?;
        let micros = started_at.elapsed().as_micros() as u64;
        durable.record(micros.max(1))?;
    }
    Ok(durable)
}

fn read(
    job: &Job,
    peer: &mut dyn Peer,
    expected: &[Write],
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let present = &expected[..job.reads.min(expected.len())];
    let absent: Vec<Key> = (0..job.reads as u64).map(workload::absent_key).collect();
    for write in present {
        read_present(peer, write)?; // brings values into caches
    }
    figures.reads_present_per_second = again_and_again(present, |write| read_present(peer, write))?;
    figures.reads_absent_per_second = again_and_again(&absent, |key| read_absent(peer, key))?;
    Ok(())
}

/// Reads the same keys in passes until half a second is over: one pass is too short to be timed.
fn again_and_again<T>(
    items: &[T],
    mut read: impl FnMut(&T) -> Result<(), BenchError>,
) -> Result<f64, BenchError> {
    let started_at = Instant::now();
    let mut count = 0;
    loop {
        items.iter().try_for_each(&mut read)?;
        count += items.len();
        if count == 0 || started_at.elapsed() >= READ_TIME_MIN {
            return Ok(per_second(count, started_at));
        }
    }
}

/// Compares a present key's value with the one written last.
pub(crate) fn read_present(peer: &mut dyn Peer, write: &Write) -> Result<(), BenchError> {
    match peer.get(&write.key)? == Some(write.value) {
        true => Ok(()),
        false => Err(BenchError::WrongRead { read: "present" }),
    }
}

fn read_absent(peer: &mut dyn Peer, key: &Key) -> Result<(), BenchError> {
    match peer.get(key)? {
        None => Ok(()),
        Some(_) => Err(BenchError::WrongRead { read: "absent" }),
    }
}

fn per_second(count: usize, started_at: Instant) -> f64 {
    count as f64 / started_at.elapsed().as_secs_f64()
}

fn prove(
    job: &Job,
    peer: &mut dyn Peer,
    expected: &[Write],
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let kinds = peer.proof_kinds();
    if kinds.is_empty() || job.proofs == 0 {
        return Ok(());
    }
    let present = &expected[..job.proofs.min(expected.len())];
    let keys: Vec<Key> = present.iter().map(|write| write.key).collect();
    peer.prepare_proofs(&keys)?;
    for kind in kinds {
        figures.proofs.push(prove_kind(peer, kind, present)?);
        if peer.proves_absence() {
            prove_absence(peer, kind, job.proofs.min(100))?;
        }
    }
    Ok(())
}

fn prove_kind(
    peer: &mut dyn Peer,
    kind: &'static str,
    expected: &[Write],
) -> Result<ProofFigures, BenchError> {
    let count = expected.len() as f64;
    let started_at = Instant::now();
    let proofs = expected
        .iter()
        .map(|write| peer.prove(kind, &write.key))
        .collect::<Result<Vec<_>, _>>()?;
    let proving = started_at.elapsed();

    let mut pairs = expected.iter().zip(&proofs);
    let started_at = Instant::now();
    let all_hold = pairs.all(|(write, proof)| proof.shows(&write.key, Some(&write.value)));
    let verifying = started_at.elapsed();
    if !all_hold {
        return Err(BenchError::ProofRefused { kind });
    }

    let mut bytes = 0;
    for (write, proof) in expected.iter().zip(&proofs) {
        let mut other = write.value;
        other[0] ^= 1;
        if proof.shows(&write.key, Some(&other)) {
            return Err(BenchError::ProofShowsAnything { kind });
        }
        bytes += proof.encoded_bytes();
    }
    Ok(ProofFigures {
        kind: kind.to_owned(),
        prove_us: proving.as_secs_f64() * 1e6 / count,
        verify_us: verifying.as_secs_f64() * 1e6 / count,
        bytes: bytes as f64 / count,
    })
}

/// Checks, without timing it, that absent keys are proven absent, and not present.
fn prove_absence(peer: &mut dyn Peer, kind: &'static str, count: usize) -> Result<(), BenchError> {
    for index in 0..count as u64 {
        let key = workload::absent_key(index);
        let proof = peer.prove(kind, &key)?;
        if !proof.shows(&key, None) {
            return Err(BenchError::ProofRefused { kind });
        }
        if proof.shows(&key, Some(&workload::value(index))) {
            return Err(BenchError::ProofShowsAnything { kind });
        }
    }
    Ok(())
}
