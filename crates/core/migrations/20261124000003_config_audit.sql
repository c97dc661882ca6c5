-- Who changed what, when and why: rules, hosts, teams and live settings.
--
-- Why: written in the transaction of the change itself, so that neither exists without the other.
-- Locks: none that matter, the table is new.

create table config_audit_log (
    id bigserial primary key,
    changed_at timestamptz not null default now(),
    -- The name of a key or a user, never any part of a key.
    changed_by varchar(100) not null,
    operation varchar(10) not null,
    table_name varchar(50) not null,
    record_id integer,
    -- What record_id cannot hold: the name of a host or of a live setting.
    record_key varchar(255) not null,
    old_values jsonb,
    new_values jsonb,
    reason text,
    correlation_id varchar(128),
    constraint config_audit_log_operation_check check (operation in ('CREATE', 'UPDATE', 'DELETE')),
    constraint config_audit_log_changed_by_check check (changed_by <> '')
);

create index config_audit_log_record_idx on config_audit_log (table_name, record_id);
create index config_audit_log_key_idx on config_audit_log (table_name, record_key, id desc);
create index config_audit_log_changed_at_idx on config_audit_log (changed_at desc);
create index config_audit_log_changed_by_idx on config_audit_log (changed_by);
create index config_audit_log_correlation_idx on config_audit_log (correlation_id)
    where correlation_id is not null;
create index config_audit_log_old_values_idx on config_audit_log using gin (old_values);
create index config_audit_log_new_values_idx on config_audit_log using gin (new_values);
