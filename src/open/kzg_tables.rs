//! Step 3 of opening: the KZG tables are read from a file, or built and later stored for the next process.
//!
//! The tables are a constant. A process has them once, and its engines share them. The file is a cache: if it is
//! missing or damaged, the tables are built. A wrong file is recognised, since the hash of the right tables is compiled
//! in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use trunkline_actors::config::Config;
use trunkline_actors::metrics::Metrics;
use trunkline_core::kzg::{Committer, Setup, SetupError, TABLES_BYTES, Tables};
use trunkline_core::store::disk::{OsDisk, read_file, replace_file};

/// The name of the file in an engine's directory, if `kzg.tables_path` is empty.
pub(crate) const TABLES_FILE: &str = "KZG-TABLES";

static COMMITTER: OnceLock<Arc<Committer>> = OnceLock::new();
/// True if the tables were built and not stored yet.
static UNSTORED: AtomicBool = AtomicBool::new(false);

/// Returns the path of the file with the tables.
pub(crate) fn path(config: &Config) -> PathBuf {
    if config.kzg.tables_path.as_os_str().is_empty() {
        return config.engine.directory.join(TABLES_FILE);
    }
    config.kzg.tables_path.clone()
}

/// Returns the committer of the process. If [`read`] found no tables, the first call checks the embedded setup and
/// builds them, which takes 0.2 s.
pub(crate) fn committer() -> Result<Arc<Committer>, SetupError> {
    if let Some(committer) = COMMITTER.get() {
        return Ok(committer.clone());
    }
    let committer = Arc::new(Committer::new(&Setup::ceremony()?));
    Ok(COMMITTER
        .get_or_init(|| {
            UNSTORED.store(true, Ordering::Release);
            committer
        })
        .clone())
}

/// Reads the tables from a file, if the process has none yet and the file is valid.
pub(crate) fn read(path: &Path) {
    if COMMITTER.get().is_some() {
        return;
    }
    if let Some(tables) = sound_tables(path) {
        COMMITTER.get_or_init(|| Arc::new(Committer::with_tables(tables)));
    }
}

/// Stores tables that this process had to build. If that fails, the next process builds them too.
pub(crate) fn store(path: &Path, metrics: &Metrics) {
    if let Some(committer) = COMMITTER.get()
        && UNSTORED.swap(false, Ordering::AcqRel)
    {
        metrics.kzg_tables_built();
        let _ = write(path, committer.tables());
    }
}

fn sound_tables(path: &Path) -> Option<Tables> {
    let bytes = read_file(&OsDisk, path, TABLES_BYTES).ok()?;
    Tables::decode(&bytes).ok()
}

pub(crate) fn write(path: &Path, tables: &Tables) -> io::Result<()> {
    replace_file(&OsDisk, path, &tables.encode())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tables_are_read_from_their_file_and_a_damaged_file_is_ignored() {
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
        // A damaged file is replaced.
        write(&path, committer.tables()).unwrap();
        assert!(sound_tables(&path).is_some());
    }

    #[test]
    fn the_file_is_in_the_directory_unless_another_path_is_configured() {
        let mut config = Config::in_directory("here");
        assert_eq!(path(&config), Path::new("here/KZG-TABLES"));
        config.kzg.tables_path = "/cache/tables".into();
        assert_eq!(path(&config), Path::new("/cache/tables"));
    }
}
