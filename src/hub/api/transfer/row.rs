//! One row of an import, read field by field; what is wrong is told at once. A table knows only texts, so numbers and
//! flags may be texts, and an empty text is no value.

use std::fmt::Display;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::hub::answer::ApiError;
use crate::hub::fields::Fields;

pub struct Row<'a> {
    cells: &'a Map<String, Value>,
    pub fields: Fields,
}

impl<'a> Row<'a> {
    /// A row with those columns and no others.
    pub fn new(cells: &'a Map<String, Value>, columns: &[&str]) -> Self {
        let mut fields = Fields::default();
        for name in cells.keys().filter(|name| !columns.contains(&name.as_str())) {
            fields.wrong(name, format!("is no field of this kind; there are {}", columns.join(", ")));
        }
        Self { cells, fields }
    }

    /// The field as text; empty when it is absent.
    pub fn given(&mut self, name: &str) -> String {
        match self.cells.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => {
                self.fields.wrong(name, "must be a text");
                String::new()
            }
        }
    }

    /// A text on one line, of so many characters; empty when it is absent.
    pub fn text(&mut self, name: &str, chars: RangeInclusive<usize>) -> String {
        let given = self.given(name);
        self.fields.text(name, &given, chars)
    }

    /// A number within its range; what stands for none when it is absent.
    pub fn number(&mut self, name: &str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let given = self.given(name);
        let number = if given.is_empty() { Some(default) } else { given.trim().parse().ok() };
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.fields.wrong(name, format!("must be a number, {} to {}", range.start(), range.end()));
            default
        })
    }

    /// `true` or `false`; what stands for none when it is absent.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.given(name).trim().to_ascii_lowercase().as_str() {
            "" => default,
            "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            _ => {
                self.fields.wrong(name, "must be true or false");
                default
            }
        }
    }

    /// A list, or a text with commas.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        if let Some(Value::Array(items)) = self.cells.get(name) {
            return items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect();
        }
        let given = self.given(name);
        given.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A time such as 2026-01-31T18:00:00Z, not in the future. `None`: absent.
    pub fn time(&mut self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let given = self.given(name);
        if given.is_empty() {
            return None;
        }
        let time = given.trim().parse::<DateTime<Utc>>().ok().filter(|time| *time <= now);
        if time.is_none() {
            self.fields.wrong(name, "must be a time such as 2026-01-31T18:00:00Z, not in the future");
        }
        time
    }

    /// What another reader made of a field.
    pub fn read<T: Default, E: Display>(&mut self, name: &str, read: Result<T, E>) -> T {
        read.unwrap_or_else(|error| {
            self.fields.wrong(name, format!("cannot be taken: {error}"));
            T::default()
        })
    }

    /// # Errors
    /// A sentence that names every wrong field.
    pub fn end(self) -> Result<(), String> {
        self.fields.check().map_err(|ApiError { message, .. }| message)
    }
}
