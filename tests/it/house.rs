//! The shape of the house as tests: layers, sizes, names, the picture of the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{Launch, PROGRAM};

/// Lines of a source file, tests included; the aim is 400.
const FILE_LINES_MAX: usize = 500;
/// Half of all files are at most this long.
const FILE_LINES_MEDIAN_MAX: usize = 250;

/// The layers from the bottom up; imports go down only, and siblings never import each other.
const LAYERS: &[&[&str]] = &[
    &["messages", "config", "redis"],
    &["cluster", "queue", "http", "limits", "cache", "telemetry"],
    &["platforms", "actors", "hub"],
    &["supervision"],
    &["run", "cli", "main", "lib"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "crates", "tests", "bench"] {
        sources(&root().join(folder), &mut found);
    }
    found
}

/// The module path of a file under src: `src/a/b.rs` → `[a, b]`.
fn module_path(relative: &Path) -> Vec<String> {
    relative.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// The first words behind every `crate::` and `super::` of a source text, as absolute module paths' first parts.
fn reached(module: &[String], text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        found.extend(first_words(&code[at + "crate::".len()..]));
    }
    let mut from = 0;
    while let Some(at) = code[from..].find("super::").map(|at| from + at) {
        let mut rest = &code[at..];
        let mut depth = 0;
        while let Some(shorter) = rest.strip_prefix("super::") {
            (rest, depth) = (shorter, depth + 1);
        }
        from = code.len() - rest.len();
        match module.len().checked_sub(depth) {
            Some(0) => found.extend(first_words(rest)),
            Some(_) => found.push(module[0].clone()),
            // An inline module (tests) is one level deeper than its file.
            None => {}
        }
    }
    found
}

/// `a::b` → a; `{a, b::c}` → a and b.
fn first_words(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    match rest.trim_start().strip_prefix('{') {
        None => vec![word(rest)],
        Some(group) => {
            let mut depth = 0;
            let mut words = vec![word(group)];
            for (at, letter) in group.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => words.push(word(&group[at + 1..])),
                    _ => {}
                }
            }
            words
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What is wrong with the imports of one file.
fn upward(relative: &Path, text: &str) -> Vec<String> {
    let module = module_path(relative);
    let own = module[0].as_str();
    let own_layer = layer(own).unwrap_or_else(|| panic!("{} is in no layer", relative.display()));
    reached(&module, text)
        .into_iter()
        .filter(|target| target != own && layer(target).is_some_and(|target| target >= own_layer))
        .map(|target| format!("{}: {own} must not know {target}", relative.display()))
        .collect()
}

#[test]
fn imports_go_down_only() {
    let src = root().join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    let wrong: Vec<_> = found
        .iter()
        .filter(|path| !path.ends_with("src/lib.rs"))
        .flat_map(|path| {
            let relative = path.strip_prefix(&src).expect("under src");
            upward(relative, &fs::read_to_string(path).expect("readable"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_that_points_up_or_sideways_is_seen() {
    let file = Path::new("actors/channel/gate.rs");
    assert!(upward(file, "use crate::messages::Reply;\nuse super::state::State;").is_empty());
    for red in [
        "use crate::supervision::Node;",
        "fn f() { crate::hub::serve() }",
        "use crate::{messages::Reply, platforms::console};",
        "use super::super::super::platforms::console;",
    ] {
        assert_eq!(upward(file, red).len(), 1, "{red}");
    }
    assert_eq!(upward(Path::new("cluster/directory.rs"), "use crate::telemetry::logs;").len(), 1);
}

#[test]
fn the_leaf_crates_know_no_runtime() {
    for pure in ["domain", "membership"] {
        let leaf = fs::read_to_string(root().join("crates").join(pure).join("Cargo.toml")).expect("readable");
        for banned in ["tokio", "ractor", "sqlx"] {
            assert!(!leaf.contains(banned), "{pure} must not depend on {banned}");
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("readable");
    let own =
        manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    assert!(!own.contains("sqlx"), "all SQL is in crates/storage");
}

#[test]
fn files_are_short_and_well_named() {
    let mut wrong = Vec::new();
    let mut lengths = Vec::new();
    for path in all_sources() {
        let n_lines = fs::read_to_string(&path).expect("readable").lines().count();
        lengths.push(n_lines);
        if n_lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {n_lines} lines", path.display()));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if ["mod", "util", "utils", "helpers", "common", "misc", "shared"].contains(&name.as_str()) {
            wrong.push(format!("{}: a name that says nothing", path.display()));
        }
    }
    lengths.sort_unstable();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lengths[lengths.len() / 2] <= FILE_LINES_MEDIAN_MAX, "median {}", lengths[lengths.len() / 2]);
}

#[test]
fn nothing_holds_a_merge_marker() {
    let mut pages =
        vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/decisions", "migrations/sqlite", "migrations/postgres"] {
        let files = fs::read_dir(root().join(folder)).expect("a folder");
        pages.extend(files.map(|file| file.expect("a file").path()).filter(|path| path.is_file()));
    }
    pages.extend(all_sources());
    let markers = ["<".repeat(7), ">".repeat(7)];
    for page in pages {
        let text = fs::read_to_string(&page).expect("a text");
        let marked = text.lines().find(|line| markers.iter().any(|marker| line.starts_with(marker.as_str())));
        assert_eq!(marked, None, "{}", page.display());
    }
}

#[test]
fn nothing_is_exported_by_star() {
    let wrong: Vec<_> = all_sources()
        .into_iter()
        .filter(|path| !path.ends_with("tests/it/house.rs"))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("readable");
            text.lines().any(|line| line.trim_start().starts_with("pub use") && line.contains("::*"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn architecture_shows_the_tree_that_the_program_prints() {
    let printed = Command::new(PROGRAM).arg("tree").output().expect("runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("readable");
    for line in printed.lines().filter(|line| !line.contains("fault_")) {
        assert!(page.contains(line.trim_end()), "ARCHITECTURE.md lacks: {line}");
    }
}

#[tokio::test]
async fn the_running_supervisor_has_the_parts_of_the_tree() {
    let node = Launch::new("").console().start().await;
    let (status, answer) = node.get("/api/v1/status").await;
    assert_eq!(status, 200, "{answer}");
    let running: Vec<_> = answer["data"]["parts"]
        .as_array()
        .expect("a list of parts")
        .iter()
        .map(|part| {
            assert_eq!(part["state"], "running", "{part}");
            part["child"].as_str().expect("a name").to_owned()
        })
        .collect();
    let printed = Command::new(PROGRAM).arg("tree").output().expect("runs");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let mut listed: Vec<_> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("├─ ").and_then(|rest| rest.split_whitespace().next()))
        // This node is alone.
        .filter(|part| *part != "ownership")
        .map(str::to_owned)
        .collect();
    listed.sort();
    assert_eq!(running, listed);
}
