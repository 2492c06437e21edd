//! Files that are read up to a bound, and replaced as a whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use trunkline::config::{TextError, utf8};

/// Bytes of the longest file of a run that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// A file that cannot be used.
///
/// ```
/// let error = trunkline_load::Run::read_from("/nowhere".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "cannot use /nowhere/run.json");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The path is that of a directory, a FIFO or a device.
    #[error("{} is not a regular file; copy its content into one", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file to be replaced holds something else.
    #[error("{} exists and holds something else; choose another path, or move it away", path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("cannot use {}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: TextError,
    },
    /// The file is longer than any file of its kind.
    #[error("{} is longer than {bytes_max} bytes; check the path", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
}

impl FileError {
    /// Returns a function that makes an error of this file.
    pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> Self + Copy + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Returns a function that makes an error of this file's text.
    pub(crate) fn of_text(path: &Path) -> impl Fn(TextError) -> Self + Copy + '_ {
        move |source| Self::Text {
            path: path.to_owned(),
            source,
        }
    }
}

/// Reads a file of text without its byte order mark.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, FileError> {
    let bytes = read(path, bytes_max)?;
    let text = utf8(&bytes).map_err(FileError::of_text(path))?;
    Ok(text.to_owned())
}

/// Reads a file. A file that is longer than `bytes_max` is an error, and no more than that is read of it.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        match length > bytes_max {
            true => Ok(length),
            false => Ok(file.take(bytes_max + 1).read_to_end(&mut bytes)? as u64),
        }
    });
    match read.map_err(FileError::of(path))? > bytes_max {
        true => Err(FileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        }),
        false => Ok(bytes),
    }
}

/// Checks that a file may be written at a path: there is no file, or one that begins with `head`, as earlier versions
/// of it do. A FIFO or a device may always be written to. Call it before hours of work.
///
/// ```
/// use trunkline_load::{FileError, may_replace};
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("plan.toml");
/// may_replace(&path, b"trunkline-trace")?;
/// std::fs::write(&path, "keys = 100\n")?;
/// let refused = may_replace(&path, b"trunkline-trace");
/// assert!(matches!(refused, Err(FileError::NotOurs { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn may_replace(path: &Path, head: &[u8]) -> Result<(), FileError> {
    let failed = FileError::of(path);
    let not_ours = || FileError::NotOurs {
        path: path.to_owned(),
    };
    let metadata = match path.metadata() {
        // A dangling link would be written through, wherever it leads.
        Err(_) if path.is_symlink() => return Err(not_ours()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(failed)?,
    };
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(());
    }
    let mut begin = Vec::new();
    let mut bounded = File::open(path).map_err(failed)?.take(head.len() as u64);
    bounded.read_to_end(&mut begin).map_err(failed)?;
    match begin == head {
        true => Ok(()),
        false => Err(not_ours()),
    }
}

/// Writes a file where [`may_replace`] allows it. An older file stays until the new one is complete and synced.
///
/// ```
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("notes");
/// for content in ["notes 1", "notes 2"] {
///     trunkline_load::replace_file(&path, b"notes", content.as_bytes())?;
/// }
/// assert_eq!(std::fs::read(&path)?, b"notes 2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replace_file(path: &Path, head: &[u8], bytes: &[u8]) -> Result<(), FileError> {
    may_replace(path, head)?;
    replace_file_with(path, |file| {
        file.write_all(bytes).map_err(FileError::of(path))
    })
}

/// Writes a file whose content `write` writes piece by piece. An older file stays until the new one is complete and
/// synced; if `write` fails, it is kept.
///
/// ```
/// use std::io::Write;
/// use trunkline_load::FileError;
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("notes");
/// trunkline_load::replace_file_with(&path, |file| {
///     let written = file.write_all(b"notes ").and_then(|()| file.write_all(b"1"));
///     written.map_err(|source| FileError::Io { path: path.clone(), source })
/// })?;
/// assert_eq!(std::fs::read(&path)?, b"notes 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replace_file_with<E: From<FileError>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let failed = FileError::of(path);
    match path.canonicalize() {
        Ok(target) if target.is_file() => replace(&target, failed, true, write),
        Ok(target) => {
            let mut opened = File::options();
            let file = opened.write(true).truncate(true).open(target);
            let mut file = io::BufWriter::new(file.map_err(failed)?);
            write(&mut file)?;
            Ok(file.flush().map_err(failed)?)
        }
        Err(_) => replace(path, failed, true, write),
    }
}

/// Replaces a file atomically but without a sync: a reader sees the older content or the new one, never a part. It is
/// for files that are rewritten often. Check the path with [`may_replace`] first.
///
/// ```
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("load.prom");
/// trunkline_load::rewrite_file(&path, b"up 0\n")?;
/// trunkline_load::rewrite_file(&path, b"up 1\n")?;
/// assert_eq!(std::fs::read(&path)?, b"up 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rewrite_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = FileError::of(path);
    let target = path.canonicalize().unwrap_or(path.to_owned());
    replace(&target, failed, false, |file| {
        file.write_all(bytes).map_err(failed)
    })
}

