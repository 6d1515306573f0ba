-- The people who can log in.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

create table if not exists users (
  id bigint generated always as identity,
  public_id uuid not null,
  -- The collation C: an upgrade of the system's locales cannot disorder the unique index.
  email text collate "C" not null,
  password_hash text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint users_pkey primary key (id),
  constraint users_public_id_key unique (public_id),
  constraint users_email_key unique (email),
  -- A second lock on the door of emails.py: one spelling an address, whoever writes the row.
  constraint users_email_canonical
    check (email ~ '^[!-~]+$' and email ~ '^[^@A-Z]+@[a-z0-9.-]+$' and length(email) <= 254)
);

comment on table users is 'The people who can log in.';
comment on column users.id is 'Row number: for joins inside the database, never shown to anyone.';
comment on column users.public_id is 'The subject of tokens and the id in the API.';
comment on column users.email is 'Canonical address: lower-case ASCII, an internationalised domain in punycode.';
comment on column users.password_hash is 'argon2id in PHC format, or an inherited bcrypt hash; null: no password.';
comment on column users.created_at is 'When the account was opened.';
comment on column users.updated_at is 'When the row last changed.';
