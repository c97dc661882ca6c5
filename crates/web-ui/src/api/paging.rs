//! Pages: by number, as version 1 has them, and by cursor, which stays fast and exact however long the audit is.

use serde::Serialize;

use super::{
    answer::{Fault, Refusal},
    input::Params,
};
use crate::settings::PAGE_SIZE_MAX;

/// Beyond this a count is "more than".
pub(crate) const COUNT_CAP: i64 = 10_000;
/// Numbered pages cost as much as all pages before them; beyond this a cursor is needed.
const OFFSET_MAX: i64 = 100_000;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) limit: i64,
    pub(crate) page: i64,
    /// Wins over the number.
    pub(crate) cursor: Option<String>,
}

impl Wanted {
    /// Reads `page`, `limit` and `cursor`; a limit out of range is brought into it.
    pub(crate) fn read(params: &mut Params, default_limit: u32) -> Self {
        let limit = params.number("limit").unwrap_or_else(|| default_limit.into());
        Self {
            limit: limit.clamp(1, PAGE_SIZE_MAX.into()),
            page: params.number("page").unwrap_or(1).max(1),
            cursor: params.text("cursor"),
        }
    }

    /// Rows to skip.
    ///
    /// # Errors
    /// 400 when that is more than a numbered page may cost.
    pub(crate) fn offset(&self) -> Result<i64, Refusal> {
        if self.cursor.is_some() {
            return Ok(0);
        }
        let offset = (self.page - 1).saturating_mul(self.limit);
        if offset <= OFFSET_MAX {
            return Ok(offset);
        }
        let problem =
            format!("is beyond row {OFFSET_MAX}: go on with `cursor`, from `next_cursor` of a page");
        Err(Refusal::unreadable(&[Fault::new("page", problem)]))
    }
}

/// Where an answer stands among all pages.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pagination {
    /// Null when a cursor was given.
    page: Option<i64>,
    limit: i64,
    /// Null when a cursor was given: counting again would cost more than the page.
    total: Option<i64>,
    /// False when there are more than `total`.
    total_is_exact: bool,
    pages: Option<i64>,
    /// Null on the last page.
    next_cursor: Option<String>,
}

impl Pagination {
    /// `counted` is `None` with a cursor; `next` is the cursor after the last row when there are more.
    pub(crate) fn new(wanted: &Wanted, counted: Option<i64>, next: Option<String>) -> Self {
        let is_exact = counted.is_none_or(|total| total < COUNT_CAP);
        let pages = counted.map(|total| {
            let pages = (total + wanted.limit - 1) / wanted.limit;
            // Who goes on until `pages` must not stop where counting did.
            if next.is_some() { pages.max(wanted.page + 1) } else { pages.max(wanted.page.min(pages)) }
        });
        Self {
            page: counted.map(|_| wanted.page),
            limit: wanted.limit,
            total: counted,
            total_is_exact: is_exact,
            pages,
            next_cursor: next,
        }
    }
}

/// Cuts one row more than was wanted off, and tells whether it was there.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    has_more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(page: i64, limit: i64) -> Wanted {
        Wanted { limit, page, cursor: None }
    }

    #[test]
    fn pages_are_counted_as_ever() {
        let pagination = Pagination::new(&wanted(2, 50), Some(101), Some("x".into()));
        assert_eq!((pagination.page, pagination.total, pagination.pages), (Some(2), Some(101), Some(3)));
        assert!(pagination.total_is_exact);
        assert_eq!(Pagination::new(&wanted(1, 50), Some(0), None).pages, Some(0));
    }

    #[test]
    fn who_counts_pages_does_not_stop_where_counting_did() {
        let pagination = Pagination::new(&wanted(200, 50), Some(COUNT_CAP), Some("x".into()));
        assert_eq!((pagination.pages, pagination.total_is_exact), (Some(201), false));
    }

    #[test]
    fn a_far_page_asks_for_a_cursor() {
        assert_eq!(wanted(3, 50).offset().unwrap(), 100);
        assert!(wanted(i64::MAX, 200).offset().is_err());
        assert_eq!(Wanted { cursor: Some("x".into()), ..wanted(i64::MAX, 200) }.offset().unwrap(), 0);
    }
}
