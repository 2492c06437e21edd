//! Several batches in flight: one thread submits, another waits for them in order, so that a batch counts as durable
//! when the engine says so, not when the submitting thread has time to check.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::engines::{Peer, Pending};
use crate::error::BenchError;
use crate::figures::latencies;
use crate::workload::Write;

/// Submits batches until `next` has no more, and returns their durable latencies. `next` fills a batch, waits until it
/// is due, and returns the time from which its latency counts. For each durable batch it can receive one message.
pub(crate) fn submit(
    peer: &mut dyn Peer,
    next: impl FnMut(&mut Vec<Write>, &Receiver<()>) -> Option<Instant>,
) -> Result<Histogram<u64>, BenchError> {
    let (sender, receiver) = mpsc::channel();
    let (landed_sender, landed_receiver) = mpsc::channel();
    thread::scope(|scope| {
        let landing = scope.spawn(move || land(&receiver, &landed_sender));
        let submitted = submit_all(peer, next, &sender, &landed_receiver);
        drop(sender);
        let landed = landing.join();
        submitted?;
        landed.map_err(|_| BenchError::at("wait")("the waiting thread panicked"))?
    })
}

fn submit_all(
    peer: &mut dyn Peer,
    mut next: impl FnMut(&mut Vec<Write>, &Receiver<()>) -> Option<Instant>,
    sender: &Sender<(Instant, Pending)>,
    landed: &Receiver<()>,
) -> Result<(), BenchError> {
    let mut batch = Vec::new();
    while let Some(started_at) = next(&mut batch, landed) {
        let pending = peer.submit(&batch)?;
        if sender.send((started_at, pending)).is_err() {
            break; // the waiting thread has an error to tell
        }
    }
    Ok(())
}

fn land(
    batches: &Receiver<(Instant, Pending)>,
    landed: &Sender<()>,
) -> Result<Histogram<u64>, BenchError> {
    let mut durable = latencies()?;
    for (started_at, pending) in batches {
        pending()?;
        let micros = started_at.elapsed().as_micros() as u64;
        durable.record(micros.max(1))?;
        let _ = landed.send(()); // after the last batch nobody listens
    }
    Ok(durable)
}
