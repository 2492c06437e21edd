//! Imports go down only: no cycle between files, no arrow up between folders or crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::sources::{Index, Source, paths, root, sources};

/// Folders and files of `actors/src`, from low to high. Imports go from higher to lower ones.
const ACTORS: [&[&str]; 16] = [
    &["runtime"],
    &["failure", "actor"],
    &["config"],
    &["decisions"],
    &["metrics"],
    &["feed", "forks", "health", "in_flight", "testing"],
    &["state"],
    &["admission", "receipt"],
    &["idempotency"],
    &["context"],
    &["message"],
    &["intake"],
    &["adaptive"],
    &["background", "checkpoint", "restoring"],
    &["stage"],
    &["pipeline"],
];

/// Folders and files of `src`, from low to high.
const ENGINE: [&[&str]; 9] = [
    &["error", "temporary"],
    &["feed", "snapshot"],
    &["running"],
    &["open"],
    &["bootstrap", "check", "rewind"],
    &["engine"],
    &["reads"],
    &["builder", "fork", "revert"],
    &["replica"],
];

/// Folders and files of `service/src`, from low to high.
const SERVICE: [&[&str]; 9] = [
    &["peer", "proto", "systemd"],
    &["observe"],
    &["error", "watched"],
    &["auth"],
    &["admission", "backend", "listen"],
    &["api"],
    &["grpc", "http", "page"],
    &["router"],
    &["server"],
];

/// Crates that each crate may name in `[dependencies]`.
const CRATES: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("actors", &["trunkline-core"]),
    (".", &["trunkline-actors", "trunkline-core"]),
    ("load", &["trunkline"]),
    ("archive", &["trunkline"]),
    ("replication", &["trunkline", "trunkline-core"]),
    ("service", &["trunkline", "trunkline-replication"]),
    (
        "cli",
        &[
            "trunkline",
            "trunkline-archive",
            "trunkline-load",
            "trunkline-replication",
            "trunkline-service",
        ],
    ),
    (
        "simulation",
        &["trunkline", "trunkline-actors", "trunkline-testkit"],
    ),
    ("verifier", &["trunkline-core"]),
    ("testkit", &["trunkline-core"]),
];

type Edges<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Returns which files each file imports from. A parent that only lists and re-exports its modules imports nothing by
/// that, and names that it re-exports count as imports from the file that defines them.
fn edges(sources: &[Source]) -> Edges<'_> {
    let index = Index::new(sources);
    let mut edges = Edges::new();
    for source in sources {
        let targets = edges.entry(&source.path).or_default();
        for path in paths(source) {
            let is_reexport = source
                .code
                .contains(&format!("pub use {}", joined_tail(&path, source)));
            if is_reexport && is_parent(source) {
                continue;
            }
            if let Some(target) = index
                .file(&path)
                .filter(|target| target.path != source.path)
            {
                targets.insert(&target.path);
            }
        }
    }
    edges
}

fn is_parent(source: &Source) -> bool {
    source.path.ends_with("/mod.rs") || source.path.ends_with("/lib.rs")
}

/// The first segment of a path below the module of a file.
fn joined_tail(path: &[String], source: &Source) -> String {
    let below = path.get(1 + source.module.len());
    below.cloned().unwrap_or_default()
}

/// Returns a cycle, if there is one.
fn cycle<'a>(edges: &Edges<'a>) -> Option<Vec<&'a str>> {
    let mut done = BTreeSet::new();
    edges
        .keys()
        .find_map(|start| visit(edges, start, &mut Vec::new(), &mut done))
}

fn visit<'a>(
    edges: &Edges<'a>,
    file: &'a str,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(begin) = path.iter().position(|earlier| *earlier == file) {
        return Some(path[begin..].to_vec());
    }
    if done.contains(file) {
        return None;
    }
    path.push(file);
    let targets = edges.get(file).into_iter().flatten();
    let found = targets
        .map(|target| visit(edges, target, path, done))
        .find_map(|found| found);
    path.pop();
    done.insert(file);
    found
}

/// Returns the rank of the folder or file below `src` that a file belongs to.
fn rank(order: &[&[&str]], source: &Source) -> Option<usize> {
    let first = source.module.first()?;
    let rank = order
        .iter()
        .position(|level| level.contains(&first.as_str()));
    Some(rank.unwrap_or_else(|| panic!("{} has no place in the order of folders", source.path)))
}

fn arrows_up(folder: &str, order: &[&[&str]]) -> Vec<String> {
    let sources = sources(folder);
    let edges = edges(&sources);
    let by_path: BTreeMap<&str, &Source> = sources
        .iter()
        .map(|source| (source.path.as_str(), source))
        .collect();
    let mut arrows = Vec::new();
    for (from, targets) in &edges {
        let source = by_path[from];
        for to in targets {
            let target = by_path[to];
            let same = source.module.first() == target.module.first();
            let (Some(above), Some(below)) = (rank(order, source), rank(order, target)) else {
                continue;
            };
            if !same && below >= above {
                arrows.push(format!("{from} imports {to}"));
            }
        }
    }
    arrows
}

#[test]
fn no_file_of_the_pipeline_or_the_engine_imports_itself_through_others() {
    for folder in ["actors/src", "src", "archive/src", "service/src"] {
        let sources = sources(folder);
        assert_eq!(
            cycle(&edges(&sources)),
            None,
            "a cycle of imports in {folder}"
        );
    }
}

#[test]
fn folders_import_from_lower_folders_alone() {
    let mut arrows = arrows_up("actors/src", &ACTORS);
    arrows.extend(arrows_up("src", &ENGINE));
    arrows.extend(arrows_up("service/src", &SERVICE));
    assert!(arrows.is_empty(), "arrows up:\n{}", arrows.join("\n"));
}

#[test]
fn crates_depend_on_lower_crates_alone() {
    for (folder, allowed) in CRATES {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_ours = name == "trunkline" || name.starts_with("trunkline-");
            if section == "[dependencies]" && is_ours {
                assert!(allowed.contains(&name), "{folder} depends on {name}");
            }
        }
    }
}

#[test]
fn a_cycle_is_found_where_there_is_one() {
    let edge = |from, to| (from, BTreeSet::from([to]));
    let edges = Edges::from([
        edge("a", "b"),
        edge("b", "c"),
        edge("c", "b"),
        edge("d", "a"),
    ]);
    assert_eq!(cycle(&edges), Some(vec!["b", "c"]));
    let edges = Edges::from([edge("a", "b"), edge("b", "c")]);
    assert_eq!(cycle(&edges), None);
}
