//! The settings as they were found: file and environment behind one lookup, and what was asked for.
//!
//! The set of known keys is what the sections asked for, so it cannot differ from what is read.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::problem::Problem;
use super::section::Section;

/// Every variable of ours begins so.
const ENV_PREFIX: &str = "WADDLEBOT_";

/// Variables that are no settings of a node: the command line, the tests and a restart use them.
const ENV_RESERVED: [&str; 4] =
    ["WADDLEBOT_URL", "WADDLEBOT_SERVICE_KEY", "WADDLEBOT_CONFIG", "WADDLEBOT_RESTARTS"];

/// Variables that the tests use.
const ENV_TEST_PREFIX: &str = "WADDLEBOT_TEST_";

/// Unknown names are shown up to this length, in characters.
const NAME_SHOWN_MAX: usize = 60;

/// At most so many problems are kept; nobody reads more.
const PROBLEMS_MAX: usize = 1_000;

/// The text of the file and the whole environment.
pub(super) struct Input {
    /// How problems call the file.
    pub(super) file: String,
    pub(super) text: String,
    pub(super) env: BTreeMap<String, String>,
}

/// Where a value stands.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    /// Dotted key, or the variable's name.
    pub(super) key: String,
    pub(super) from_env: bool,
}

impl Place {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), line: self.line, key: self.key.clone(), message: message.into() }
    }
}

/// A value before its type is checked.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    Toml(&'a DeValue<'a>),
    Env(&'a str),
}

