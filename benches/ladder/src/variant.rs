//! Builds the engine with one change in its sources or features: a copy of the sources in the target directory, patched
//! and built there. The engine's own sources have no switches for the ladder.
//!
//! A program is built once for each state of sources and patch, and then kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use trunkline::core::hash::{hash, hex};

use crate::catalog::{Off, Rung};
use crate::error::LadderError;

/// The directory of this package.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// The path of this package below the root of the sources.
const BELOW_ROOT: &str = "benches/ladder";

/// Returns the path of a patch.
pub(crate) fn patch_path(name: &str) -> PathBuf {
    Path::new(PACKAGE)
        .join("patches")
        .join(format!("{name}.patch"))
}

/// Returns the root of trunkline's sources.
fn source_root() -> PathBuf {
    Path::new(PACKAGE).join("../..")
}

/// Checks that a patch applies to the current sources.
pub(crate) fn check_patch(name: &str) -> Result<(), LadderError> {
    git_apply(&source_root(), name, &["--check"])
}

/// Returns the program for an optimisation's other side, which is built if missing. Returns `None` if that is this
/// program.
pub(crate) fn program(rung: &Rung) -> Result<Option<PathBuf>, LadderError> {
    let features = match rung.off {
        Off::Build(_, features) => features.join(","),
        Off::Patch(..) => features_of_this().to_owned(),
        Off::Naive(_) | Off::Config(..) | Off::Micro(_) => return Ok(None),
    };
    let is_patched = matches!(rung.off, Off::Patch(..));
    let place = Place::find()?;
    let files = source_files()?;
    let id = identity(&files, is_patched.then(|| patch_path(rung.name)), &features)?;
    let program = place.programs.join(format!("{}-{id}", rung.name));
    if program.is_file() {
        return Ok(Some(program));
    }
    if is_patched {
        check_patch(rung.name)?;
    }
    eprintln!("building the engine for {} …", rung.name);
    copy_sources(&files, &place.sources)?;
    if is_patched {
        git_apply(&place.sources, rung.name, &[])?;
    }
    let built = build(rung.name, &place, &features)?;
    remove_older(&place.programs, rung.name)?;
    std::fs::copy(&built, &program).map_err(LadderError::file(&program))?;
    Ok(Some(program))
}

fn features_of_this() -> &'static str {
    if cfg!(feature = "mimalloc") {
        "mimalloc"
    } else {
        ""
    }
}

/// The directories below the target directory that this program was built in.
struct Place {
    sources: PathBuf,
    target: PathBuf,
    programs: PathBuf,
}

impl Place {
    fn find() -> Result<Self, LadderError> {
        let program = std::env::current_exe().map_err(run_error("this program"))?;
        // target/release/ladder
        let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
        let base = target.join("ladder-variants");
        let place = Self {
            sources: base.join("sources"),
            target: base.join("target"),
            programs: base.join("programs"),
        };
        std::fs::create_dir_all(&place.programs).map_err(LadderError::file(&place.programs))?;
        Ok(place)
    }
}

/// Returns the files of the sources, relative to their root: all that git tracks or would track.
fn source_files() -> Result<Vec<PathBuf>, LadderError> {
    let mut command = Command::new("git");
    command.current_dir(source_root());
    command.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = output("git", &mut command)?.stdout;
    let names = listed.split(|byte| *byte == 0);
    let names = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    // A file that was deleted from the work tree is still listed.
    let mut files: Vec<PathBuf> = names
        .filter(|name| source_root().join(name).is_file())
        .collect();
    files.sort_unstable();
    Ok(files)
}

/// Returns a hash that tells one program from another.
fn identity(
    files: &[PathBuf],
    patch: Option<PathBuf>,
    features: &str,
) -> Result<String, LadderError> {
    let mut parts = features.as_bytes().to_vec();
    let root = source_root();
    let compiled = files.iter().filter(|file| !changes_no_program(file));
    for path in compiled.map(|file| root.join(file)).chain(patch) {
        let bytes = std::fs::read(&path).map_err(LadderError::file(&path))?;
        parts.extend_from_slice(path.to_string_lossy().as_bytes());
        parts.extend_from_slice(&hash(&bytes));
    }
    Ok(hex(&hash(&parts)[..8]))
}

/// Returns whether a file is no part of the engine: another patch, a document, a test or a crate above the engine.
fn changes_no_program(file: &Path) -> bool {
    let is_text = file
        .extension()
        .is_some_and(|extension| extension == "patch" || extension == "md");
    const ELSEWHERE: [&str; 9] = [
        "cli",
        "load",
        "testkit",
        "verifier",
        "fuzz",
        "docs",
        "tests",
        "core/tests",
        "actors/tests",
    ];
    let is_elsewhere = ELSEWHERE
        .iter()
        .any(|directory| file.starts_with(directory));
    is_text || is_elsewhere
}

fn copy_sources(files: &[PathBuf], to: &Path) -> Result<(), LadderError> {
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(LadderError::file(to))?;
    }
    for file in files {
        let (from, into) = (source_root().join(file), to.join(file));
        if let Some(directory) = into.parent() {
            std::fs::create_dir_all(directory).map_err(LadderError::file(directory))?;
        }
        std::fs::copy(&from, &into).map_err(LadderError::file(&from))?;
    }
    Ok(())
}

fn git_apply(directory: &Path, name: &str, options: &[&str]) -> Result<(), LadderError> {
    let patch = patch_path(name);
    let directory = directory
        .canonicalize()
        .map_err(LadderError::file(directory))?;
    let mut command = Command::new("git");
    // The copy may be below a git directory, which git must not consider: it would skip every file.
    if let Some(parent) = directory.parent() {
        command.env("GIT_CEILING_DIRECTORIES", parent);
    }
    // One line of context is enough: lines further away may change.
    command.current_dir(&directory).args(["apply", "-C1"]);
    command.args(options).arg(&patch);
    let applied = command.output().map_err(run_error("git"))?;
    if applied.status.success() {
        return Ok(());
    }
    Err(LadderError::PatchDoesNotApply {
        name: name.to_owned(),
        message: String::from_utf8_lossy(&applied.stderr).trim().to_owned(),
    })
}

fn build(name: &str, place: &Place, features: &str) -> Result<PathBuf, LadderError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(place.sources.join(BELOW_ROOT))
        .args(["build", "--release", "--locked", "--no-default-features"])
        .args(["--features", features])
        .env("CARGO_TARGET_DIR", &place.target)
        .status()
        .map_err(run_error("cargo"))?;
    if !status.success() {
        return Err(LadderError::Build {
            name: name.to_owned(),
        });
    }
    Ok(place.target.join("release/ladder"))
}

/// Removes the programs of earlier sources.
fn remove_older(programs: &Path, name: &str) -> Result<(), LadderError> {
    let entries = std::fs::read_dir(programs).map_err(LadderError::file(programs))?;
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let older = file.rsplit_once('-').is_some_and(|(of, _)| of == name);
        if older {
            std::fs::remove_file(entry.path()).map_err(LadderError::file(&entry.path()))?;
        }
    }
    Ok(())
}

fn output(program: &'static str, command: &mut Command) -> Result<Output, LadderError> {
    let output = command.output().map_err(run_error(program))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(LadderError::ProgramFailed {
        program,
        status: output.status,
        message: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn run_error(program: &'static str) -> impl FnOnce(std::io::Error) -> LadderError {
    move |source| LadderError::Program { program, source }
}
