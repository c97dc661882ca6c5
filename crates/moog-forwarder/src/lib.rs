//! Delivers alerts to Moogsoft.
