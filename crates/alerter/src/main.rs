//! The `mutt-alerter` binary.

fn main() {}
