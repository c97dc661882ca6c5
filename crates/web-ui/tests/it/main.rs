//! The Web UI as its callers see it: real Redis and PostgreSQL, asserted over HTTP.
#![cfg(test)]

mod access;
mod audits;
mod config;
mod harness;
mod hosts_teams;
mod ops;
mod pages;
mod rules;
