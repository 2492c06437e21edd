use std::path::Path;

use trunkline::{Config, Engine};

use crate::support::{Workplace, contents, run};

/// Returns every command that opens a directory, with otherwise valid arguments.
fn commands(directory: &str, out: &str) -> Vec<Vec<String>> {
    let writing = [
        vec!["put", "a", "b"],
        vec!["delete", "a"],
        vec!["import", "/dev/null"],
        vec!["load", "--keys", "10", "--ops", "10"],
    ];
    let reading = [
        vec!["get", "a"],
        vec!["prove", "--key", "a", "--out", out],
        vec!["inspect"],
    ];
    let all = writing.into_iter().chain(reading);
    all.map(|command| {
        let command = command.into_iter().chain(["--dir", directory]);
        command.map(str::to_owned).collect()
    })
    .collect()
}

/// Checks that all commands report this and change nothing.
#[track_caller]
fn assert_left_alone(directory: &Path, says: &str) {
    let workplace = Workplace::new();
    let before = contents(directory);
    for command in commands(directory.to_str().unwrap(), &workplace.text("proof")) {
        run(&command).unusable(says);
        assert_eq!(contents(directory), before, "{command:?}");
        assert!(!workplace.path("proof").exists());
    }
}

#[test]
fn one_of_something_else() {
    let workplace = Workplace::new();
    std::fs::create_dir(workplace.path("photos")).unwrap();
    std::fs::write(workplace.path("photos/cat.jpg"), "meow").unwrap();
    assert_left_alone(&workplace.path("photos"), "holds no trunkline tree");
}

#[test]
fn one_that_another_process_holds() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.path("state");
    let engine = Engine::open_blocking(Config::in_directory(&directory)).unwrap();
    assert_left_alone(&directory, "another process");
    engine.shutdown_blocking().unwrap();
    run(["get", "alice", "--dir", &workplace.text("state")]).done();
}

#[test]
fn one_whose_tree_file_is_damaged() {
    let workplace = Workplace::with_three_keys();
    let path = workplace.path("state/TREE");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_left_alone(&workplace.path("state"), "the tree file is damaged");
}

#[test]
fn one_that_does_not_exist_is_not_made_for_reading_or_deleting() {
    let workplace = Workplace::new();
    let (directory, out) = (workplace.text("nothing"), workplace.text("proof"));
    let reading = [
        vec!["get", "a"],
        vec!["delete", "a"],
        vec!["prove", "--key", "a", "--out", &out],
        vec!["inspect"],
    ];
    for command in reading {
        let arguments = command.into_iter().chain(["--dir", &directory]);
        run(arguments).unusable("check the path");
        assert!(!workplace.path("nothing").exists());
    }
}

#[cfg(unix)]
mod read_only {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::support::{Found, Ran, command};

    /// A user who is bound by permissions, unlike root.
    const NOBODY: u32 = 65534;

    struct ReadOnlyState {
        workplace: Workplace,
        binary: PathBuf,
        is_root: bool,
    }

    impl ReadOnlyState {
        fn new() -> Self {
            let workplace = Workplace::with_three_keys();
            let root = workplace.path("");
            let is_root = std::fs::metadata(&root).unwrap().uid() == 0;
            let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_trunkline"));
            if is_root {
                // A directory that this user cannot reach.
                let copy = workplace.path("trunkline");
                std::fs::copy(&binary, &copy).unwrap();
                binary = copy;
                chown(&root, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            let state = Self {
                workplace,
                binary,
                is_root,
            };
            state.set_modes(0o555, 0o444);
            state
        }

        fn directory(&self) -> PathBuf {
            self.workplace.path("state")
        }

        fn set_modes(&self, directories: u32, files: u32) {
            let set = |path: &Path, mode| {
                if self.is_root {
                    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
                }
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            };
            set(&self.directory(), directories | 0o200);
            for (path, found) in contents(&self.directory()) {
                let is_directory = found == Found::Directory;
                set(&path, if is_directory { directories } else { files });
            }
            set(&self.directory(), directories);
        }

        fn run(&self, arguments: &[String]) -> Ran {
            let mut command = command();
            let mut unprivileged = std::process::Command::new(&self.binary);
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => unprivileged.env(name, value),
                    None => unprivileged.env_remove(name),
                };
            }
            command = unprivileged;
            if self.is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command.args(arguments).output().unwrap().into()
        }
    }

    impl Drop for ReadOnlyState {
        fn drop(&mut self) {
            // Otherwise the directory could not be removed.
            self.set_modes(0o755, 0o644);
        }
    }

    #[test]
    fn one_that_is_read_only_can_be_read_and_nothing_else() {
        let state = ReadOnlyState::new();
        let before = contents(&state.directory());
        let (directory, out) = (state.workplace.text("state"), state.workplace.text("proof"));
        for command in commands(&directory, &out) {
            let ran = state.run(&command);
            assert_eq!(contents(&state.directory()), before, "{command:?}");
            match &*command[0] {
                "get" => assert_eq!(ran.code, 1, "{ran:?}"),
                "prove" | "inspect" => assert_eq!(ran.code, 0, "{ran:?}"),
                _ => ran.unusable("Permission denied"),
            }
        }
    }
}
