//! Watches the configuration file.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::reload_error::ReloadError;
use crate::config::{Config, ConfigError, FILE_BYTES_MAX};
use crate::failure::panic_message;

/// A function that builds the configuration from the file at a path.
type Rebuild = Box<dyn Fn(&Path) -> Result<Config, ConfigError> + Send>;

/// A configuration file that is read again when its content has changed. Its time and length are not enough: a file may
/// change twice within the resolution of its time, and some tools preserve times.
pub struct Watch {
    path: PathBuf,
    rebuild: Rebuild,
    /// The file's content when the configuration was last built.
    built: Option<Vec<u8>>,
    /// The file's content at the last check.
    seen: Option<Vec<u8>>,
}

impl Watch {
    /// Watches a file, which `rebuild` reads.
    pub fn new(path: PathBuf, rebuild: Rebuild) -> Self {
        let content = content(&path);
        Self {
            path,
            rebuild,
            built: content.clone(),
            seen: content,
        }
    }

    /// Returns the new configuration if the file has changed since it was read.
    ///
    /// The file must be the same as at the last check, so that a partly written file is not read.
    pub fn look(&mut self) -> Option<Result<Config, ReloadError>> {
        let now = content(&self.path);
        let is_at_rest = now == self.seen;
        self.seen = now;
        // A file that is being replaced is missing or empty for a moment.
        if !is_at_rest || self.seen == self.built || self.seen.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        self.built.clone_from(&self.seen);
        let rebuild = AssertUnwindSafe(|| (self.rebuild)(&self.path));
        Some(match catch_unwind(rebuild) {
            Ok(config) => config.map_err(ReloadError::from),
            Err(payload) => Err(ReloadError::Panic {
                message: panic_message(&*payload),
            }),
        })
    }
}

/// Returns the content of a regular file, up to one byte more than a configuration may have. A FIFO or a device has
/// none: it could block the thread.
fn content(path: &Path) -> Option<Vec<u8>> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let mut content = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX + 1);
    bounded.read_to_end(&mut content).ok()?;
    Some(content)
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
        std::fs::write(&path, "[group]\nlinger_ms = 2\n").unwrap();
        // It may be incomplete.
        assert!(watch.look().is_none());
        assert_eq!(watch.look().unwrap().unwrap().group.linger_ms, 2);
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

    #[test]
    fn a_change_that_keeps_time_and_length_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        std::fs::write(&path, "[group]\nlinger_ms = 1\n").unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        let rebuild = |path: &Path| Config::layers().file(path)?.build();
        let mut watch = Watch::new(path.clone(), Box::new(rebuild));
        std::fs::write(&path, "[group]\nlinger_ms = 7\n").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(written).unwrap();
        assert!(watch.look().is_none());
        assert_eq!(watch.look().unwrap().unwrap().group.linger_ms, 7);
        // A new time alone is not a change.
        file.set_modified(written + std::time::Duration::from_secs(60))
            .unwrap();
        assert!(watch.look().is_none() && watch.look().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [fifo, "/dev/zero".into(), directory.path().to_owned()] {
            let mut watch = Watch::new(path, Box::new(|_| panic!("it is not read")));
            assert!(watch.look().is_none() && watch.look().is_none());
        }
    }
}
