//! Tests over all four services; see `tests/it`.
