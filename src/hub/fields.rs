//! Fields of a body or a query, read so that everything wrong is told at once.

use domain::reply_text::clean;
use serde_json::{Map, Value};

use super::answer::ApiError;

/// Reads fields and keeps what is wrong with each, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// A text on one line, of so many characters.
    pub fn text(&mut self, name: &str, text: &str, chars: std::ops::RangeInclusive<usize>) -> String {
        let text = clean(text);
        if !chars.contains(&text.chars().count()) {
            self.wrong(name, format!("must have {} to {} characters", chars.start(), chars.end()));
        }
        text
    }

    /// A number within its range, or what stands for none.
    pub fn number(
        &mut self,
        name: &str,
        given: Option<u32>,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        let number = given.unwrap_or(default);
        if !range.contains(&number) {
            self.wrong(name, format!("must be {} to {}", range.start(), range.end()));
        }
        number
    }

    pub fn wrong(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), Value::String(text.into()));
    }

    /// # Errors
    /// 400 with every wrong field in its details.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = self
            .0
            .iter()
            .map(|(name, text)| format!("{name} {}", text.as_str().unwrap_or_default()))
            .collect();
        Err(ApiError::invalid(told.join("; ")).details(Value::Object(self.0)))
    }
}
