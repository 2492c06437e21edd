//! The KZG tables of a process: read from a file if a sound one is there, else built, and kept for
//! the next process.
//!
//! The tables are a constant and hold no state: a process has them once, its engines share them.
//! The file is a cache. Whatever is wrong with it costs the time of building the tables, never an
//! error; a wrong one can't pass, since the hash of the right tables is part of the build.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use trunkline_core::kzg::{Committer, Setup, SetupError, TABLES_BYTES, Tables};
use trunkline_core::store::disk::{OsDisk, read_file, replace_file};

use trunkline_actors::config::Config;
use trunkline_actors::metrics::Metrics;

/// Name of the file in an engine's directory, unless `kzg.tables_path` says otherwise.
const TABLES_FILE: &str = "KZG-TABLES";

static COMMITTER: OnceLock<Arc<Committer>> = OnceLock::new();
/// The tables were built and are in no file yet.
static UNKEPT: AtomicBool = AtomicBool::new(false);

/// Where a configuration wants the tables to be kept.
pub(crate) fn path(config: &Config) -> PathBuf {
    if config.kzg.tables_path.as_os_str().is_empty() {
        return config.engine.directory.join(TABLES_FILE);
    }
    config.kzg.tables_path.clone()
}

/// The committer over the embedded setup. Without tables that were read before, checking the setup
/// and building them takes 0.2 s.
pub(crate) fn committer() -> Result<Arc<Committer>, SetupError> {
    if let Some(committer) = COMMITTER.get() {
        return Ok(committer.clone());
    }
    let committer = Arc::new(Committer::new(&Setup::ceremony()?));
    Ok(COMMITTER
        .get_or_init(|| {
            UNKEPT.store(true, Ordering::Release);
            committer
        })
        .clone())
}

/// Takes the tables out of a file, if the process has none yet and the file is sound.
pub(crate) fn read(path: &Path) {
    if COMMITTER.get().is_some() {
        return;
    }
    if let Some(tables) = sound_tables(path) {
        COMMITTER.get_or_init(|| Arc::new(Committer::with_tables(tables)));
    }
}

/// Keeps tables that this process had to build. If that fails, the next one builds them as well.
pub(crate) fn keep(path: &Path, metrics: &Metrics) {
    let Some(committer) = COMMITTER.get() else {
        return;
    };
    if UNKEPT.swap(false, Ordering::AcqRel) {
        metrics.kzg_tables_built();
        let _ = write(path, committer.tables());
    }
}

fn sound_tables(path: &Path) -> Option<Tables> {
    let bytes = read_file(&OsDisk, path, TABLES_BYTES).ok()?;
    Tables::decode(&bytes).ok()
}

fn write(path: &Path, tables: &Tables) -> io::Result<()> {
    replace_file(&OsDisk, path, &tables.encode())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tables_come_back_from_their_file_and_damaged_ones_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(TABLES_FILE);
        assert!(sound_tables(&path).is_none(), "no file");
        let committer = committer().unwrap();
        write(&path, committer.tables()).unwrap();
        assert!(sound_tables(&path).as_ref() == Some(committer.tables()));

        let whole = fs::read(&path).unwrap();
        for offset in [0, 8, 10, 12, 44, 76, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[offset] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(sound_tables(&path).is_none(), "byte {offset}");
        }
        for length in [0, 75, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(sound_tables(&path).is_none(), "{length} bytes");
        }
        fs::write(&path, [&whole[..], b"1"].concat()).unwrap();
        assert!(sound_tables(&path).is_none(), "a byte too many");
        // What was passed over is replaced.
        write(&path, committer.tables()).unwrap();
        assert!(sound_tables(&path).is_some());
    }

    #[test]
    fn the_file_is_in_the_directory_unless_another_place_is_configured() {
        let mut config = Config::in_directory("here");
        assert_eq!(path(&config), Path::new("here/KZG-TABLES"));
        config.kzg.tables_path = "/cache/tables".into();
        assert_eq!(path(&config), Path::new("/cache/tables"));
    }
}
