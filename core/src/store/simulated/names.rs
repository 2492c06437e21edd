//! Names of files and directories, and changes of them that a crash may lose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::FileNumber;
use crate::store::disk::parent_of;

#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) directories: Vec<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, FileNumber>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    CreateDirectory(PathBuf),
    Create(PathBuf, FileNumber),
    Rename(PathBuf, PathBuf, FileNumber),
    Remove(PathBuf),
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::CreateDirectory(path) => names.directories.push(path.clone()),
            Self::Create(path, file) => {
                names.files.insert(path.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.files.remove(from);
                names.files.insert(to.clone(), *file);
            }
            Self::Remove(path) => {
                names.files.remove(path);
            }
        }
    }

    pub(super) fn directory(&self) -> &Path {
        match self {
            Self::CreateDirectory(path) | Self::Create(path, _) | Self::Remove(path) => {
                parent_of(path)
            }
            Self::Rename(_, to, _) => parent_of(to),
        }
    }
}
