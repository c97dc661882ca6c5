//! The `mutt-ingestor` binary.

fn main() {}
