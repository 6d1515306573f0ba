-- name: take(now, origin, origin_interval, origin_tolerance, account, account_interval, account_tolerance, account_burst, account_longest, account_memory)^
-- The generic cell rate algorithm, a row a key: one may go ahead while the theoretical arrival time is at most the
-- tolerance ahead of now, and moves it on by an interval. Of two at once the second waits for the first's row lock, and
-- looks at what it left. The origin comes first: who is refused for it never takes a slot of an account, and all lock
-- in the same order. An account's interval doubles with each slot beyond the burst. Who can be seen to be refused
-- without a lock does not wait for one: a flood of refusals reads, and neither writes nor holds up a connection.
with origin as (
  insert into attempts as held (key, arrival_at, taken, expires_at)
  select :origin::bytea, :now::timestamptz + :origin_interval::interval, 1, :now::timestamptz + :origin_interval::interval
  where not exists (
    select from attempts as seen
    where seen.key = :origin::bytea and seen.arrival_at > :now::timestamptz + :origin_tolerance::interval
  )
  on conflict on constraint attempts_pkey do update
  set
    arrival_at = greatest(held.arrival_at, :now::timestamptz) + :origin_interval::interval,
    taken = held.taken + 1,
    expires_at = greatest(held.arrival_at, :now::timestamptz) + :origin_interval::interval
  where held.arrival_at <= :now::timestamptz + :origin_tolerance::interval
  returning key
), account as (
  insert into attempts as held (key, arrival_at, taken, expires_at)
  select
    :account::bytea, :now::timestamptz + :account_interval::interval, 1,
    :now::timestamptz + :account_longest::interval + :account_memory::interval
  from origin
  where :account::bytea is not null and not exists (
    select from attempts as seen
    where seen.key = :account::bytea and seen.arrival_at > :now::timestamptz + :account_tolerance::interval
  )
  on conflict on constraint attempts_pkey do update
  set
    arrival_at = greatest(held.arrival_at, :now::timestamptz) + case
      when held.expires_at <= :now::timestamptz or held.taken < :account_burst::bigint
      then :account_interval::interval
      else least(
        :account_interval::interval * power(2, least(held.taken - :account_burst::bigint + 1, 20)),
        :account_longest::interval
      )
    end,
    taken = case when held.expires_at <= :now::timestamptz then 1 else held.taken + 1 end,
    expires_at = greatest(held.arrival_at, :now::timestamptz) + :account_longest::interval + :account_memory::interval
  where held.arrival_at <= :now::timestamptz + :account_tolerance::interval
  returning taken
)
-- What was there before this statement: of who is refused, when the way is free again.
select
  exists (select from origin) as origin_granted,
  (select taken from account) as account_taken,
  (select arrival_at from attempts where key = :origin::bytea) as origin_arrival_at,
  (select arrival_at from attempts where key = :account::bytea) as account_arrival_at;

-- name: give_back(key)^
delete from attempts
where key = :key
returning key;

-- name: give_one_back(key, interval, burst, longest)^
-- Moves the theoretical arrival time back by as much as the slot that was taken last moved it on.
update attempts as held
set
  arrival_at = held.arrival_at - case
    when held.taken <= :burst::bigint then :interval::interval
    else least(:interval::interval * power(2, least(held.taken - :burst::bigint, 20)), :longest::interval)
  end,
  taken = held.taken - 1
where held.key = :key and held.taken > 0
returning held.key;

-- name: sweep_attempts(after, most, before)^
-- Looks at the next `most` along the primary key: an index on the time would cost each attempt a write.
with looked as (
  select key from attempts
  where key > :after
  order by key
  limit :most
), swept as (
  delete from attempts
  where key = any(array(
    select key from attempts
    where key in (select key from looked) and expires_at < :before
    for update skip locked
  ))
  returning key
)
select
  (select key from looked order by key desc limit 1) as last,
  (select count(*) from swept) as swept;
