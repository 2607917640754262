//! Lists in pages: at most 100 rows, and a cursor for the next ones.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::ApiError;

/// Most rows of one page.
pub(super) const PAGE_ROWS_MAX: u32 = 100;

const PAGE_ROWS_DEFAULT: u32 = 50;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Rows of the page, 1 to 100; 50 when absent.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before; absent for the first page.
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; null when the list has ended.
    pub next_cursor: Option<String>,
}

/// The number of rows asked for.
///
/// # Errors
/// 400 when it is not 1 to 100.
pub(super) fn rows_of(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(PAGE_ROWS_DEFAULT);
    if (1..=PAGE_ROWS_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit must be 1 to {PAGE_ROWS_MAX}")))
    }
}

/// A page out of at most `limit` rows; `cursor_of` names a row. A full page has a cursor, though nothing may follow.
pub(super) fn page_of<T>(items: Vec<T>, limit: u32, cursor_of: impl Fn(&T) -> String) -> Page<T> {
    let is_full = items.len() >= limit as usize;
    let next_cursor = if is_full { items.last().map(cursor_of) } else { None };
    Page { items, next_cursor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_page_names_the_next_one() {
        let page = page_of(vec![1, 2], 2, ToString::to_string);
        assert_eq!((page.items, page.next_cursor.as_deref()), (vec![1, 2], Some("2")));
        let page = page_of(vec![1], 2, ToString::to_string);
        assert_eq!((page.items, page.next_cursor), (vec![1], None));
    }

    #[test]
    fn a_limit_outside_its_range_is_refused() {
        assert_eq!(rows_of(None).unwrap(), 50);
        assert_eq!(rows_of(Some(100)).unwrap(), 100);
        assert!(rows_of(Some(0)).is_err());
        assert!(rows_of(Some(101)).is_err());
    }
}
