//! The names of the stages, and the failures that stop an engine.
//!
//! A failed engine acknowledges nothing more and does not recover by itself. Its directory can be opened again at the
//! last durable commit.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_core::hash::hex;
use trunkline_core::record::Root;
use trunkline_core::store::own_directory::ReplacedError;

/// A stage of the pipeline, in flow order.
///
/// ```
/// use trunkline::Stage;
/// assert_eq!(Stage::ALL.map(Stage::name), ["ingest", "tree", "hash", "kzg", "persist"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Orders, groups and seals submissions.
    Ingest,
    /// Applies a group to the tree.
    Tree,
    /// Computes the digests of the version.
    Hash,
    /// Computes the KZG root.
    Kzg,
    /// Appends to the log and syncs.
    Persist,
}

impl Stage {
    /// All stages, in flow order.
    pub const ALL: [Self; 5] = [
        Self::Ingest,
        Self::Tree,
        Self::Hash,
        Self::Kzg,
        Self::Persist,
    ];

    /// Returns the name of the stage in metrics and messages.
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

/// The failure that stopped an engine. Clones share the cause.
///
/// Retrying on this engine cannot help. Open the directory again: it has everything that was acknowledged as durable. A
/// submission that was not acknowledged may or may not be there, so check before you submit it again; a requirement on
/// one of its keys does that. After [`Self::Closed`] there is no such doubt.
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
        /// The stage.
        stage: Stage,
        /// Message of the panic.
        message: Arc<str>,
    },
    /// A thread that is not a stage panicked: the background thread or the adaptive controller.
    #[error("thread {thread} panicked ({message}); shut the engine down and open it again")]
    Thread {
        /// Name of the thread.
        thread: Arc<str>,
        /// Message of the panic.
        message: Arc<str>,
    },
    /// The disk or a store failed, or a stage found invalid data.
    #[error("stage {stage} failed; shut the engine down, remove the cause, and open it again")]
    Stage {
        /// The stage.
        stage: Stage,
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The directory, or the log in it, was replaced, moved or deleted while the engine ran, or another process opened
    /// the tree too. Nothing was acknowledged since then; earlier acknowledged data is in the directory that this
    /// engine opened.
    #[error("the engine has stopped and acknowledges nothing more: {0}")]
    Replaced(ReplacedError),
    /// A version of a replica differs from the primary's. It was never shown to readers.
    #[error(transparent)]
    Diverged(Box<Divergence>),
    /// A checkpoint failed.
    #[error("a checkpoint failed; shut the engine down, remove the cause, and open it again")]
    Checkpoint {
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// The roots of one version: the one that the primary committed, and the one that the replica computed.
///
/// One of the two is wrong: data on one of the machines is damaged, their builds differ, or the primary signed a
/// version that it did not compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {} differs from what the primary committed (commit id {}, state digest {}, KZG root {}; here {}, {}, {}); \
     check both directories with `trunkline check`, and restore the damaged one from a backup",
    primary.version,
    hex(&primary.commit_id),
    hex(&primary.state_digest),
    root_text(primary),
    hex(&replica.commit_id),
    hex(&replica.state_digest),
    root_text(replica)
)]
pub struct Divergence {
    /// The root that the primary committed.
    pub primary: Root,
    /// The root that follows from the replica's data.
    pub replica: Root,
}

fn root_text(root: &Root) -> String {
    root.kzg_root
        .map_or_else(|| "none".to_owned(), |root| hex(&root))
}

impl EngineFailure {
    /// Returns the failure of a checkpoint.
    pub fn checkpoint(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::replaced(&source).unwrap_or_else(|| Self::Checkpoint {
            source: Arc::new(source),
        })
    }

    /// Returns the failure for an error that was caused by a replaced file or directory.
    fn replaced(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let mut of_disk = chain.filter_map(|error| error.downcast_ref::<std::io::Error>());
        let source = of_disk.find_map(ReplacedError::in_io)?;
        Some(Self::Replaced(source.clone()))
    }

    /// Returns whether the same call on this engine may succeed later, which is never the case.
    pub fn retry_can_help(&self) -> bool {
        false
    }

    /// Returns the failure of a stage that met an error.
    pub fn stage(stage: Stage, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::replaced(&source).unwrap_or_else(|| Self::Stage {
            stage,
            source: Arc::new(source),
        })
    }

    /// Returns the failure of a stage that panicked.
    pub fn panic(stage: Stage, payload: &(dyn std::any::Any + Send)) -> Self {
        Self::Panic {
            stage,
            message: panic_message(payload).into(),
        }
    }
}

/// Returns the message of a panic.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}
