//! The forwarder through its `run`, with a real Redis and a Moogsoft stand-in.

mod delivery;
mod faults;
mod harness;
mod life;
mod limits;
mod outcomes;
mod tls;
