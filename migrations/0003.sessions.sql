-- Who is logged in, and what died lately.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

create table if not exists sessions (
  id uuid not null,
  subject uuid not null,
  -- The newest refresh token is number `counter`; the one before it is good until this one is used.
  counter bigint not null,
  created_at timestamptz not null,
  last_used_at timestamptz not null,
  expires_at timestamptz not null,
  access_until timestamptz not null,
  address text,
  agent text,
  authentication_methods text [] not null,
  constraint sessions_pkey primary key (id),
  -- Without `on delete cascade`: a session never goes without a word to revocations.
  constraint sessions_subject_fkey foreign key (subject) references users (public_id),
  constraint sessions_counter_positive check (counter > 0)
)
-- Room for the new version of a row on its own page: a refresh then touches no index.
with (fillfactor = 70);

-- squawk-ignore require-concurrent-index-creation
create index if not exists sessions_subject_idx on sessions (subject);
-- squawk-ignore require-concurrent-index-creation
create index if not exists sessions_expires_at_idx on sessions (expires_at);

comment on table sessions is 'One row a login that can still be renewed; who logs out loses the row.';
comment on column sessions.id is 'The claim `sid` of its access tokens.';
comment on column sessions.subject is 'Whose it is.';
comment on column sessions.counter is 'Number of the newest refresh token; no token itself is stored.';
comment on column sessions.created_at is 'When it was opened, by a login.';
comment on column sessions.last_used_at is 'When it was last renewed, or opened.';
comment on column sessions.expires_at is 'The end, however often it is renewed.';
comment on column sessions.access_until is 'From then on none of its access tokens is accepted anywhere: latest expiry and leeway.';
comment on column sessions.address is 'Network address that the login came from.';
comment on column sessions.agent is 'User-Agent of the login, shortened.';
comment on column sessions.authentication_methods is 'How the login proved who it was (RFC 8176).';

create table if not exists revocations (
  session_id uuid not null,
  -- Which transaction wrote it: a reader that knows which were still running at its last look misses no late commit.
  transaction_id xid8 not null default pg_current_xact_id(),
  expires_at timestamptz not null,
  constraint revocations_pkey primary key (session_id)
);

-- squawk-ignore require-concurrent-index-creation
create index if not exists revocations_transaction_id_idx on revocations (transaction_id);
-- squawk-ignore require-concurrent-index-creation
create index if not exists revocations_expires_at_idx on revocations (expires_at);

comment on table revocations is 'Sessions that ended while access tokens of theirs could still be good.';
comment on column revocations.session_id is 'The claim `sid` of those tokens.';
comment on column revocations.transaction_id is 'The transaction that ended the session.';
comment on column revocations.expires_at is 'When the last of those tokens has expired, leeway included.';
