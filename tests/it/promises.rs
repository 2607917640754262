//! docs/promises.md names a test for each promise; this checks that those tests exist.

use std::fs;
use std::path::{Path, PathBuf};

fn collect(folder: &Path, texts: &mut String) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push_str(&fs::read_to_string(&path).expect("readable"));
        }
    }
}

/// The names in backquotes in the last column of every row of the tables.
fn named_tests(page: &str) -> Vec<String> {
    page.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next().map(str::to_owned))
        .flat_map(|column| column.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/promises.md")).expect("docs/promises.md is there");
    let mut code = String::new();
    for folder in ["src", "crates", "tests"] {
        collect(&root.join(folder), &mut code);
    }
    let named = named_tests(&page);
    assert!(named.len() >= 40, "only {} tests are named", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn a_promise_without_its_test_is_seen() {
    let page = "| promise | test |\n|---|---|\n| It flies. | `it_flies_like_a_duck` |\n";
    assert_eq!(named_tests(page), ["it_flies_like_a_duck"]);
}
