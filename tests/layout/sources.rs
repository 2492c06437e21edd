//! Source files, and the paths that they import.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file of a crate.
pub(crate) struct Source {
    /// Its path below the repository.
    pub(crate) path: String,
    /// Its modules from the crate root on: `["stage", "persist"]`.
    pub(crate) module: Vec<String>,
    /// Its code without tests and comments.
    pub(crate) code: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the source files of a crate, whose `src` lies in `folder`.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let source = root().join(folder);
    let mut files = Vec::new();
    collect(&source, &mut files);
    files.sort();
    let sources = files.iter().map(|file| {
        let inside = file.strip_prefix(&source).unwrap();
        let mut module: Vec<String> = inside
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        Source {
            path: format!("{folder}/{}", inside.display()),
            module,
            code: without_tests_and_comments(&fs::read_to_string(file).unwrap()),
        }
    });
    sources.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Unit tests stand at the end of a file.
fn without_tests_and_comments(text: &str) -> String {
    let lines = text.lines().take_while(|line| {
        !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test")
    });
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// Returns every path that a file imports or names, as segments; `crate::` and `super::` are resolved.
pub(crate) fn paths(source: &Source) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for statement in use_statements(&source.code) {
        expand(&statement, &[], &mut paths);
    }
    for inline in inline_paths(&source.code) {
        paths.push(inline);
    }
    paths
        .into_iter()
        .filter_map(|path| resolve(&path, &source.module))
        .collect()
}

fn use_statements(code: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let starts = at == 0 || rest[..at].ends_with(['\n', ' ', ')']);
        rest = &rest[at + 4..];
        if starts && let Some(end) = rest.find(';') {
            statements.push(rest[..end].split_whitespace().collect());
        }
    }
    statements
}

/// Expands `a::{b, c::d}` to `a::b` and `a::c::d`.
fn expand(tree: &str, above: &[String], paths: &mut Vec<Vec<String>>) {
    let (head, group) = match tree.find('{') {
        Some(brace) => (
            &tree[..brace],
            Some(tree[brace + 1..].trim_end_matches('}')),
        ),
        None => (tree, None),
    };
    let mut path = above.to_vec();
    let segments = head.split("::").filter(|segment| !segment.is_empty());
    path.extend(segments.map(|segment| segment.split(" as ").next().unwrap().to_owned()));
    let Some(group) = group else {
        paths.push(path);
        return;
    };
    for part in split_top_level(group) {
        expand(part, &path, paths);
    }
}

fn split_top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Returns `crate::…` and `trunkline_…::…` paths outside of `use`.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
    let words = code.split(|character| !is_part(character));
    let paths = words.filter(|word| {
        word.contains("::") && (word.starts_with("crate::") || word.starts_with("trunkline"))
    });
    let segments = |path: &str| {
        let segments = path.split("::").filter(|segment| !segment.is_empty());
        segments.map(str::to_owned).collect()
    };
    paths.map(segments).collect()
}

fn resolve(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => module.to_vec(),
        name if name.starts_with("trunkline") => return Some(path.to_vec()),
        _ => return None,
    };
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "super" => {
                base.pop();
            }
            "crate" | "self" => {}
            _ => break,
        }
        rest = others;
    }
    base.extend(rest.iter().cloned());
    base.insert(0, "crate".to_owned());
    Some(base)
}

/// Finds the file that a path of a crate names, through re-exports of `mod.rs` and `lib.rs`.
pub(crate) struct Index<'a> {
    by_module: BTreeMap<&'a [String], &'a Source>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(sources: &'a [Source]) -> Self {
        let by_module = sources.iter().map(|source| (&source.module[..], source));
        Self {
            by_module: by_module.collect(),
        }
    }

    /// Returns the file that defines what a path of this crate names.
    pub(crate) fn file(&self, path: &[String]) -> Option<&'a Source> {
        self.follow(path, 8)
    }

    fn follow(&self, path: &[String], steps: usize) -> Option<&'a Source> {
        let inside = path.strip_prefix(&["crate".to_owned()])?;
        let depth = (0..=inside.len())
            .rev()
            .find(|depth| self.by_module.contains_key(&inside[..*depth]))?;
        let source = self.by_module[&inside[..depth]];
        let Some(name) = inside.get(depth).filter(|_| steps > 0) else {
            return Some(source);
        };
        let own: Vec<Vec<String>> = paths(source);
        let reexported = own.iter().find(|path| {
            path.last() == Some(name) && path.first().is_some_and(|first| first == "crate")
        });
        match reexported {
            Some(target) if target[..] != *path => self.follow(target, steps - 1),
            _ => Some(source),
        }
    }
}
