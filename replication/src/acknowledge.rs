//! The level that a submission must reach before it is acknowledged: the engine's own log, the stream's majority, or
//! replicas.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use trunkline::{Durable, EngineFailure, Receipt};

use crate::primary::{Level, LevelError, Primary};

/// The level that submissions must reach, and the longest wait for it.
///
/// ```
/// use trunkline_replication::{Acknowledge, Level};
/// let configured: Level = "followed:2".parse()?;
/// assert_eq!(configured, Level::Followed(2));
/// assert_eq!(Acknowledge::default().level, Level::Durable);
/// # Ok::<(), trunkline_replication::UnknownLevel>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// The level.
    pub level: Level,
    /// Longest time from durable in the engine's own log to the level.
    pub timeout: Duration,
}

impl Default for Acknowledge {
    fn default() -> Self {
        Self {
            level: Level::Durable,
            timeout: Duration::from_secs(10),
        }
    }
}

/// The reason why a submission is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgeError {
    /// The engine failed before the submission was durable in its own log. The submission may or may not be in the log.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The submission is durable in the engine's own log, but has not reached the level. Either the time is over
    /// ([`LevelError::Timeout`]; it may still reach the level), or its outcome is unknown.
    #[error("version {} is durable only here", durable.version)]
    Level {
        /// The facts of the durable submission.
        durable: Box<Durable>,
        /// The reason why the level was not reached.
        source: LevelError,
    },
}

impl Primary {
    /// Waits until a submission has reached the level that the options name (`acknowledge`).
    ///
    /// # Errors
    ///
    /// Fails if the engine failed before the submission was durable. If it is durable in the engine's own log but has
    /// not reached the level, the error has the receipt's facts, and distinguishes a timeout from a failure.
    pub async fn acknowledged(&self, receipt: &Receipt) -> Result<Durable, AcknowledgeError> {
        let durable = receipt.durable().await?;
        let Acknowledge { level, timeout } = self.acknowledge();
        match self.wait_for(durable.version, level, timeout).await {
            Ok(()) => Ok(durable),
            Err(source) => Err(AcknowledgeError::Level {
                durable: Box::new(durable),
                source,
            }),
        }
    }
}

/// The text is not the name of a level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a level is `durable`, `replicated` or `followed:` and a number of replicas from 1 on, not {0:?}"
)]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let followed = |count: &str| count.parse().ok().filter(|count| *count > 0);
        match (text, text.strip_prefix("followed:").and_then(followed)) {
            ("durable", _) => Ok(Self::Durable),
            ("replicated", _) => Ok(Self::Replicated),
            (_, Some(count)) => Ok(Self::Followed(count)),
            _ => Err(UnknownLevel(text.to_owned())),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable => formatter.write_str("durable"),
            Self::Replicated => formatter.write_str("replicated"),
            Self::Followed(count) => write!(formatter, "followed:{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_are_written() {
        for level in [Level::Durable, Level::Replicated, Level::Followed(3)] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for text in [
            "",
            "Durable",
            "followed",
            "followed:",
            "followed:0",
            "followed:x",
        ] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
