//! When the engine has failed: the first cause, kept for everybody who asks later.
//!
//! A failed engine acknowledges nothing any more and never mends itself; its directory can be opened
//! again at the last durable commit. Not here: how stages notice (`stage`) and are halted
//! (`pipeline`).

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

/// A stage of the pipeline, in flow order.
///
/// ```
/// use trunkline::Stage;
/// assert_eq!(Stage::ALL.map(Stage::name), ["ingest", "tree", "hash", "kzg", "persist"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Orders, groups and seals submissions.
    Ingest,
    /// Applies a group to the tree.
    Tree,
    /// Brings the digests up to the version.
    Hash,
    /// Commits to the slots.
    Kzg,
    /// Appends to the log and syncs.
    Persist,
}

impl Stage {
    /// All five, in flow order.
    pub const ALL: [Self; 5] = [
        Self::Ingest,
        Self::Tree,
        Self::Hash,
        Self::Kzg,
        Self::Persist,
    ];

    /// Its name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Tree => "tree",
            Self::Hash => "hash",
            Self::Kzg => "kzg",
            Self::Persist => "persist",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why the engine answers no more. Clones share the cause.
///
/// Retrying on this engine can't help. After [`Self::Closed`], open it again; after the others, what
/// was acknowledged as durable is there when the directory is opened again, and what was not may
/// or may not be: ask before submitting it anew (a requirement on one of its keys does it).
///
/// ```
/// let failure = trunkline::EngineFailure::Closed;
/// assert!(!failure.retry_can_help());
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineFailure {
    /// The engine was shut down.
    #[error("the engine was shut down; open it again")]
    Closed,
    /// A stage panicked.
    #[error("stage {stage} panicked ({message}); shut the engine down and open it again")]
    Panic {
        /// Which one.
        stage: Stage,
        /// What it said.
        message: Arc<str>,
    },
    /// A thread beside the stages panicked: the keeper, which frees old versions, or the tuner.
    #[error("thread {thread} panicked ({message}); shut the engine down and open it again")]
    Thread {
        /// Its name.
        thread: Arc<str>,
        /// What it said.
        message: Arc<str>,
    },
    /// The disk or a store failed, or something impossible was seen.
    #[error("stage {stage} failed; shut the engine down, mend the cause and open it again")]
    Stage {
        /// Which one.
        stage: Stage,
        /// What it met.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A checkpoint failed.
    #[error("a checkpoint failed; shut the engine down, mend the cause and open it again")]
    Checkpoint {
        /// What it met.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl EngineFailure {
    /// Whether the same call on the same engine may succeed later: never.
    pub fn retry_can_help(&self) -> bool {
        false
    }

    pub fn stage(stage: Stage, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Stage {
            stage,
            source: Arc::new(source),
        }
    }

    pub fn panic(stage: Stage, payload: &(dyn std::any::Any + Send)) -> Self {
        Self::Panic {
            stage,
            message: panic_message(payload).into(),
        }
    }
}

/// What a panic said.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

/// A waiter whose work is gone.
pub trait Orphan: Send + Sync + fmt::Debug {
    fn fail(&self, cause: EngineFailure);
}

/// Healthy until the first failure, and failed for good from then on.
///
/// Work that meets a failure is dropped while the failure is still on its way up the stack; its
/// waiters are kept here as orphans and told the cause once it is known.
#[derive(Debug, Default)]
pub struct Health {
    failure: OnceLock<EngineFailure>,
    orphans: Mutex<Vec<Arc<dyn Orphan>>>,
}

impl Health {
    /// The first failure is kept. Says whether this was it.
    pub fn fail(&self, failure: EngineFailure) -> bool {
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.failure.set(failure).is_ok();
        let orphaned = std::mem::take(&mut *orphans);
        drop(orphans);
        for orphan in orphaned {
            orphan.fail(self.cause());
        }
        first
    }

    /// Takes a waiter whose work was dropped: told the cause now if it is known, else later.
    pub fn orphan(&self, orphan: Arc<dyn Orphan>) {
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        if self.failure.get().is_none() {
            orphans.push(orphan);
            return;
        }
        drop(orphans);
        orphan.fail(self.cause());
    }

    pub fn failure(&self) -> Option<&EngineFailure> {
        self.failure.get()
    }

    /// What to tell those who come after the failure.
    pub fn cause(&self) -> EngineFailure {
        self.failure().cloned().unwrap_or(EngineFailure::Closed)
    }

    pub fn check(&self) -> Result<(), EngineFailure> {
        match self.failure() {
            None => Ok(()),
            Some(failure) => Err(failure.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_one_that_is_told() {
        let health = Health::default();
        assert!(health.check().is_ok());
        assert!(health.fail(EngineFailure::panic(Stage::Hash, &"boom")));
        assert!(!health.fail(EngineFailure::Closed));
        let Err(EngineFailure::Panic { stage, message }) = health.check() else {
            unreachable!("the first failure was a panic");
        };
        assert_eq!((stage, &*message), (Stage::Hash, "boom"));
    }
}
