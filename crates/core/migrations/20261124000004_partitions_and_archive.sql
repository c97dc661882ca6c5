-- Partitions and the archive of the event audit, as functions that a person can call from psql too.
--
-- Why: one implementation for the services, the command line and people. Each call is one transaction and can be
-- repeated. Locks are said at each function.

-- Makes the partition of the month (UTC) that start_date lies in; false when it was there.
--
-- Rows of that month that the default partition caught move into it. Locks the default partition for as long as that
-- takes; rows for other months go on. Callers wait for each other, so that many may try at once.
create function create_monthly_partition(start_date date) returns boolean language plpgsql as $$
declare
    month_start constant timestamp := date_trunc('month', start_date::timestamp);
    lower_bound constant timestamptz := month_start at time zone 'UTC';
    upper_bound constant timestamptz := (month_start + interval '1 month') at time zone 'UTC';
    child constant text := 'event_audit_log_' || to_char(month_start, 'YYYY_MM');
begin
    perform pg_advisory_xact_lock(hashtext('mutt:event_audit_log:partitions'));
    if to_regclass(child) is not null then
        return false;
    end if;
    execute format('create table %I (like event_audit_log including defaults including constraints)', child);
    -- Before the rows are moved: one that arrives in between would make the attach fail.
    lock table event_audit_log_default in access exclusive mode;
    execute format(
        'with moved as ('
        '    delete from event_audit_log_default where received_at >= %L and received_at < %L returning *'
        ') insert into %I select * from moved',
        lower_bound, upper_bound, child
    );
    execute format(
        'alter table event_audit_log attach partition %I for values from (%L) to (%L)',
        child, lower_bound, upper_bound
    );
    return true;
end
$$;

-- Drops partitions that ended at least this many whole months ago and are empty, and returns how many.
--
-- One that still holds rows stays: archive_old_events empties it first. Locks the whole audit for a moment.
create function drop_old_partitions(months integer) returns integer language plpgsql as $$
declare
    cutoff constant timestamp := date_trunc('month', now() at time zone 'UTC') - make_interval(months => months);
    child text;
    has_rows boolean;
    dropped integer := 0;
begin
    if months < 0 then
        raise exception 'months must not be negative';
    end if;
    perform pg_advisory_xact_lock(hashtext('mutt:event_audit_log:partitions'));
    for child in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'event_audit_log'::regclass
            and c.relname ~ '^event_audit_log_[0-9]{4}_[0-9]{2}$'
            and to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp + interval '1 month' <= cutoff
        order by c.relname
    loop
        -- In the order in which an insert locks them.
        lock table only event_audit_log in access exclusive mode;
        execute format('lock table %I in access exclusive mode', child);
        execute format('select exists(select from %I)', child) into has_rows;
        if not has_rows then
            execute format('drop table %I', child);
            dropped := dropped + 1;
        end if;
    end loop;
    return dropped;
end
$$;

-- Moves at most batch_size events that are older than retention_days to the archive, oldest first, and returns how
-- many; call it until it returns 0. Copy and removal are one statement: no event is in both places, or in none.
create function archive_old_events(retention_days integer default 90, batch_size integer default 10000)
returns bigint language plpgsql as $$
declare
    cutoff constant timestamptz := now() - make_interval(days => retention_days);
    archived bigint;
begin
    if retention_days < 1 or batch_size < 1 then
        raise exception 'retention_days and batch_size must be at least 1';
    end if;
    with old as (
        select received_at, event_id
        from event_audit_log
        where received_at < cutoff
        order by received_at, event_id
        limit batch_size
        for update skip locked
    ), removed as (
        delete from event_audit_log e
        using old
        where e.received_at = old.received_at and e.event_id = old.event_id and e.received_at < cutoff
        returning e.*, e.tableoid::regclass::text as child
    ), copied as (
        insert into event_audit_log_archive (
            event_timestamp, hostname, matched_rule_id, handling_decision, forwarded_to_moog, raw_message,
            archived_from_partition, original_id, original_partition_timestamp,
            event_id, received_at, rule_version, outcome, environment, team_assignment, source, correlation_id
        )
        select
            event_timestamp, hostname, matched_rule_id, handling_decision, forwarded_to_moog, raw_message,
            child, id, received_at,
            event_id, received_at, rule_version, outcome, environment, team_assignment, source, correlation_id
        from removed
        on conflict (received_at, event_id) do nothing
    )
    select count(*) into archived from removed;
    return archived;
end
$$;

-- Removes archived events that were received more than this many years ago, and returns how many.
create function delete_old_archives(years integer default 7) returns bigint language plpgsql as $$
declare
    deleted bigint;
begin
    if years < 1 then
        raise exception 'years must be at least 1';
    end if;
    delete from event_audit_log_archive where received_at < now() - make_interval(years => years);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

-- Six figures about audit and archive, as text, for people. Active events are estimated from statistics.
create function get_archive_statistics() returns table (metric_name text, metric_value text)
language sql stable as $$
    select 'archived_count', count(*)::text from event_audit_log_archive
    union all
    select 'archived_oldest', coalesce(min(received_at)::text, 'none') from event_audit_log_archive
    union all
    select 'archived_newest', coalesce(max(received_at)::text, 'none') from event_audit_log_archive
    union all
    select 'archive_size', pg_size_pretty(pg_total_relation_size('event_audit_log_archive'))
    union all
    select 'active_count_estimate', coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint::text
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'event_audit_log'::regclass
    union all
    select 'active_size', pg_size_pretty(coalesce(sum(pg_total_relation_size(i.inhrelid)), 0))
    from pg_inherits i where i.inhparent = 'event_audit_log'::regclass
$$;

create view partition_health_summary as
select
    c.relname::text as partition_name,
    pg_get_expr(c.relpartbound, c.oid) as partition_range,
    pg_size_pretty(pg_total_relation_size(c.oid)) as size,
    greatest(c.reltuples, 0)::bigint as row_count_estimate
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'event_audit_log'::regclass
order by c.relname;
