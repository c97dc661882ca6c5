-- The event audit: one row per event, for good.
--
-- Why: partitioned by the time of receipt, which MUTT sets, so that no device clock can make an insert fail; the key
-- (received_at, event_id) makes a redelivered event write nothing.
-- No foreign key to alert_rules: it would lock the rule's row once per batch, and rules are never removed anyway.
-- Locks: none that matter, the tables are new.

create table event_audit_log (
    id bigserial not null,
    event_id uuid not null,
    received_at timestamptz not null,
    event_timestamp timestamptz not null,
    hostname varchar(255) not null,
    matched_rule_id integer,
    rule_version integer,
    handling_decision varchar(100) not null,
    forwarded_to_moog boolean not null default false,
    outcome varchar(20) not null,
    environment varchar(20),
    team_assignment varchar(100),
    source varchar(20),
    correlation_id varchar(128) not null,
    raw_message text not null,
    constraint event_audit_log_outcome_check check (outcome in ('handled', 'unhandled')),
    primary key (received_at, event_id)
) partition by range (received_at);

-- Thousands of rows a second from several connections: each takes numbers by the hundred. Gaps mean nothing.
alter sequence event_audit_log_id_seq cache 500;

create index event_audit_log_hostname_idx on event_audit_log (hostname, received_at desc, event_id desc);
create index event_audit_log_rule_idx on event_audit_log (matched_rule_id, received_at desc, event_id desc)
    where matched_rule_id is not null;
-- An event without a request has its own id as its correlation id: the primary key finds it.
create index event_audit_log_correlation_idx on event_audit_log (correlation_id, received_at desc)
    where correlation_id <> event_id::text;

-- The last resort: a month without its partition still takes rows, and create_monthly_partition moves them.
create table event_audit_log_default partition of event_audit_log default;

create table event_audit_log_archive (
    id bigserial primary key,
    event_timestamp timestamptz not null,
    hostname varchar(255) not null,
    matched_rule_id integer,
    handling_decision varchar(100) not null,
    forwarded_to_moog boolean not null,
    raw_message text not null,
    archived_at timestamptz not null default now(),
    archived_from_partition varchar(63),
    original_id bigint,
    original_partition_timestamp timestamptz,
    event_id uuid not null,
    received_at timestamptz not null,
    rule_version integer,
    outcome varchar(20) not null,
    environment varchar(20),
    team_assignment varchar(100),
    source varchar(20),
    correlation_id varchar(128) not null
);

create unique index event_audit_log_archive_event_idx on event_audit_log_archive (received_at, event_id);
create index event_audit_log_archive_timestamp_idx on event_audit_log_archive (event_timestamp);
create index event_audit_log_archive_hostname_idx on event_audit_log_archive (hostname);
create index event_audit_log_archive_archived_idx on event_audit_log_archive (archived_at);
create index event_audit_log_archive_rule_idx on event_audit_log_archive (matched_rule_id);
