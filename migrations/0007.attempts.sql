-- How often something was tried lately: passwords, registrations.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

-- Unlogged: no attempt waits for the disk. After a crash of the server it is empty, and everybody starts afresh.
create unlogged table if not exists attempts (
  key bytea not null,
  arrival_at timestamptz not null,
  taken bigint not null,
  expires_at timestamptz not null,
  constraint attempts_pkey primary key (key)
)
-- Room for the new version of a row on its own page: an attempt then touches no index.
with (fillfactor = 70);

comment on table attempts is 'One row for each origin or account that a limit counts: the generic cell rate algorithm.';
comment on column attempts.key is 'HMAC of the limit''s name and of what it counts: no address can be read from it.';
comment on column attempts.arrival_at is 'The theoretical arrival time: when the next would come if all came evenly.';
comment on column attempts.taken is 'How many were granted since the row began; for accounts the interval grows with it.';
comment on column attempts.expires_at is 'From then on it is as if there were no row.';
