//! The `mutt-web-ui` binary.

fn main() {}
