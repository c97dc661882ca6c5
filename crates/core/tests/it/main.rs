//! Tests against real Redis, PostgreSQL and Vault.
