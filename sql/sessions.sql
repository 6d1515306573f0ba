-- name: open_session(id, subject, password_hash, now, expires_at, access_until, address, agent, authentication_methods)^
-- Only for an account that is open and still has the hash that was verified: the lock waits for who changes either.
with account as (
  select public_id from users
  where public_id = :subject and password_hash = :password_hash and disabled_at is null
  for share
)
insert into sessions (
  id, subject, counter, created_at, last_used_at, expires_at, access_until, address, agent, authentication_methods
)
select
  :id::uuid, account.public_id, 1, :now::timestamptz, :now::timestamptz, :expires_at::timestamptz,
  :access_until::timestamptz, :address::text, :agent::text, :authentication_methods::text[]
from account
returning (select count(*) from sessions as other where other.subject = :subject) as others;

-- name: rotate(id, counter, now, idle_since, access_until)^
-- The newest refresh token is replaced; the one before it yields the same successor again. Each is one statement, and
-- the second of two at once sees what the first left.
update sessions
set
  counter = case when counter = :counter then counter + 1 else counter end,
  last_used_at = :now,
  access_until = greatest(access_until, :access_until)
where
  id = :id and counter in (:counter, :counter::bigint + 1)
  and expires_at > :now and last_used_at > :idle_since
returning subject, counter, expires_at;

-- name: end_reused(id, counter)^
with ended as (
  delete from sessions
  where id = :id and counter > :counter::bigint + 1
  returning id, subject, access_until
), revoked as (
  insert into revocations (session_id, expires_at) select id, access_until from ended
)
select subject, id as session_id, access_until from ended;

-- name: end(id)^
with ended as (
  delete from sessions
  where id = :id
  returning id, subject, access_until
), revoked as (
  insert into revocations (session_id, expires_at) select id, access_until from ended
)
select subject, id as session_id, access_until from ended;

-- name: end_session(id, subject)^
with ended as (
  delete from sessions
  where id = :id and subject = :subject
  returning id, subject, access_until
), revoked as (
  insert into revocations (session_id, expires_at) select id, access_until from ended
)
select subject, id as session_id, access_until from ended;

-- name: end_sessions(subject, kept)
-- All but `kept`, or all where that is null. Locked in one order: two at once wait for one another, never both.
with doomed as (
  select id from sessions
  where subject = :subject and id is distinct from :kept::uuid
  order by id
  for update
), ended as (
  delete from sessions
  where id in (select id from doomed)
  returning id, subject, access_until
), revoked as (
  insert into revocations (session_id, expires_at) select id, access_until from ended
)
select subject, id as session_id, access_until from ended;

-- name: hold_session(id, subject)^
-- Only one that nobody is ending: to wait for who does, with other sessions locked, could be to wait for each other.
select id
from sessions
where id = :id and subject = :subject
for key share skip locked;

-- name: end_oldest_sessions(subject, opened, others)
-- All but `opened`, and of the rest the `others` last used. What somebody else is ending at this moment is left to him:
-- logins at once would wait for each other.
with excess as (
  select id from sessions
  where subject = :subject and id <> :opened
  order by last_used_at desc, id
  offset :others
), doomed as (
  select id from sessions
  where id in (select id from excess)
  for update skip locked
), ended as (
  delete from sessions
  where id in (select id from doomed)
  returning id, subject, access_until
), revoked as (
  insert into revocations (session_id, expires_at) select id, access_until from ended
)
select subject, id as session_id, access_until from ended;

-- name: sessions_of(subject, now, idle_since)
select id, subject, created_at, last_used_at, expires_at, address, agent, authentication_methods
from sessions
where subject = :subject and expires_at > :now and last_used_at > :idle_since
order by last_used_at desc, id;

-- name: live_session(id, now, idle_since)^
-- Always a row, which tells whether a standby answers: without an id where there is no such session.
select sessions.id, subject, counter, expires_at, last_used_at, in_recovery
from pg_is_in_recovery() as in_recovery
left join sessions on sessions.id = :id and expires_at > :now and last_used_at > :idle_since;

-- name: revocations_since(transaction_id, session_id, most)
-- The next `most`, in the order of their transactions; the first row has no session, and there is always one. It tells
-- from which transaction the next look begins, and which server answers. After a crash numbers that were not on disk yet
-- are given out again: the statistics begin anew with it, while the postmaster may have lived on.
select
  null::bigint as transaction_id, null::uuid as session_id, null::timestamptz as expires_at,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest_running,
  pg_postmaster_start_time() as started_at,
  (select stats_reset from pg_stat_bgwriter) as statistics_since,
  pg_is_in_recovery() as in_recovery
union all
(
  select transaction_id::text::bigint, session_id, expires_at, null::bigint, null::timestamptz, null::timestamptz, null::boolean
  from revocations
  where (revocations.transaction_id, session_id) > (:transaction_id::bigint::text::xid8, :session_id::uuid)
  order by revocations.transaction_id, session_id
  limit :most
)
order by transaction_id nulls first, session_id;

-- name: sweep_sessions(after, most, over_since, idle_since)^
-- Looks at the next `most` along the primary key: an index that finds the idle ones would cost each refresh a write.
-- Nothing goes into revocations: whoever is deleted here has had no good access token since `over_since`.
with looked as (
  select id from sessions
  where id > :after
  order by id
  limit :most
), over as (
  select id from sessions
  where
    id in (select id from looked)
    and (expires_at < :over_since or last_used_at < :idle_since)
    and access_until < :over_since
  for update skip locked
), swept as (
  delete from sessions
  where id in (select id from over)
  returning id
)
select
  (select id from looked order by id desc limit 1) as last,
  (select count(*) from swept) as swept;

-- name: sweep_revocations(before, most)^
-- An array, and no subquery: that is always looked up by the primary key, never joined with the whole table.
with swept as (
  delete from revocations
  where session_id = any(array(
    select session_id from revocations
    where expires_at < :before
    order by expires_at
    limit :most
    for update skip locked
  ))
  returning session_id
)
select count(*) as swept from swept;
