-- Rules, development hosts and device teams: what the alerter decides by.
--
-- Why: the names, columns and constraints that existing scripts know, with versions, times and authors beside them.
-- Locks: none that matter, the tables are new.
-- Every change, by whatever client, tells the alerters at its commit on channel mutt_rules which table changed.

create table alert_rules (
    id serial primary key,
    match_string varchar(255),
    trap_oid varchar(255),
    syslog_severity integer,
    match_type varchar(20) not null default 'contains',
    priority integer not null default 100,
    prod_handling varchar(100) not null,
    dev_handling varchar(100) not null,
    team_assignment varchar(100) not null,
    is_active boolean not null default true,
    name varchar(200),
    description varchar(2000),
    moog_severity smallint,
    version integer not null default 1,
    created_at timestamptz default now(),
    created_by varchar(100),
    updated_at timestamptz default now(),
    updated_by varchar(100),
    -- A rule that the audit may name is retired, never removed.
    archived_at timestamptz,
    constraint alert_rules_match_type_check check (match_type in ('contains', 'regex', 'oid_prefix')),
    constraint alert_rules_pattern_check check (match_string is not null or trap_oid is not null),
    constraint alert_rules_syslog_severity_check check (syslog_severity between 0 and 7),
    constraint alert_rules_moog_severity_check check (moog_severity between 0 and 5),
    constraint alert_rules_archived_check check (archived_at is null or not is_active)
);

create index alert_rules_match_type_idx on alert_rules (match_type);
create index alert_rules_order_idx on alert_rules (priority, id) where is_active;

create table development_hosts (
    hostname varchar(255) primary key,
    created_at timestamptz default now(),
    created_by varchar(100)
);

-- Names differ by more than case, or two rows would speak of one device.
create unique index development_hosts_name_idx on development_hosts (lower(hostname));

create table device_teams (
    hostname varchar(255) primary key,
    team_assignment varchar(100) not null,
    version integer not null default 1,
    created_at timestamptz default now(),
    created_by varchar(100),
    updated_at timestamptz default now(),
    updated_by varchar(100)
);

create unique index device_teams_name_idx on device_teams (lower(hostname));

create function mutt_notify_rules() returns trigger language plpgsql as $$
begin
    perform pg_notify('mutt_rules', tg_table_name);
    return null;
end
$$;

create trigger alert_rules_notify
    after insert or update or delete or truncate on alert_rules
    for each statement execute function mutt_notify_rules();
create trigger development_hosts_notify
    after insert or update or delete or truncate on development_hosts
    for each statement execute function mutt_notify_rules();
create trigger device_teams_notify
    after insert or update or delete or truncate on device_teams
    for each statement execute function mutt_notify_rules();
