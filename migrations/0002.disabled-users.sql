-- Accounts that an operator has closed for a while.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

alter table users add column if not exists disabled_at timestamptz;

comment on column users.disabled_at is 'Since when nobody can log in; null: open.';
