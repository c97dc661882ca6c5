//! The words of MUTT, as types. Pure: nothing here waits, connects or logs.

pub mod alert;
pub mod audit;
pub mod clock;
pub mod event;
pub mod host;
pub mod rule;