/// Hands out sections and collects problems, warnings and known names.
pub(super) struct Reader<'a> {
    input: &'a Input,
    root: &'a DeTable<'a>,
    /// Offset of each line's first byte.
    line_starts: Vec<usize>,
    /// Dotted keys that were asked for.
    keys: BTreeSet<String>,
    /// Dotted names of the tables that were asked for.
    sections: BTreeSet<String>,
    syntax_lines: BTreeSet<usize>,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    has_secret_in_file: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a Input, root: &'a DeTable<'a>) -> Self {
        let line_ends = input.text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            input,
            root,
            line_starts: std::iter::once(0).chain(line_ends).collect(),
            keys: BTreeSet::new(),
            sections: BTreeSet::new(),
            syntax_lines: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            has_secret_in_file: false,
        }
    }

    /// Opens the table at a dotted path; an absent one reads as empty.
    pub(super) fn section(&mut self, path: &str) -> Section<'_, 'a> {
        let mut table = Some(self.root);
        let mut walked = String::new();
        for part in path.split('.') {
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(part);
            self.sections.insert(walked.clone());
            let Some((line, value)) = table.and_then(|table| self.find(table, part)) else {
                table = None;
                continue;
            };
            table = value.as_table();
            if table.is_none() {
                self.refuse(&self.file_place(&walked, Some(line)), format!("must be a table: [{walked}]"));
            }
        }
        Section::new(self, path.to_owned(), table)
    }

    /// The tables of an array of tables, with the line of each.
    pub(super) fn items(&mut self, path: &str) -> Vec<(usize, &'a DeTable<'a>)> {
        self.sections.insert(path.to_owned());
        let Some((line, value)) = self.find(self.root, path) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            self.refuse(&self.file_place(path, Some(line)), format!("must be tables: [[{path}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in array {
            let line = self.line_of(element.span().start);
            match element.get_ref().as_table() {
                Some(table) => tables.push((line, table)),
                None => {
                    self.refuse(&self.file_place(path, Some(line)), format!("must be tables: [[{path}]]"));
                }
            }
        }
        tables
    }

    /// Value and line of a key in a table of the file.
    pub(super) fn find(&self, table: &'a DeTable<'a>, key: &str) -> Option<(usize, &'a DeValue<'a>)> {
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((self.line_of(name.span().start), value.get_ref()))
    }

    /// The variable that overrides a key, when it is set.
    pub(super) fn find_env(&self, dotted: &str) -> Option<(&'a str, &'a str)> {
        let (name, value) = self.input.env.get_key_value(&env_name(dotted))?;
        Some((name, value))
    }

    /// Any other variable of the environment.
    pub(super) fn foreign_env(&self, name: &str) -> Option<&'a str> {
        self.input.env.get(name).map(String::as_str)
    }

    pub(super) fn file_place(&self, key: &str, line: Option<usize>) -> Place {
        Place { file: self.input.file.clone(), line, key: key.to_owned(), from_env: false }
    }

    pub(super) fn know(&mut self, dotted: String) {
        self.keys.insert(dotted);
    }

    pub(super) fn refuse(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(place.problem(message));
    }

    pub(super) fn note_secret_in_file(&mut self) {
        self.has_secret_in_file = true;
    }

    pub(super) const fn has_secret_in_file(&self) -> bool {
        self.has_secret_in_file
    }

    /// Notes what the parser could not read. It goes on behind it, so later lines are checked too.
    pub(super) fn syntax_problem(&mut self, offset: Option<usize>, message: &str) {
        let line = offset.map(|offset| self.line_of(offset));
        self.syntax_lines.extend(line);
        self.refuse(&self.file_place("", line), format!("not TOML: {}", message.replace('\n', ", ")));
    }

    /// Refuses every key and variable that no section asked for. Call it when all sections are read.
    pub(super) fn refuse_unknown(&mut self) {
        self.refuse_unknown_keys(self.root, "");
        let env_names: Vec<String> =
            self.keys.iter().filter(|key| !key.starts_with("commands.")).map(|key| env_name(key)).collect();
        for name in self.input.env.keys().filter(|name| name.starts_with(ENV_PREFIX)) {
            let reserved = ENV_RESERVED.contains(&name.as_str()) || name.starts_with(ENV_TEST_PREFIX);
            if reserved || env_names.contains(name) || self.problems.len() >= PROBLEMS_MAX {
                continue;
            }
            let message = match nearest(name, env_names.iter().map(String::as_str)) {
                _ if is_service_link(name) => {
                    "not a setting; Kubernetes makes it from a Service: set enableServiceLinks: false"
                        .to_owned()
                }
                Some(known) => format!("unknown variable; did you mean {known}?"),
                None => format!("unknown variable; settings are {ENV_PREFIX}SECTION__KEY as in cluster.toml"),
            };
            self.problems.push(env_place(name).problem(message));
        }
    }

    fn refuse_unknown_keys(&mut self, table: &'a DeTable<'a>, path: &str) {
        for (name, value) in table {
            let dotted = join(path, name.get_ref());
            if self.keys.contains(&dotted) {
                continue;
            }
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
            if !self.sections.contains(&dotted) {
                let place = self.file_place(&shown(&dotted), Some(self.line_of(name.span().start)));
                self.refuse(&place, self.hint(path, name.get_ref()));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) => self.refuse_unknown_keys(inner, &dotted),
                DeValue::Array(array) => {
                    for inner in array.iter().filter_map(|element| element.get_ref().as_table()) {
                        self.refuse_unknown_keys(inner, &dotted);
                    }
                }
                _ => {}
            }
        }
    }

    /// What was probably meant by an unknown name: one of the same table, else the same name elsewhere.
    fn hint(&self, path: &str, name: &str) -> String {
        let known = self.keys.iter().chain(&self.sections);
        let siblings = known.filter_map(|known| match known.rsplit_once('.') {
            Some((parent, leaf)) => (parent == path).then_some(leaf),
            None => path.is_empty().then_some(known.as_str()),
        });
        let suffix = format!(".{name}");
        if let Some(sibling) = nearest(name, siblings) {
            return format!("unknown key; did you mean `{sibling}`?");
        }
        let elsewhere: Vec<_> = self.keys.iter().filter(|known| known.ends_with(&suffix)).collect();
        match elsewhere.as_slice() {
            [only] => format!("unknown key; did you mean `{only}`?"),
            [one, other] => format!("unknown key; did you mean `{one}` or `{other}`?"),
            _ => "unknown key; cluster.toml names all that exist".to_owned(),
        }
    }

    /// Problems in the order of their lines, and warnings. What follows from a line that is no TOML is left out.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<String>) {
        let syntax_lines = self.syntax_lines;
        let mut problems = self.problems;
        problems.retain(|problem| {
            let behind_syntax = problem.line.is_some_and(|line| syntax_lines.contains(&line));
            !behind_syntax || problem.message.starts_with("not TOML")
        });
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        problems.dedup();
        problems.truncate(PROBLEMS_MAX);
        (problems, self.warnings)
    }

    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Every key that the sections asked for, dotted.
    #[cfg(test)]
    pub(super) const fn keys(&self) -> &BTreeSet<String> {
        &self.keys
    }
}

/// The variable that overrides a dotted key.
pub(super) fn env_name(dotted: &str) -> String {
    format!("{ENV_PREFIX}{}", dotted.replace('.', "__").to_ascii_uppercase())
}

/// The place of a variable.
pub(super) fn env_place(name: &str) -> Place {
    Place { file: "environment".to_owned(), line: None, key: shown(name), from_env: true }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A name from outside, short and without control characters.
fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// Kubernetes sets such variables in every pod beside a Service that is called `waddlebot`.
fn is_service_link(name: &str) -> bool {
    ["WADDLEBOT_SERVICE_HOST", "WADDLEBOT_SERVICE_PORT", "WADDLEBOT_PORT"]
        .iter()
        .any(|link| name.strip_prefix(link).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}
