//! `waddlebot check-config`: every problem of a configuration at once.

use std::path::Path;

use serde_json::json;

use super::Env;
use super::output::{Failure, print_json, say};
use crate::config::{Config, Problem};

pub(super) fn check(file: &Path, env: Env, json: bool) -> Result<(), Failure> {
    let (problems, warnings) = match Config::load(Some(file), env.into_iter()) {
        Ok(config) => (Vec::new(), config.warnings),
        Err(errors) => (errors.problems, Vec::new()),
    };
    if json {
        let as_json = |problem: &Problem| json!({ "file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message });
        let listed: Vec<_> = problems.iter().map(as_json).collect();
        print_json(&json!({ "valid": problems.is_empty(), "problems": listed, "warnings": warnings }));
    } else {
        for problem in &problems {
            say(problem);
        }
        for warning in &warnings {
            say(format_args!("warning: {warning}"));
        }
        if problems.is_empty() {
            say(format_args!("{} is good", file.display()));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Printed) }
}
