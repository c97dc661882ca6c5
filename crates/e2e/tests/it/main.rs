//! Whole stacks, as a person gets them from `mutt up`: real programs, real servers, real senders.
//!
//! The programs are taken from the folder that this test was built into; `cargo nextest run --workspace` builds both.

mod bad_input;
mod corpora;
mod faults;
mod pipeline;
mod settings;
mod stack;
mod up;
