//! Builds this crate again when a migration is added; the compiler sees only changes to those it already embeds.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
