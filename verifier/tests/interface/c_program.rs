use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use trunkline_core::hash::hex;

use crate::support::*;

/// The libraries that a program needs which is linked with the static library on Linux.
const SYSTEM_LIBRARIES: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-lgcc_s"];

fn run(command: &mut Command) -> Output {
    command.output().expect("the command can be run")
}

fn succeed(command: &mut Command) {
    let output = run(command);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
}

/// Builds both libraries as a user does, and returns their directory.
fn libraries() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let target = target.expect("it is in the target directory");
    succeed(
        Command::new(env!("CARGO"))
            .args(["build", "--lib", "--offline", "--locked", "--manifest-path"])
            .arg(here.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target),
    );
    target.join("debug")
}

/// Compiles the example of `README.md` with these further arguments.
fn compile(program: &Path, arguments: &[&OsStr]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    succeed(
        Command::new("cc")
            .args([
                "-std=c99",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-I",
            ])
            .arg(here.join("include"))
            .arg(here.join("examples/verify.c"))
            .arg("-o")
            .arg(program)
            .args(arguments),
    );
}

#[test]
fn a_c_program_verifies_a_proof_and_refuses_a_changed_one_with_either_library() {
    let libraries = libraries();
    let directory = tempfile::tempdir().expect("a directory");
    let [of_static, of_shared] = ["static", "shared"].map(|name| directory.path().join(name));
    let archive = libraries.join("libtrunkline_verifier.a");
    let mut arguments = vec![archive.as_os_str()];
    arguments.extend(SYSTEM_LIBRARIES.iter().map(OsStr::new));
    compile(&of_static, &arguments);
    let shared = libraries.join("libtrunkline_verifier.so");
    compile(&of_shared, &[shared.as_os_str()]);

    let root = &FIXTURE.state.root;
    let ids = [hex(&root.tree_id), hex(&root.state_digest)];
    let proof = directory.path().join("proof");
    for program in [of_static, of_shared] {
        let verify = |bytes: &[u8]| {
            fs::write(&proof, bytes).expect("a file");
            let output = run(Command::new(&program).arg(&proof).args(&ids));
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code(), shown)
        };
        let (code, shown) = verify(&hash_proof());
        assert_eq!(code, Some(0));
        assert_eq!(shown.matches("absent").count(), 1, "{shown}");
        assert_eq!(shown.lines().count(), keys().len());

        assert_eq!(verify(b"no proof").0, Some(2));
        let mut changed = hash_proof();
        let place = changed.windows(5).position(|five| five == b"value");
        changed[place.expect("a value is shown")] ^= 1;
        let (code, shown) = verify(&changed);
        assert_eq!((code, &shown[..]), (Some(1), ""));
    }
}
