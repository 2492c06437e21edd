//! The watch over the configuration file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::reload_error::ReloadError;
use crate::config::{Config, ConfigError};
use crate::failure::panic_message;

/// A function that builds the configuration from the file at a path.
type Rebuild = Box<dyn Fn(&Path) -> Result<Config, ConfigError> + Send>;

/// A configuration file that is read again when it has changed.
pub struct Watch {
    path: PathBuf,
    rebuild: Rebuild,
    /// The file's stamp when it was last read.
    read: Option<Stamp>,
    /// The file's stamp at the last look.
    seen: Option<Stamp>,
}

/// Modification time and length of a file.
type Stamp = (SystemTime, u64);

impl Watch {
    /// Watches a file, which `rebuild` reads.
    pub fn new(path: PathBuf, rebuild: Rebuild) -> Self {
        let read = stamp(&path);
        Self {
            path,
            rebuild,
            read,
            seen: read,
        }
    }

    /// Returns the new configuration if the file has changed since it was read.
    ///
    /// The file must be the same as at the last look, so that a file that is being written is not read halfway.
    pub fn look(&mut self) -> Option<Result<Config, ReloadError>> {
        let now = stamp(&self.path);
        let is_at_rest = std::mem::replace(&mut self.seen, now) == now;
        // A file that is being replaced is missing or empty for a moment.
        if !is_at_rest || now == self.read || now.is_none_or(|(_, bytes)| bytes == 0) {
            return None;
        }
        self.read = now;
        let rebuild = AssertUnwindSafe(|| (self.rebuild)(&self.path));
        Some(match catch_unwind(rebuild) {
            Ok(config) => config.map_err(ReloadError::from),
            Err(payload) => Err(ReloadError::Panic {
                message: panic_message(&*payload),
            }),
        })
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_what_makes_the_configuration_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        let mut watch = Watch::new(path.clone(), Box::new(|_| panic!("no such tenant")));
        std::fs::write(&path, "[group]\n").unwrap();
        assert!(watch.look().is_none());
        let error = watch.look().unwrap().unwrap_err();
        assert!(error.to_string().contains("no such tenant"), "{error}");
    }

    #[test]
    fn a_file_is_read_again_once_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        std::fs::write(&path, "[group]\nlinger_ms = 1\n").unwrap();
        let rebuild = |path: &Path| Config::layers().file(path)?.build();
        let mut watch = Watch::new(path.clone(), Box::new(rebuild));
        assert!(watch.look().is_none());
        // Another length: the time of a change may be too coarse to tell.
        std::fs::write(&path, "[group]\nlinger_ms = 22\n").unwrap();
        // It may be half written.
        assert!(watch.look().is_none());
        assert_eq!(watch.look().unwrap().unwrap().group.linger_ms, 22);
        assert!(watch.look().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(watch.look().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(watch.look().is_none() && watch.look().is_none());
        std::fs::write(&path, "[group]\nlinger = 1\n").unwrap();
        assert!(watch.look().is_none());
        assert!(watch.look().unwrap().is_err());
        assert!(watch.look().is_none());
    }
}