/// Replaces a regular file by one with other content, and keeps its permissions.
fn replace<E: From<FileError>>(
    path: &Path,
    failed: impl Fn(io::Error) -> FileError + Copy,
    is_synced: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let mut named = tempfile::Builder::new();
    named.prefix(".new-");
    #[cfg(unix)]
    named.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let parent = parent.unwrap_or(Path::new("."));
    let mut file = io::BufWriter::new(named.tempfile_in(parent).map_err(failed)?);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error);
    let finished = file.and_then(|file| {
        if let Ok(before) = path.metadata() {
            file.as_file().set_permissions(before.permissions())?;
        }
        if is_synced {
            file.as_file().sync_all()?;
        }
        file.persist(path)?;
        if is_synced {
            sync_directory(parent)
        } else {
            Ok(())
        }
    });
    Ok(finished.map_err(failed)?)
}

/// Writes a file into a directory, which is created if missing. An older file stays until the new one is complete.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, FileError> {
    write_all(directory, &[(name, bytes)])?;
    Ok(directory.join(name))
}

/// Writes files that belong together into a directory, which is created if missing: all or none. The last file exists
/// only if all others do, and older ones stay until all new ones are complete and synced.
pub(crate) fn write_all(directory: &Path, files: &[(&str, &[u8])]) -> Result<(), FileError> {
    let last = files.last().map_or("", |(name, _)| *name);
    let staged = stage(directory, files).map_err(FileError::of(&directory.join(last)))?;
    let old = |name: &str| staged.path().join(format!("old-{name}"));
    // The last file is removed first and written last, so that there is never a mixture.
    let exchange = || {
        for (name, _) in files.iter().rev() {
            set_aside(&directory.join(name), &old(name))?;
        }
        for (name, _) in files {
            let path = directory.join(name);
            std::fs::rename(staged.path().join(name), &path).map_err(FileError::of(&path))?;
        }
        Ok::<_, FileError>(())
    };
    let exchanged = exchange();
    if exchanged.is_err() {
        for (name, _) in files {
            // A file that was not set aside is still in its place.
            let _ = std::fs::rename(old(name), directory.join(name));
        }
    }
    exchanged?;
    sync_directory(directory).map_err(FileError::of(directory))
}

/// Writes files into a hidden directory within a directory.
fn stage(directory: &Path, files: &[(&str, &[u8])]) -> io::Result<TempDir> {
    std::fs::create_dir_all(directory)?;
    let staged = tempfile::Builder::new()
        .prefix(".run-")
        .tempdir_in(directory)?;
    for (name, bytes) in files {
        let mut file = File::create_new(staged.path().join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_directory(staged.path())?;
    Ok(staged)
}

/// Moves an older file away, if there is one. Anything other than a file is an error.
fn set_aside(path: &Path, to: &Path) -> Result<(), FileError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(metadata) if metadata.is_dir() => Err(FileError::NotOurs {
            path: path.to_owned(),
        }),
        _ => std::fs::rename(path, to).map_err(FileError::of(path)),
    }
}

/// Syncs a directory so that renamed files are durable, where a directory can be opened.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn files_that_belong_together_are_replaced_together_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let content = |name: &str| std::fs::read(directory.join(name)).unwrap();
        write_all(directory, &[("log", b"1"), ("run", b"1")]).unwrap();
        write_all(directory, &[("log", b"2"), ("run", b"2")]).unwrap();
        assert_eq!([content("log"), content("run")], [b"2", b"2"]);
        assert_eq!(names(directory), ["log", "run"]);

        std::fs::create_dir(directory.join("more")).unwrap();
        std::fs::write(directory.join("more/mine"), "mine").unwrap();
        for name in ["log", "more"] {
            let files: [(&str, &[u8]); 2] = [(name, b"3"), ("run", b"3")];
            let mut files = files;
            if name == "log" {
                files = [("log", b"3"), ("more", b"3")];
            }
            let refused = write_all(directory, &files);
            assert!(matches!(refused, Err(FileError::NotOurs { .. })));
            assert_eq!([content("log"), content("run")], [b"2", b"2"]);
            assert_eq!(content("more/mine"), b"mine");
            assert_eq!(names(directory), ["log", "more", "run"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_what_begins_alike_is_replaced_and_links_are_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("ours"), "ours 1").unwrap();
        std::fs::set_permissions(at("ours"), PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::write(at("theirs"), "theirs").unwrap();
        symlink(at("ours"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        replace_file(&at("link"), b"ours", b"ours 2").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("ours")).unwrap(), b"ours 2");
        let mode = at("ours").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        for name in ["theirs", "dangling", ""] {
            assert!(replace_file(&at(name), b"ours", b"ours 3").is_err());
        }
        assert_eq!(std::fs::read(at("theirs")).unwrap(), b"theirs");
        assert!(!at("nothing").exists());
        replace_file(Path::new("/dev/null"), b"ours", b"ours 3").unwrap();
    }
}
