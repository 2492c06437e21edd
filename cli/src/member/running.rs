//! Starts a member: a primary with its archiver, or a replica that reads from the archive the versions that the stream
//! no longer has. Every command that runs a member uses these functions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trunkline::core::params::Nonce;
use trunkline::core::store::archive::TREE_OBJECT;
use trunkline::{Config, Engine, EngineBuilder, Replica};
use trunkline_archive::{
    AccessError, Archive, Archiver, ArchiverOptions, FrameReader, RestoreError, RouteError, Trust,
};
use trunkline_load::error_chain;
use trunkline_replication::nats::NatsCarrier;
use trunkline_replication::{
    ArchiveError, ArchivedFrames, Following, Loss, Options, Primary, PromoteError, Rejoined,
    StreamError,
};

use super::file::MemberFile;
use crate::backup::attend::attend;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, grouped};
use crate::single::cannot_open;

/// A member whose file was read.
pub(crate) struct Member {
    file: MemberFile,
    options: Options,
    archive: Option<Archive>,
}

impl Member {
    /// Reads a member file. Connects to nothing yet.
    pub(crate) fn read(path: &Path) -> Result<Self, CommandError> {
        let file = MemberFile::read(path)?;
        Ok(Self {
            options: file.options(path)?,
            archive: file.archive(path)?,
            file,
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    async fn connect(&self) -> Result<Arc<NatsCarrier>, CommandError> {
        Ok(self.file.connect().await?)
    }

    /// Makes an engine the primary. It must have written nothing since it was opened. If this fails, the engine is shut
    /// down.
    pub(crate) async fn lead(&self, engine: Engine) -> Result<Leading, CommandError> {
        let started = async {
            let carrier = self.connect().await?;
            let options = self.options.clone();
            Ok(Primary::start(engine.clone(), carrier, options).await?)
        };
        match started.await {
            Ok(primary) => Ok(self.archived(primary)),
            Err(error) => {
                let _failed_before = engine.shutdown().await;
                Err(error)
            }
        }
    }

    /// Archives the versions that a primary writes, if the member has an archive.
    pub(crate) fn archived(&self, primary: Primary) -> Leading {
        let options = || ArchiverOptions {
            key: Some(self.options.key.clone()),
            ..ArchiverOptions::default()
        };
        let engine = primary.engine().clone();
        let archive = self.archive.clone();
        let archiver = archive.map(|archive| Archiver::start(engine, archive, options()));
        Leading {
            primary: Arc::new(primary),
            archiver,
        }
    }

    /// Returns a function that opens the directory of a replica; `None` if preparing it was interrupted.
    ///
    /// An empty or absent directory is restored from the archive, which the pinned keys must have signed. Without an
    /// archive, or with one that shows nobody's signature yet, it is created: with the nonce, or as the archive says.
    pub(crate) fn replica(
        &self,
        config: &Config,
        nonce: Option<Nonce>,
        interrupt: &Interrupt,
    ) -> Result<Option<EngineBuilder>, CommandError> {
        let directory = &config.engine.directory;
        let builder = Engine::builder(config.clone());
        match (nonce, &self.archive) {
            (Some(nonce), _) => Ok(Some(builder.nonce(nonce))),
            (None, _) if has_files(directory) => Ok(Some(builder)),
            (None, None) => Err(CommandError::NoReplica(directory.clone())),
            (None, Some(archive)) => {
                let restored = self.restore(archive, config, builder);
                attend("restore", archive, interrupt, restored)?.transpose()
            }
        }
    }

    async fn restore(
        &self,
        archive: &Archive,
        config: &Config,
        builder: EngineBuilder,
    ) -> Result<EngineBuilder, CommandError> {
        let trust = Trust {
            keys: self.options.keys.clone(),
            ..Trust::default()
        };
        match archive.restore(None, config, &trust).await {
            Ok(restored) => {
                let version = grouped(restored.position.version);
                output::tell(format!("restored version {version} from the archive"));
                Ok(builder)
            }
            Err(RestoreError::NotSigned { .. } | RestoreError::Route(RouteError::NoBase)) => {
                Ok(builder.params(&archive.params().await?))
            }
            Err(RestoreError::Access(AccessError::Missing { object })) if object == TREE_OBJECT => {
                Err(CommandError::NoReplica(config.engine.directory.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the directory of a replica, and follows the stream.
    pub(crate) async fn follow(
        &self,
        config: &Config,
        builder: EngineBuilder,
    ) -> Result<Following, CommandError> {
        let carrier = self.connect().await?;
        let replica = builder.open_replica(self.options.keys.clone()).await;
        let replica = replica.map_err(cannot_open(&config.engine.directory))?;
        self.follow_with(replica, carrier).await
    }

    async fn follow_with(
        &self,
        replica: Replica,
        carrier: Arc<NatsCarrier>,
    ) -> Result<Following, CommandError> {
        let archive = self.archive.clone().map(|archive| {
            let archive: Arc<dyn trunkline_replication::Archive> =
                Arc::new(Fallback(FrameReader::new(archive)));
            archive
        });
        Ok(Following::start(replica, carrier, self.options.clone(), archive).await?)
    }

    /// Makes a replica the primary. `loss` is given if the carrier lost acknowledged data. Archives nothing yet.
    pub(crate) async fn promote(
        &self,
        following: Following,
        loss: Option<Loss>,
    ) -> Result<Primary, CommandError> {
        let (carrier, options) = (self.connect().await?, self.options.clone());
        Ok(match loss {
            None => following.promote(carrier, options).await?,
            Some(loss) => following.promote_after_loss(carrier, options, loss).await?,
        })
    }

    /// Makes a replica of a silent primary the primary itself; follows again if that is not possible now.
    pub(crate) async fn take_over(&self, following: Following) -> Result<TakenOver, CommandError> {
        let (carrier, options) = (self.connect().await?, self.options.clone());
        let replica = following.replica().clone();
        let promoted = following.promote_if_silent(carrier.clone(), options).await;
        match promoted {
            Ok(primary) => Ok(TakenOver::Leading(self.archived(primary))),
            Err(error) if can_follow_after(&error) => {
                output::tell(format!("not promoted: {}", error_chain(&error)));
                let following = self.follow_with(replica, carrier).await?;
                Ok(TakenOver::Following(following))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a directory with a surplus follow again.
    pub(crate) async fn rejoin(
        &self,
        config: Config,
        surplus: &Path,
    ) -> Result<Rejoined, CommandError> {
        let (carrier, options) = (self.connect().await?, self.options.clone());
        let rejoined = trunkline_replication::rejoin(config, carrier, options, surplus.into());
        rejoined
            .await
            .map_err(|error| CommandError::Rejoin(Box::new(error)))
    }
}

/// The role of a replica after its primary fell silent.
pub(crate) enum TakenOver {
    /// The primary.
    Leading(Leading),
    /// Still a replica.
    Following(Following),
}

/// Returns whether a failed promotion has changed nothing.
fn can_follow_after(error: &PromoteError) -> bool {
    matches!(
        error,
        PromoteError::Heard
            | PromoteError::OthersAhead { .. }
            | PromoteError::Held
            | PromoteError::Unsteady
            | PromoteError::Stream(StreamError::Carrier(_))
    )
}

fn has_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// The archive, for a replica.
struct Fallback(FrameReader);

impl trunkline_replication::Archive for Fallback {
    fn frames(&self, from: u64, until: u64) -> ArchivedFrames<'_> {
        Box::pin(async move {
            let frames = self.0.frames(from, until).await;
            frames.map_err(|error| ArchiveError {
                cause: error_chain(&error),
                may_pass: error.may_pass(),
            })
        })
    }
}

/// A primary with its archiver.
pub(crate) struct Leading {
    primary: Arc<Primary>,
    archiver: Option<Archiver>,
}

impl Leading {
    pub(crate) fn primary(&self) -> &Arc<Primary> {
        &self.primary
    }

    /// Writes the missing versions to the archive, in one attempt, and ends archiving. If that fails, it says so on
    /// standard error; nothing is lost, since the log is held until the next archiver has written them.
    ///
    /// Call it before the engine is shut down.
    pub(crate) async fn stop_archiving(&mut self) {
        let Some(archiver) = self.archiver.take() else {
            return;
        };
        match archiver.stop().await {
            Ok(status) => {
                let version = status.archived.map_or(0, |archived| archived.version);
                output::tell(format!("version {} is archived", grouped(version)));
            }
            Err(error) => output::tell(format!("not archived: {}", error_chain(&error))),
        }
    }

    /// Ends archiving, shuts the engine down, and publishes the remaining versions, for at most `timeout`.
    pub(crate) async fn shutdown(mut self, timeout: Duration) -> Result<(), CommandError> {
        self.stop_archiving().await;
        Ok(self.primary.shutdown(timeout).await?)
    }
}
