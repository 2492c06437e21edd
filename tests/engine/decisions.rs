//! Decisions of the adaptive controller are carried out and recorded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use trunkline::config::ControlMode;
use trunkline::decisions::{Change, Decision, Reason, Work};
use trunkline::{Config, Engine, ProveOptions, TopKind};

use crate::support::{Rig, puts, submit, until, without_hanging};

const CAP: u64 = 64;
const CAP_MIN: u64 = 16;
const CAP_MAX: u64 = 256;
/// One more would still be fewer than the groups that the pipeline takes, so a slow machine does not look like a stall.
const IN_FLIGHT: usize = 2;
/// Operations of a submission: one fills a group, so groups do not depend on the speed of callers.
const SUBMISSION: u64 = CAP;
/// A latency target that is always met, so that only throughput counts.
const TARGET_MS: u64 = 60_000;

fn rig(change: impl FnOnce(&mut Config)) -> Rig {
    Rig::with(|config| {
        config.group.operations_max = CAP as usize;
        config.control.window_ms = 10;
        config.control.target_p99_ms = TARGET_MS;
        config.control.group_operations_min = CAP_MIN;
        config.control.group_operations_max = CAP_MAX;
        change(config);
    })
}

/// A thread that keeps submissions in flight until this is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn of(engine: &Engine) -> Self {
        let (engine, stop) = (engine.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let work = move || {
            let mut receipts = VecDeque::new();
            for round in 0_u64.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let keys = (0..SUBMISSION).map(|key| (round % 64) * SUBMISSION + key);
                let batch = puts(keys.map(|key| (key.to_le_bytes(), round.to_le_bytes())));
                receipts.push_back(engine.submit_blocking(batch).unwrap());
                if receipts.len() > IN_FLIGHT
                    && let Some(oldest) = receipts.pop_front()
                {
                    oldest.durable_blocking().unwrap();
                }
            }
        };
        Self {
            stop,
            thread: Some(std::thread::spawn(work)),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// Returns the decisions about the cap, each with the old and the new cap.
fn caps(engine: &Engine) -> Vec<(Decision, u64, u64)> {
    let decisions = engine.decisions_since(0).into_iter();
    let caps = decisions.filter_map(|decision| match decision.change {
        Change::GroupOperationsMax { from, to } => Some((decision, from, to)),
        _ => None,
    });
    caps.collect()
}

#[test]
fn a_cap_is_moved_with_reason_and_figures_and_windows_show_it() {
    without_hanging(|| {
        let rig = rig(|config| config.control.mode = ControlMode::Adaptive);
        let engine = rig.open();
        let load = Load::of(&engine);
        until(|| !caps(&engine).is_empty());
        let (first, ..) = caps(&engine).swap_remove(0);
        let shown = || engine.windows_since(0).last().map(|last| last.ended_us);
        until(|| shown() > Some(first.at_us));
        drop(load);

        // Windows are read first: every decision that a window shows is then among the decisions.
        let windows = engine.windows_since(0);
        let caps = caps(&engine);
        let (mut cap, mut rest) = (CAP, caps.as_slice());
        for window in &windows {
            while let [(decision, from, to), later @ ..] = rest
                && decision.at_us < window.ended_us
            {
                assert_eq!(*from, cap, "{decision:?}");
                (cap, rest) = (*to, later);
            }
            assert_eq!(window.group_operations_max, cap, "{window:?}");
            assert!((CAP_MIN..=CAP_MAX).contains(&cap));
        }
        assert!(rest.len() < caps.len());
        let expected = match caps[0].2 > CAP {
            true => Reason::RoomBelowTarget,
            false => Reason::Probe,
        };
        assert_eq!(first.reason, expected);
        assert!(first.seen.samples > 0 && first.seen.operations_per_second > 0);
        assert_eq!(first.seen.target_p99_us, TARGET_MS * 1000);
        assert!(engine.metrics().decisions >= caps.len() as u64);
    });
}

#[test]
fn shards_of_proofs_are_tried_and_windows_show_it() {
    const PIECES: usize = 2;
    without_hanging(|| {
        let rig = rig(|config| {
            config.control.mode = ControlMode::Fixed;
            config.control.workers = ControlMode::Adaptive;
            // Each window must see several hundred proven keys, even on a busy machine.
            config.control.window_ms = 100;
            (
                config.workers.read_threads,
                config.workers.proof_parallelism,
            ) = (4, PIECES);
        });
        let engine = rig.open();
        let keys: Vec<[u8; 8]> = (0..64_u64).map(u64::to_le_bytes).collect();
        submit(&engine, puts(keys.iter().map(|key| (key, "v"))));
        let tried = || -> Vec<(Decision, u64)> {
            let decisions = engine.decisions_since(0).into_iter();
            let tried = decisions.filter_map(|decision| match decision.change {
                Change::Parallelism { work, to, .. } => {
                    assert_eq!(work, Work::Proof);
                    Some((decision, to))
                }
                _ => None,
            });
            tried.collect()
        };
        let snapshot = engine.snapshot();
        let hash_tops = ProveOptions {
            top: TopKind::Hash,
            ..ProveOptions::default()
        };
        let prove = || {
            let proofs = snapshot.prove_each(&keys, &hash_tops);
            assert_eq!(proofs.unwrap().len(), keys.len());
        };
        until(|| {
            prove();
            let (first, last) = (tried().into_iter().next(), engine.windows_since(0));
            first.is_some_and(|(first, _)| last.last().is_some_and(|w| w.ended_us > first.at_us))
        });
        let (windows, tried) = (engine.windows_since(0), tried());
        let (mut shards, mut rest) = (PIECES as u64, tried.as_slice());
        for window in &windows {
            while let [(decision, to), later @ ..] = rest
                && decision.at_us < window.ended_us
            {
                (shards, rest) = (*to, later);
            }
            assert_eq!(window.proof_parallelism, shards, "{window:?}");
            assert_eq!((window.tree_parallelism, window.hash_parallelism), (1, 1));
        }
        assert!(rest.len() < tried.len());
        assert_eq!((tried[0].0.reason, tried[0].1), (Reason::Probe, 4));
    });
}

#[test]
fn nothing_is_moved_in_mode_fixed() {
    without_hanging(|| {
        let rig = rig(|config| {
            config.control.mode = ControlMode::Fixed;
            config.control.workers = ControlMode::Fixed;
        });
        let engine = rig.open();
        let load = Load::of(&engine);
        until(|| !engine.windows_since(50).is_empty());
        drop(load);
        let windows = engine.windows_since(0);
        assert!(windows.iter().any(|window| window.groups_full > 0));
        let as_set = |cap: u64| cap == CAP;
        assert!(
            windows
                .iter()
                .all(|window| as_set(window.group_operations_max))
        );
        let decisions = engine.decisions_since(0);
        assert!(decisions.is_empty(), "{decisions:?}");
    });
}
