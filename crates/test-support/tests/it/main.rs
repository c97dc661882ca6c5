//! Proves that the servers that all other tests stand on do what they say.

mod moog;
mod postgres;
mod processes;
mod proxy;
mod redis;
mod vault;
