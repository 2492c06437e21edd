//! The file of a Unix socket.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::listen::error::ListenError;

/// Mode of the file: its owner and group may connect.
const MODE: u32 = 0o660;

/// The file of a listening socket. It is removed at the end, unless another one has replaced it.
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens on a path. The socket of a process that has ended is replaced.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
    refuse_occupied(path)?;
    bind_and_rename(path).map_err(|source| ListenError::Socket {
        path: path.to_owned(),
        source,
    })
}

fn refuse_occupied(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        // No process listens.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Another process listens, or it is not for us to decide.
        _ => Err(ListenError::SocketInUse(path.to_owned())),
    }
}

/// Binds under another name, so that no client can connect before the mode is set, and then replaces an old socket.
fn bind_and_rename(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let mut first = path.as_os_str().to_owned();
    first.push(".new");
    let first = PathBuf::from(first);
    if fs::symlink_metadata(&first).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        fs::remove_file(&first)?;
    }
    let listener = UnixListener::bind(&first)?;
    fs::set_permissions(&first, Permissions::from_mode(MODE))?;
    let metadata = fs::symlink_metadata(&first)?;
    fs::rename(&first, path)?;
    listener.set_nonblocking(true)?;
    let file = SocketFile {
        path: path.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    Ok((listener, file))
}

impl SocketFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
