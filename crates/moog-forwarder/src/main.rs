//! The `mutt-moog-forwarder` binary.

fn main() {}
