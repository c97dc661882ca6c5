//! API and console over the whole pipeline.
