//! The `mutt` command.

fn main() {}
