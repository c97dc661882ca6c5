//! Real servers and fakes for tests.
