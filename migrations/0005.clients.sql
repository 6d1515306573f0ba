-- Services that may introspect and revoke tokens.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

create table if not exists clients (
  id uuid not null,
  name text not null,
  secret_hash bytea not null,
  created_at timestamptz not null,
  constraint clients_pkey primary key (id),
  constraint clients_name_key unique (name)
);

comment on table clients is 'Services that hold a credential of their own (RFC 6749 §2.3).';
comment on column clients.id is 'The client_id.';
comment on column clients.name is 'What the operator calls it.';
comment on column clients.secret_hash is 'SHA-256 of the client_secret, which has 256 random bits.';
comment on column clients.created_at is 'When it was made.';
