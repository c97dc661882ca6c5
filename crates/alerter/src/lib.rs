//! Decides by rules who must know, audits every event, queues alerts.
