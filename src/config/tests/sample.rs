//! `cluster.toml`, the annotated sample: it parses, shows the defaults and names every key.

use std::collections::BTreeSet;

use super::*;

const SAMPLE: &str = include_str!("../../../cluster.toml");

/// The sample with its commented settings (`#name = …`, `#[[table]]`) switched on.
fn uncommented() -> String {
    let is_setting = |line: &str| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
    let lines =
        SAMPLE.lines().map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every key of the document, dotted; tables of an array count as one table.
fn named_keys(table: &DeTable<'_>, path: &str, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let dotted = format!("{path}{}", name.get_ref());
        let inner = value.get_ref();
        let items = inner.as_array().into_iter().flatten().filter_map(|item| item.get_ref().as_table());
        let tables: Vec<_> = inner.as_table().into_iter().chain(items).collect();
        if tables.is_empty() {
            keys.insert(dotted.clone());
        }
        for table in tables {
            named_keys(table, &format!("{dotted}."), keys);
        }
    }
}

/// Every key that the sections read.
fn known_keys() -> BTreeSet<String> {
    let input = Input { file: String::new(), text: "[[commands]]\n".to_owned(), env: BTreeMap::new() };
    let root = DeTable::parse(&input.text).unwrap();
    let mut reader = Reader::new(&input, root.get_ref());
    Config::read(&mut reader);
    reader.keys().clone()
}

#[test]
fn the_sample_parses_and_shows_the_defaults() {
    let mut sample = load(SAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sample.warnings, Vec::<String>::new());
    sample.source = None;
    let local = Config::local(env(&[])).unwrap();
    assert_eq!(sample.storage.url.expose_secret(), local.storage.url.expose_secret());
    assert_eq!(format!("{sample:#?}"), format!("{local:#?}"));
}

#[test]
fn the_sample_names_every_key_and_no_other() {
    let text = uncommented();
    let root = DeTable::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut named = BTreeSet::new();
    named_keys(root.get_ref(), "", &mut named);
    assert_eq!(named, known_keys());
}

#[test]
fn the_examples_of_the_sample_have_the_right_form() {
    let allowed =
        ["not in this version", "give either", "the named file cannot be read", "at least 32 bytes"];
    for (line, key, message) in problems(load(&uncommented())) {
        assert!(allowed.iter().any(|allowed| message.contains(allowed)), "{line}: {key}: {message}");
    }
}
