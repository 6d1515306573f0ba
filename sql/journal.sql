-- name: append_journal(recorded_at, events, subjects, session_ids, address, agent)
insert into journal (recorded_at, event, subject, session_id, address, agent)
select
  :recorded_at::timestamptz, recorded.event, recorded.subject, recorded.session_id, :address::text, :agent::text
from unnest(:events::text[], :subjects::uuid[], :session_ids::uuid[]) with ordinality
  as recorded (event, subject, session_id, number)
order by recorded.number
returning id, pg_current_xact_id()::text::bigint as transaction_id;

-- name: outcome(entry, recorded_at, transaction_id)^
-- One snapshot for both: a transaction that had ended, and whose entry is not there, was rolled back or is lost.
select
  exists (select from journal where id = :entry and recorded_at = :recorded_at) as committed,
  pg_visible_in_snapshot(:transaction_id::bigint::text::xid8, pg_current_snapshot()) as ended;

-- name: journal_of(subject, before, most)
-- The newest first; the next page begins `before` the last id of this one.
select id, recorded_at, event, subject, session_id, address, agent
from journal
where subject = :subject and (:before::bigint is null or id < :before::bigint)
order by id desc
limit :most;

-- name: forget_journal_of(subject)^
with forgotten as (
  delete from journal
  where subject = :subject
  returning id
)
select count(*) as forgotten from forgotten;

-- name: search_journal(subject, events, since, until, address, most)
-- The newest first. What is null does not count.
select id, recorded_at, event, subject, session_id, address, agent
from journal
where
  (:subject::uuid is null or subject = :subject::uuid)
  and (:events::text[] is null or event = any(:events::text[]))
  and (:since::timestamptz is null or recorded_at >= :since::timestamptz)
  and (:until::timestamptz is null or recorded_at < :until::timestamptz)
  and (:address::text is null or address = :address::text)
order by id desc
limit :most;

-- name: sweep_journal(before, most)^
-- An array, and no subquery: that is always looked up by the primary key, never joined with the whole table.
with swept as (
  delete from journal
  where id = any(array(
    select id from journal
    where recorded_at < :before
    order by recorded_at
    limit :most
    for update skip locked
  ))
  returning id
)
select count(*) as swept from swept;

-- name: sweep_failed_logins(event, before, most)^
-- Of no account. Ordered as the index on subject and id is: along the one on id lie all the entries that are kept.
with swept as (
  delete from journal
  where id = any(array(
    select id from journal
    where subject is null and event = :event and recorded_at < :before
    order by subject, id
    limit :most
    for update skip locked
  ))
  returning id
)
select count(*) as swept from swept;
