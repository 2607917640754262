//! The README's module example: written into a copy of the tree with its row, compiled, and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stands before the example and names its file.
const MARK: &str = "<!-- module-example: ";
/// What a build of the program needs, beside the folders of its packages.
const FILES: &[&str] = &["Cargo.toml", "Cargo.lock", "clippy.toml", "cluster.toml", "rust-toolchain.toml"];
const FOLDERS: &[&str] = &["src", "crates", "migrations", "bench", "tests"];

/// The example's path and text.
fn example(page: &str) -> (String, String) {
    let (_, rest) = page.split_once(MARK).expect("the README marks its example");
    let (path, rest) = rest.split_once(" -->").expect("the mark ends");
    let (_, rest) = rest.split_once("```rust\n").expect("a block of Rust");
    let (text, _) = rest.split_once("\n```").expect("the block ends");
    (path.to_owned(), format!("{text}\n"))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            copy_changed(&entry.path(), &target);
        }
    }
}

/// Leaves equal files alone, so that cargo does not build again what has not changed.
fn copy_changed(from: &Path, to: &Path) {
    let text = fs::read(from).expect("readable");
    if fs::read(to).ok().as_ref() != Some(&text) {
        fs::write(to, text).expect("writable");
    }
}

/// Cargo names what it builds by package and version, not by folder: without this the copy's test binaries would take
/// the place of the tree's own in the shared target folder.
fn give_another_version(copy: &Path) {
    let own = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    let other = format!("version = \"{}-readme\"", env!("CARGO_PKG_VERSION"));
    let manifest = fs::read_to_string(copy.join("Cargo.toml")).expect("a manifest");
    fs::write(copy.join("Cargo.toml"), manifest.replacen(&own, &other, 1)).expect("the manifest is written");
    let lock = fs::read_to_string(copy.join("Cargo.lock")).expect("a lock file");
    // The tree's own packages are those that come from no registry.
    let of_copy = |entry: &str| {
        if entry.contains("\nsource = ") { entry.to_owned() } else { entry.replacen(&own, &other, 1) }
    };
    let lock = lock.split("\n\n").map(of_copy).collect::<Vec<_>>().join("\n\n");
    fs::write(copy.join("Cargo.lock"), lock).expect("the lock file is written");
}

#[test]
fn the_module_of_the_readme_compiles_and_answers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, text) = example(&fs::read_to_string(root.join("README.md")).expect("a README"));
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme-tree");
    drop(fs::remove_dir_all(copy.join("src")));
    for folder in FOLDERS {
        copy_folder(&root.join(folder), &copy.join(folder));
    }
    for file in FILES {
        copy_changed(&root.join(file), &copy.join(file));
    }
    give_another_version(&copy);
    let name = Path::new(&path).file_stem().expect("a file name").to_string_lossy().into_owned();
    fs::write(copy.join(&path), text).expect("the module is written");
    let registry = copy.join("src/actors/modules.rs");
    let rows = fs::read_to_string(&registry).expect("the registry");
    let rows = rows.replacen("pub mod help;", &format!("pub mod {name};\npub mod help;"), 1);
    let rows = rows.replacen("    help::SPEC,", &format!("    {name}::SPEC,\n    help::SPEC,"), 1);
    assert_eq!(rows.matches(&format!("{name}::SPEC")).count(), 1, "the row is in");
    fs::write(&registry, rows).expect("the registry is written");

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let run = Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "--offline",
            "--lib",
            "--features",
            "test-support",
            &format!("modules::{name}::"),
        ])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(&copy)
        .output()
        .expect("cargo runs");
    let printed = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{printed}");
    assert!(!printed.contains("running 0 tests") && printed.contains("test result: ok"), "{printed}");
}
