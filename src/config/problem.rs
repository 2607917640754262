//! What is wrong with the settings, and where.

use std::fmt;

/// One thing to correct before the node can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file, or `environment`.
    pub file: String,
    /// Line in the file, from 1; `None` for the environment and for what is absent.
    pub line: Option<usize>,
    /// Dotted key, or the name of the variable; empty when it concerns the whole file.
    pub key: String,
    /// What is allowed instead; never the value that was found.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every problem of the settings, in the order of the file's lines, then the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigErrors {
    /// A problem with the file as a whole.
    pub(super) fn one(file: String, message: String) -> Self {
        Self { problems: vec![Problem { file, line: None, key: String::new(), message }] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
