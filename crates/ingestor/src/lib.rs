//! Takes events by HTTP and syslog and puts them on the ingest queue.
